"""Members that lose all their files, and come back on an empty store.

They have forgotten what they promised, so the others must not take them for who they were: they are found out, and
become members anew, by themselves where they may (`NodeConfig.rejoin_if_wiped`), else by an operator.

A cluster can do without a vote where it has one to spare, and every change of members may cost it one. So a store is
lost only while nothing else changes, and nothing else does until the node is a member again. Those that were removed
before go on meanwhile, and may never learn that the node has another store now.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio

from raft_actors.errors import RaftError
from raft_actors.raft.configurations import Held
from raft_actors.raft.membership import Member
from raft_actors.testing.fault_context import FaultContext
from raft_actors.testing.faulty_cluster import FaultyCluster

#: For how long the word of a node that leaves may still be under way, about.
_LEAVES_S = 10.0

#: How often an operator looks, and how long one waits for a change.
_LOOK_S, _WAIT_S = 0.5, 5.0

#: How often an operator sees no member of that name before adding it.
_LOOKS_WITHOUT = 20

#: How long it may take a healed cluster to take a node in again.
_TAKES_IN_S = 60.0


async def lose_store(context: FaultContext) -> None:
    """Have a member lose all its files, and come back on an empty store, where the cluster can do without it for so
    long. Its place is lost with them: it is removed, and added with the store that it has now.
    """
    cluster = context.cluster
    members = cluster.members()
    if members is None or cluster.without_store:
        return
    name = context.rng.choice(sorted(members.members))
    if not can_spare(context, name):
        return
    cluster.without_store.add(name)
    await context.take_down(name)
    members = cluster.members()
    if members is None or not can_spare(context, name):  # something has changed while it went down
        cluster.without_store.discard(name)
        return
    cluster.disk(name).wipe()
    await take_in_again(cluster, name)


def can_spare(context: FaultContext, name: str) -> bool:
    """Whether the cluster can do without this member's store.

    All others know all members by their stores: who does not would take the new one for the old. Nothing but one
    committed configuration is in force, or can come into force, anywhere. Its voters have a majority without this one,
    and without one more, where a node may be leaving.
    """
    cluster = context.cluster
    if context.changes or cluster.without_store - {name} or cluster.has_waiting_change():
        return False
    held = {node_id: cluster.configurations_of(node_id) for node_id in cluster.node_ids if node_id not in cluster.lost}
    newest = max((one for each in held.values() for one in each), key=lambda one: one.index)
    configuration = newest.configuration
    if configuration.goal is not None or configuration.is_joint or name not in configuration.ids:
        return False
    committed = cluster.members()
    if committed is None or committed.config != newest.index or not committed.committed:
        return False
    if not all(_names_all(each[-1]) for node_id, each in held.items() if node_id != name):
        return False
    if name not in configuration.voters:
        return True
    whole = configuration.voters - {name} - cluster.lost.keys()
    spare = int(trio.current_time() - context.left_at < _LEAVES_S)
    return 2 * (len(whole) - spare) > len(configuration.voters) - spare


def _names_all(held: Held) -> bool:
    return all(member.incarnation for member in held.configuration.members.values())


async def take_in_again(cluster: FaultyCluster[Any, Any], name: str) -> None:
    """Wait until a node without its store is a member again, with the one that it has now, and knows that.

    It sees to that itself where it may, and finds anybody where its settings say that they are. Else an operator does;
    also where it ended after it was removed, and before it was added: then it is no member whom anybody would miss. And
    where it has come to have a log without being admitted: here a leader can be heard that could not greet it, for the
    way back was cut (over TCP it is not), and after a restart nothing tells such a node that it has lost anything.
    """
    looks_without = 0
    while not _is_taken_in(cluster, name):
        await trio.sleep(_LOOK_S)
        members, leader = cluster.members(), cluster.leader()
        looks_without = 0 if members is None or name in members.members else looks_without + 1
        is_empty = not cluster.disk(name).state.last_index
        by_itself = cluster.config.rejoin_if_wiped and is_empty and cluster.finds_others(name)
        helps = not by_itself or looks_without > _LOOKS_WITHOUT
        if helps and leader is not None and leader != name:
            with suppress(RaftError), trio.move_on_after(_WAIT_S):
                await _change(cluster, leader, name)
    cluster.without_store.discard(name)


async def take_in_all(cluster: FaultyCluster[Any, Any]) -> None:
    """The same for all, in a cluster that was healed.

    Raises:
        CheckFailed: it does not come to that.
    """
    for name in sorted(cluster.without_store):
        with trio.move_on_after(_TAKES_IN_S) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_keep_up, cluster)
                await take_in_again(cluster, name)
                nursery.cancel_scope.cancel()
        if scope.cancelled_caught:
            raise cluster.failed(f"liveness: {name}, which has lost its store, is no member again in {_TAKES_IN_S:g} s")


async def _keep_up(cluster: FaultyCluster[Any, Any]) -> None:
    while True:
        for name in cluster.node_ids:
            await cluster.try_start(name)
        await trio.sleep(_LOOK_S)


def _is_taken_in(cluster: FaultyCluster[Any, Any], name: str) -> bool:
    """Whether a committed configuration names the store, and the node has it on its disk."""
    store, members = cluster.disk(name).incarnation, cluster.members()
    if not store or members is None or not members.committed or name not in members.members:
        return False
    known = cluster.stored_configuration_of(name)
    named = known is not None and known.configuration.members.get(name, Member()).incarnation == store
    return named and members.members[name].incarnation == store


async def _change(cluster: FaultyCluster[Any, Any], leader: str, name: str) -> None:
    """What an operator does: remove it, or add it with the store that it has now."""
    node, store = cluster.node(leader), cluster.disk(name).incarnation
    now = node.members()
    known = now.members.get(name)
    if known is not None and known.incarnation != store:
        await node.change_members(now.voters - {name}, now.learners - {name}, if_config=now.config)
    elif known is None and store:
        voters: dict[str, str | Member] = {one: now.members[one].address or "" for one in sorted(now.voters)}
        voters[name] = Member(f"{name}.test:1", incarnation=store)
        await node.change_members(voters, now.learners, if_config=now.config)
