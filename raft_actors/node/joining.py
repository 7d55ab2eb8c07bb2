"""A node that joins a running cluster: it finds the cluster, and asks to be made a member.

All that it has to know is the address of any one member and the cluster's id. The rest it is told: who the cluster
began with, which is kept in its store from then on, so a later start needs nobody to answer. Once it runs and can be
reached it asks to be added; the leader adds it as a learner, bound to the incarnation of its store, and makes it a
voter once it has caught up (`node.member_operations`).

A node that has forgotten what it promised (`node.forgetting`) goes the same way, if it may. Neither votes before the
cluster has agreed on the store that it has now.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import trio

from raft_actors.config import ClusterConfig
from raft_actors.errors import ConfigurationError, FeatureMissing, ProtocolError, StoreReplaced, TransportError
from raft_actors.node.asking import OperationRefused, ask_cluster, member_in
from raft_actors.node.forgetting import has_begun, has_forgotten, is_empty, is_named, must_still_join, opened, renew
from raft_actors.node_log import NodeLog
from raft_actors.persistence.abc import StoreIdentity
from raft_actors.raft.membership import Member
from raft_actors.raft.membership_codec import decode_configuration
from raft_actors.raft.persistent_state import Recovered
from raft_actors.raft.state import RaftState
from raft_actors.records import frozen
from raft_actors.transports.abc import Transport

if TYPE_CHECKING:
    from raft_actors.node.supervisor import Supervisor

_logger = logging.getLogger(__name__)

_PATIENCE_S = 60.0
"""For how long the members that were named are looked for, before a node that has never run gives up."""
_RETRY_S = (0.1, 2.0)


def _strings(metadata: Mapping[str, str]) -> Mapping[str, str]:
    return dict(sorted(metadata.items()))


def _addresses(addresses: Iterable[str]) -> tuple[str, ...]:
    return (addresses,) if isinstance(addresses, str) else tuple(addresses)


@frozen(kw_only=True)
class Join:
    """How a node becomes a member of a running cluster.

    Attributes:
        addresses: where members are reached; one that answers is enough.
        address: where the others reach this node.
        metadata: what the application publishes about it (`Member.metadata`); small.
        voter: whether it is to vote, once it has caught up; else it stays a learner.
    """

    addresses: tuple[str, ...] = attrs.field(converter=_addresses)
    address: str
    metadata: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_strings)
    voter: bool = True

    def __attrs_post_init__(self) -> None:
        if not self.addresses:
            raise ConfigurationError("Join: whom is it to ask? Join(addresses=['host:port'], …)")
        if not self.address:
            raise ConfigurationError("Join: the others must reach this node: Join(address='host:port')")


async def prepare(supervisor: Supervisor) -> None:
    """Find out how a node starts: from its store, and where that knows nothing, from the cluster.

    Raises:
        StorageError: its store can't be opened.
        TransportError: it has to ask, and nobody answered.
        OperationRefused: who answered is of another cluster, or too old to tell.
    """
    cluster, node_id = supervisor.cluster, supervisor.node_id
    may_rejoin = supervisor.config.rejoin_if_wiped and (node_id in cluster.voters or supervisor.join is not None)
    if not cluster.voters or may_rejoin:
        identity, forgotten = StoreIdentity(cluster.cluster_id, node_id), False
        async with opened(supervisor.storage, identity) as recovered:
            pass
        if not cluster.voters:
            voters, forgotten = await _voters(node_id, cluster, recovered, supervisor.transport, supervisor.join)
            supervisor.cluster = attrs.evolve(cluster, voters=voters)
        if may_rejoin and not forgotten:
            others = _addresses_of_others(supervisor, recovered)
            forgotten = await has_forgotten(recovered, identity, supervisor.transport.ask, others)
        if forgotten:
            await renew(recovered, identity, supervisor.storage)
            _join_anew(supervisor, recovered)
    if supervisor.join is not None:
        supervisor.address = supervisor.join.address


def _addresses_of_others(supervisor: Supervisor, recovered: Recovered) -> list[str]:
    """Wherever the others may be: by the store, by the settings, and whom it is to ask."""
    held, voters = recovered.configurations, supervisor.cluster.voters
    members = decode_configuration(held[-1].data).members if held else dict[str, Member]()
    known = [*((peer, member.address) for peer, member in members.items()), *voters.items()]
    addresses = [address for peer, address in known if address and peer != supervisor.node_id]
    return list(dict.fromkeys([*addresses, *(supervisor.join.addresses if supervisor.join else ())]))


def resume(supervisor: Supervisor, recovered: Recovered, state: RaftState) -> None:
    """Take up what was before this start: whom the node has met, and joining anew where that has not ended."""
    supervisor.acquaintances.recall(recovered, supervisor.storage.remember, supervisor.storage.note_loss)
    if must_still_join(recovered, state, may=supervisor.config.rejoin_if_wiped):
        _join_anew(supervisor, recovered)


def _join_anew(supervisor: Supervisor, recovered: Recovered) -> None:
    voters, node_id = supervisor.cluster.voters, supervisor.node_id
    supervisor.must_be_named = True
    others = _addresses_of_others(supervisor, recovered)
    if supervisor.join is None and node_id in voters and others:
        supervisor.join = Join(addresses=others, address=voters[node_id])


async def _voters(
    node_id: str, cluster: ClusterConfig, recovered: Recovered, transport: Transport, join: Join | None
) -> tuple[dict[str, str], bool]:
    """The voters that the cluster began with, and where they are, as far as that is known.

    And whether this store, which is empty, is not that of the voter of its id that the cluster began with: the log, as
    it learns it, tells of that, and it must not take itself for it. Only where no member has changed yet, and none has
    met this one, it is that voter, at its first start.
    """
    if recovered.initial_voters:
        stored = recovered.configurations
        known = decode_configuration(stored[-1].data).members if stored else dict[str, Member]()
        return {voter: known.get(voter, Member()).address for voter in recovered.initial_voters}, False
    if join is None:
        raise ConfigurationError("a cluster needs at least one voter: ClusterConfig(voters={'n1': 'host:port'})")
    asked = await ask_cluster(
        transport.ask, join.addresses, "members", cluster_id=cluster.cluster_id, patience_s=_PATIENCE_S
    )
    found: Any = asked.reply.get("initial_voters")
    named: dict[str, Any] = found
    if type(found) is not dict or not found:
        raise ProtocolError(f"the node at {asked.address} does not say which voters the cluster began with")
    forgotten = node_id in named and is_empty(recovered) and has_begun(asked.reply, node_id)
    return {voter: str(address) for voter, address in named.items()}, forgotten


# --- once it runs --------------------------------------------------------------------------------------------


async def be_a_member(supervisor: Supervisor) -> None:
    """See to it that this node becomes a member where it is to be one, and find out whether it is where some deny it.

    Raises:
        StoreReplaced, FeatureMissing: it is not, and can't be: see `ask_to_join`, `Acquaintances.refused`.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_settle_doubt, supervisor)
        if supervisor.join is not None:
            await ask_to_join(supervisor, supervisor.join)


async def _settle_doubt(supervisor: Supervisor) -> None:
    """End where a peer refuses this node's store, unless somebody knows that it was admitted, which that peer missed.

    The peer may have been removed while it was cut off, and go by what was before for as long as it runs. Who knows a
    newer configuration is right where that names this store. The log will say so, too, once this node has caught up.
    """
    state = supervisor.recovered_state()
    log = NodeLog(_logger, state.node_id)
    doubt = await supervisor.acquaintances.wait_doubt()
    joins = supervisor.join.addresses if supervisor.join else ()
    voters = [address for peer, address in supervisor.cluster.voters.items() if peer != state.node_id]
    addresses = list(dict.fromkeys([*_known(state), *voters, *joins]))
    identity = StoreIdentity(supervisor.cluster.cluster_id, state.node_id)
    ask = supervisor.transport.ask
    named = await is_named(state.incarnation, identity, ask, addresses, doubt.newest)
    while named and state.configuration.members.get(state.node_id, Member()).incarnation != state.incarnation:
        await supervisor.changed.park()  # how it was named, its own log must tell
    if state.has_lost_promises:  # else its own log has come to say that it was admitted
        raise doubt.error
    log.warning("was admitted with the store that it has now, which %r does not know", doubt.peer)


async def ask_to_join(supervisor: Supervisor, join: Join) -> None:
    """Ask until this node is a member, of the kind that it is to be.

    Once is enough: who makes it something else after that means it, even before its own log tells of either.

    Raises:
        StoreReplaced: its id is in use.
        FeatureMissing: it is of an older version than the cluster can do with.
    """
    log = NodeLog(_logger, supervisor.node_id)
    state = supervisor.recovered_state()
    pause_s, told, made_at = _RETRY_S[0], "", None
    while not _is_member(supervisor, join) and (made_at is None or state.commit_index < made_at):
        if state.configurations.was_removed(state.node_id, state.incarnation):
            log.warning("was removed from the cluster, and does not ask to join it again: its store can be deleted")
            return
        trouble = ""
        if made_at is None:
            try:
                made_at = _made_at(state.node_id, join, await _ask(supervisor, join))
            except OperationRefused as refusal:
                _raise_if_final(refusal)
                trouble = str(refusal)
            except TransportError as error:
                trouble = str(error)
            if trouble not in ("", told):
                told = trouble
                log.warning("has not joined yet: %s", trouble)
        if not trouble:
            pause_s = _RETRY_S[0]  # until its own log has come as far as it was told
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, _RETRY_S[1])
    log.info("is a member")


def _raise_if_final(refusal: OperationRefused) -> None:
    for final in (StoreReplaced, FeatureMissing):
        if refusal.kind == final.__name__:
            raise final(str(refusal)) from None


def _is_member(supervisor: Supervisor, join: Join) -> bool:
    state = supervisor.recovered_state()
    held = state.configurations.latest
    member = held.configuration.members.get(state.node_id)
    named = member is not None and member.incarnation == state.incarnation and not state.has_lost_promises
    return named and held.index <= state.commit_index and (state.is_voter or not join.voter)


def _made_at(node_id: str, join: Join, reply: Mapping[str, Any]) -> int | None:
    """By which configuration, as its index, it was made what it is to be; None: the reply does not say that it was."""
    index: Any = reply.get("config")
    if type(index) is not int:
        return None
    role = member_in(reply, node_id).get("role")
    return index if role == "voter" or (role == "learner" and not join.voter) else None


def _known(state: RaftState) -> list[str]:
    """Where this node's log, or its settings, say that the other members are."""
    return [address for peer in state.peers if (address := state.address_of(peer))]


async def _ask(supervisor: Supervisor, join: Join) -> dict[str, Any]:
    state = supervisor.recovered_state()
    asked = await ask_cluster(
        supervisor.transport.ask,
        [*join.addresses, *_known(state)],
        "join",
        cluster_id=supervisor.cluster.cluster_id,
        patience_s=_RETRY_S[1],
        id=supervisor.node_id,
        address=join.address,
        incarnation=supervisor.acquaintances.incarnation,
        metadata=dict(join.metadata),
        voter=join.voter,
        features=sorted(state.features),
        wiped=state.has_lost_promises,
    )
    return asked.reply
