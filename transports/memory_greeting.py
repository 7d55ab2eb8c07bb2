"""What two nodes in one process tell each other when a connection begins: what the handshake does over TCP."""

from __future__ import annotations

import attrs

from raft_actors.transports.abc import Endpoint
from raft_actors.transports.greeting import OLDER_STORE, Greeting


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
    index, met = origin.configuration_index(), origin.met(endpoint.node_id)
    greeting = Greeting(sender, origin.incarnation, origin.address, index, can, start=origin.start, met=met)
    if origin.node_id != sender:  # as a certificate would say
        return "OTHER_NODE", endpoint
    same = origin.is_of_same_cluster(endpoint)
    if not same or (sender not in endpoint.peers and not endpoint.stranger(sender, origin.address)):
        return "UNKNOWN_NODE" if same else "OTHER_CLUSTER", endpoint
    index_here = endpoint.configuration_index()
    refusal = endpoint.admit(greeting)
    if refusal is not None:
        if refusal.reason != OLDER_STORE:
            origin.refused(endpoint.node_id, attrs.evolve(refusal, configuration_index=index_here))
        return refusal.reason, endpoint
    answer = Greeting(endpoint.node_id, features=can_here, met=endpoint.met(sender))
    if hears:
        store, start = endpoint.incarnation, endpoint.start
        answer = attrs.evolve(
            answer, incarnation=store, configuration_index=index_here, dialled=endpoint.address, start=start
        )
    refusal = origin.admit(answer)
    if refusal is not None:
        if hears and refusal.reason != OLDER_STORE:  # it calls its peers, too, and is told then
            endpoint.refused(sender, attrs.evolve(refusal, configuration_index=index))
        return refusal.reason, origin
    # In memory a node is reached wherever it says that it is.
    endpoint.admit(attrs.evolve(greeting, address="", dialled=origin.address))
    return None
