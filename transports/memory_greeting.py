"""What two nodes in one process tell each other when a connection begins: what the handshake does over TCP."""

from __future__ import annotations

from typing import TypeVar

import attrs

from raft_actors.raft.newest import Newest
from raft_actors.transports.abc import Endpoint
from raft_actors.transports.greeting import OLDER_STORE, Greeting, Refusal

_Said = TypeVar("_Said", Greeting, Refusal)


def greet(
    sender: str,
    origin: Endpoint,
    endpoint: Endpoint,
    can: frozenset[str],
    can_here: frozenset[str],
    *,
    hears: bool = False,
) -> tuple[str, Endpoint] | None:
    """Let a sender call the node of an endpoint, and hear its answer.

    Args:
        sender: the id that it calls itself by.
        origin: its endpoint.
        endpoint: of the node that is called.
        can, can_here: what the two can do (`raft.features`).
        hears: whether it lives, and what the node says gets there. Else the answer tells nothing of the node's store:
            what was sent before is taken, too.

    Returns:
        Why one refuses the other, a name of `handshake.Verdict`, and which one does; None where neither does.
    """
    newest, met = _newest_of(origin), origin.met(endpoint.node_id)
    greeting = Greeting(sender, origin.incarnation, origin.address, features=can, start=origin.start, met=met)
    greeting = _told(greeting, newest)
    if origin.node_id != sender:  # as a certificate would say
        return "OTHER_NODE", endpoint
    same = origin.is_of_same_cluster(endpoint)
    if not same or (sender not in endpoint.peers and not endpoint.stranger(sender, origin.address)):
        return "UNKNOWN_NODE" if same else "OTHER_CLUSTER", endpoint
    newest_here = _newest_of(endpoint)
    refusal = endpoint.admit(greeting)
    if refusal is not None:
        if refusal.reason != OLDER_STORE:
            origin.refused(endpoint.node_id, _told(refusal, newest_here))
        return refusal.reason, endpoint
    answer = Greeting(endpoint.node_id, features=can_here, met=endpoint.met(sender))
    if hears:
        store, start = endpoint.incarnation, endpoint.start
        answer = attrs.evolve(answer, incarnation=store, dialled=endpoint.address, start=start)
        answer = _told(answer, newest_here)
    refusal = origin.admit(answer)
    if refusal is not None:
        if hears and refusal.reason != OLDER_STORE:  # it calls its peers, too, and is told then
            endpoint.refused(sender, _told(refusal, newest))
        return refusal.reason, origin
    # In memory a node is reached wherever it says that it is.
    endpoint.admit(attrs.evolve(greeting, address="", dialled=origin.address))
    return None


def _newest_of(endpoint: Endpoint) -> Newest:
    return Newest(endpoint.configuration_index(), endpoint.configuration_term())


def _told(said: _Said, newest: Newest) -> _Said:
    """What is said, with the newest configuration that its node knows."""
    return attrs.evolve(said, configuration_index=newest.index, configuration_term=newest.term)
