"""The operations on members that a node does for others: who they are, and other ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from raft_actors.errors import ChangeRefused, NotLeader, ProtocolError, StoreReplaced
from raft_actors.node.members import ChangePhase, MembersStatus
from raft_actors.raft.features import missing
from raft_actors.raft.membership import Member

if TYPE_CHECKING:
    from raft_actors.node.node import Node
    from raft_actors.node.supervisor import Supervisor

Arguments = dict[str, Any]

_PATIENCE_S = 10.0
"""How long a change waits for one that is under way."""


async def members(node: Node[Any], inside: Supervisor, _arguments: Arguments) -> dict[str, Any]:
    """Who is in the cluster, as far as this node knows; the leader also says how far each is.

    And at which start of its store each was met: one that asks before it runs may be on an older copy.
    """
    found = node.members()
    met = {member_id: one for member_id in found.members if (one := inside.acquaintances.met(member_id)) is not None}
    return told(node, inside, found) | {
        "met": {
            member_id: {"incarnation": one.incarnation, "number": one.start.number, "nonce": one.start.nonce}
            for member_id, one in met.items()
        }
    }


async def way_in(node: Node[Any], inside: Supervisor, _arguments: Arguments) -> dict[str, Any]:
    """What one that is no member has to know to ask to be one; who the members are is not its affair."""
    voters = _initial_voters(inside)
    return {"cluster_id": node.cluster.cluster_id, "node_id": node.node_id, "initial_voters": voters, "withheld": True}


def _initial_voters(inside: Supervisor) -> dict[str, str]:
    state = inside.recovered_state()
    return {voter: state.address_of(voter) or "" for voter in inside.initial_voters}


def told(node: Node[Any], inside: Supervisor, found: MembersStatus) -> dict[str, Any]:
    """The members as a reply says them. `named`: the store that the configuration names, not who was only met."""
    configured = inside.recovered_state().configuration.members
    return {
        "cluster_id": node.cluster.cluster_id,
        "node_id": node.node_id,
        "leader": node.status().leader,
        "config": found.config,
        "config_term": inside.acquaintances.newest().term,
        "committed": found.committed,
        "phase": str(found.phase),
        "initial_voters": _initial_voters(inside),
        "features": sorted(found.features),
        "goal": {"voters": sorted(found.goal_voters), "learners": sorted(found.goal_learners)},
        "members": {
            member_id: {
                "address": member.address or "",
                "metadata": dict(member.metadata),
                "priority": member.priority,
                "role": _role(found, member_id),
                "incarnation": inside.acquaintances.known(member_id),
                "named": configured.get(member_id, Member()).incarnation,
                "match_index": member.match_index,
                "behind": member.behind,
                "silent_s": member.silent_s,
            }
            for member_id, member in found.members.items()
        },
    }


def _role(found: MembersStatus, member_id: str) -> str:
    if member_id in found.voters:
        return "voter"
    return "leaving voter" if member_id in found.outgoing else "learner"


async def add(node: Node[Any], inside: Supervisor, arguments: Arguments) -> dict[str, Any]:
    """Add a member `id` that runs at `address`, as a voter or a learner."""
    member_id, now = _id(arguments), await _settled(node, inside)
    if member_id in now.members:
        raise ChangeRefused(f"{member_id!r} is a member already: promote or demote it")
    member = Member(_text(arguments, "address"), _metadata(arguments))
    return told(
        node, inside, await _with(node, inside, now, member_id, member, voter=arguments.get("voter") is not False)
    )


async def promote(node: Node[Any], inside: Supervisor, arguments: Arguments) -> dict[str, Any]:
    """Make the learner `id` a voter."""
    member_id, now = _id(arguments), await _settled(node, inside)
    _check_member(now, member_id)
    changed = await node.change_members(now.voters | {member_id}, now.learners - {member_id}, if_config=now.config)
    return told(node, inside, changed)


async def demote(node: Node[Any], inside: Supervisor, arguments: Arguments) -> dict[str, Any]:
    """Make the voter `id` a learner."""
    member_id, now = _id(arguments), await _settled(node, inside)
    _check_member(now, member_id)
    changed = await node.change_members(now.voters - {member_id}, now.learners | {member_id}, if_config=now.config)
    return told(node, inside, changed)


async def priority(node: Node[Any], inside: Supervisor, arguments: Arguments) -> dict[str, Any]:
    """Let the member `id` lead rather than those of a lower `priority`."""
    member_id, now = _id(arguments), await _settled(node, inside)
    _check_member(now, member_id)
    value = arguments.get("priority")
    if type(value) is not int:
        raise ProtocolError("“priority” is missing, or no number")
    return told(node, inside, await node.change_members(priorities={member_id: value}, if_config=now.config))


async def move(node: Node[Any], inside: Supervisor, arguments: Arguments) -> dict[str, Any]:
    """Note that the member `id` is reached at another `address` from now on."""
    member_id, address, now = _id(arguments), _text(arguments, "address"), await _settled(node, inside)
    _check_member(now, member_id)
    return told(node, inside, await node.change_members(addresses={member_id: address}, if_config=now.config))


async def remove(node: Node[Any], inside: Supervisor, arguments: Arguments) -> dict[str, Any]:
    """Let the member `id` go."""
    member_id, now = _id(arguments), await _settled(node, inside)
    _check_member(now, member_id)
    return told(node, inside, await _without(node, now, member_id))


async def join(node: Node[Any], inside: Supervisor, arguments: Arguments) -> dict[str, Any]:
    """Add a node that asks for it: as a learner first, as a voter once it has caught up.

    Its store is made a part of what the members know of it. One that is a member with another store has lost that: it
    is removed first, because its vote must not count before it is a new member; unless it is there with its old store.
    So is a voter that says that it was wiped, whatever store it is known by here: this node may have met it only since.
    A learner has promised nothing that counts.
    """
    member_id, incarnation = _id(arguments), _text(arguments, "incarnation")
    known_as = inside.recovered_state().configuration.members.get(member_id, Member())
    member = Member(_text(arguments, "address"), _metadata(arguments), incarnation, known_as.priority)
    voter = arguments.get("voter") is not False
    while True:
        now = await _settled(node, inside)
        lacking = now.features - _texts(arguments, "features")
        if lacking:
            raise missing(lacking)
        if member_id in now.members:
            known = inside.acquaintances.known(member_id)
            is_wiped = bool(arguments.get("wiped")) and now.members[member_id].is_voter
            # It may have been named in the place of the voter that it was, before this was asked.
            is_wiped = is_wiped and not inside.recovered_state().configurations.admit(member_id, incarnation)
            if known in ("", incarnation) and not is_wiped:
                return told(node, inside, await _with(node, inside, now, member_id, member, voter=voter))
            peer = inside.transport.statistics().peers.get(member_id)  # None: this node itself, which is there
            is_there = peer is not None and peer.connected and peer.incarnation == known
            if member_id == node.node_id or (known not in ("", incarnation) and is_there):
                raise StoreReplaced(
                    f"node {member_id!r} is a member, and there, with the store {known}: another process uses its id, "
                    "or has a store put aside. Give each node an id of its own"
                )
            await _without(node, now, member_id)
            continue
        try:
            return told(node, inside, await _with(node, inside, now, member_id, member, voter=voter))
        except ChangeRefused:
            if node.members().config == now.config:
                raise  # not for want of a settled configuration: it would be refused again


async def _settled(node: Node[Any], inside: Supervisor) -> MembersStatus:
    """The members, once no change is under way; the next one is made by whoever comes first.

    Raises:
        ChangeRefused: one is under way, and does not come to its end.
        NotLeader: another node has to be asked.
    """
    with trio.move_on_after(_PATIENCE_S):
        return await _next_settled(node, inside)
    raise ChangeRefused(
        f"a change of members is under way ({node.members().phase}): see raft-actors members, ask again"
    )


async def _next_settled(node: Node[Any], inside: Supervisor) -> MembersStatus:
    await trio.lowlevel.checkpoint()
    while True:
        now = node.members()
        if node.status().leader != node.node_id:
            leader = node.status().leader
            address = None if leader is None else inside.recovered_state().address_of(leader)
            raise NotLeader(leader, address, inside.recovered_state().term)
        if now.committed and now.phase is ChangePhase.STABLE:
            return now
        await inside.changed.park()


async def _with(
    node: Node[Any], inside: Supervisor, now: MembersStatus, member_id: str, member: Member, *, voter: bool
) -> MembersStatus:
    voters, learners = now.voters - {member_id}, now.learners - {member_id}
    if voter or member_id in now.voters:
        voters |= {member_id}
    else:
        learners |= {member_id}
    given = {**inside.recovered_state().configuration.members, member_id: member}
    return await node.change_members(
        {one: given[one] for one in sorted(voters)},
        {one: given[one] for one in sorted(learners)},
        if_config=now.config,
    )


async def _without(node: Node[Any], now: MembersStatus, member_id: str) -> MembersStatus:
    return await node.change_members(now.voters - {member_id}, now.learners - {member_id}, if_config=now.config)


def _check_member(now: MembersStatus, member_id: str) -> None:
    if member_id not in now.members:
        raise ChangeRefused(f"{member_id!r} is no member: they are {', '.join(sorted(now.members))}")


def _id(arguments: Arguments) -> str:
    return _text(arguments, "id")


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        raise ProtocolError(f"“{name}” is missing, or no text")
    return value


def _texts(arguments: Arguments, name: str) -> frozenset[str]:
    found: Any = arguments.get(name, [])
    texts: list[Any] = found
    if type(found) is not list or not all(isinstance(value, str) for value in texts):
        raise ProtocolError(f"“{name}” is a list of texts")
    return frozenset(texts)


def _metadata(arguments: Arguments) -> dict[str, str]:
    found: Any = arguments.get("metadata", {})
    metadata: dict[str, Any] = found
    if type(found) is not dict or not all(isinstance(value, str) for value in metadata.values()):
        raise ProtocolError("“metadata” maps names to texts")
    return metadata
