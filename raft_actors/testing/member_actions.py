"""What a plan can do to the members of a cluster. See `actions`.

None of it goes together with disks that are destroyed for good: which of them a cluster can do without depends on its
members. One that loses its store and becomes a member again does (`lost_stores`).
"""

from __future__ import annotations

from contextlib import suppress

import trio

from raft_actors.errors import FeatureMissing, RaftError
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.features import FEATURES, PRIORITY
from raft_actors.raft.membership_codec import decode_configuration
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    RequestLeave,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_actors.testing.compound_faults import Action
from raft_actors.testing.fault_context import FaultContext
from raft_actors.testing.lost_stores import lose_store

_MOST_VOTERS = 7
_MOST_LEARNERS = 2

#: How long whoever has asked for a change waits for its end, on average. It goes on all the same.
_WAIT_S = 2.0
_LEAVE_S = 3.0


async def change_members(context: FaultContext) -> None:
    """Have the leader make some other nodes the members; now and then somebody changes their mind."""
    cluster, rng = context.cluster, context.rng
    name = cluster.leader()
    if name is None or cluster.without_store:
        return
    names = context.shuffled()
    count = rng.randint(1, min(_MOST_VOTERS, len(names)))
    voters, rest = names[:count], names[count:]
    learners = rest[: rng.randint(0, _MOST_LEARNERS)]
    await _change(context, name, voters, learners)
    if rng.random() < 0.2 and name in cluster.nodes:
        with suppress(RaftError), trio.move_on_after(rng.expovariate(1 / _WAIT_S)):
            await cluster.node(name).cancel_change()


async def swap_member(context: FaultContext) -> None:
    """Have the leader replace a voter, itself maybe, by a node that has no vote, or add one, or do without one."""
    cluster, rng = context.cluster, context.rng
    name = cluster.leader()
    if name is None or cluster.without_store:
        return
    members = cluster.node(name).members()
    voters = sorted(members.goal_voters)
    others = sorted({*cluster.node_ids} - members.goal_voters)
    kind = rng.choice(("swap", "swap", "add", "remove"))
    if kind != "add" and len(voters) > (kind == "remove"):
        voters.remove(rng.choice(voters))
    if kind != "remove" and others and len(voters) < _MOST_VOTERS:
        voters.append(rng.choice(others))
    if voters:
        await _change(context, name, voters, sorted(members.goal_learners - {*voters}))


async def change_priority(context: FaultContext) -> None:
    """Have the leader give a voter another priority. Not all members may know what that is."""
    cluster, rng = context.cluster, context.rng
    name = cluster.leader()
    if name is None:
        return
    voter = rng.choice(sorted(cluster.node(name).members().voters))
    with suppress(RaftError), trio.move_on_after(rng.expovariate(1 / _WAIT_S)):
        await cluster.node(name).change_members(priorities={voter: rng.randint(0, 2)})


async def change_version(context: FaultContext) -> None:
    """Put a node of an older version, which knows no priorities, into a node's place, or the other way round. Not the
    older one where its own store says that the cluster has come to use them: it would not start.
    """
    cluster = context.cluster
    older, name = cluster.network.older, context.some_node()
    cluster.tolerated = (FeatureMissing,)  # it may have been turned on without this node hearing of it
    # This network knows at once what a node can do: nobody may still count on what they have heard of the one before.
    await context.take_down(name, down_s=5 * cluster.config.election_timeout_s[1])
    stored = cluster.disk(name).state.configurations
    used = stored and PRIORITY in decode_configuration(stored[-1].data).features
    if name in older or used:
        older.pop(name, None)
    else:
        older[name] = FEATURES - {PRIORITY}


async def move_member(context: FaultContext) -> None:
    """Have a node come back at another address, which only its own settings say."""
    cluster, rng = context.cluster, context.rng
    name = rng.choice(cluster.initial_voters)
    cluster.move(name, f"{name}.test:{rng.randint(1, 9)}")
    await context.take_down(name)


async def pose(context: FaultContext) -> None:
    """Have somebody say to a node what would do most harm, in the name of another one: nobody may take it for that."""
    cluster, rng = context.cluster, context.rng
    receiver = context.some_running()
    if receiver is None:
        return
    victim = rng.choice([name for name in cluster.node_ids if name != receiver])
    status = cluster.node(receiver).status()
    term, last, later = status.term, status.last_index, status.term + rng.randint(1, 3)
    entry = EntryBatch.encode(last + 1, term, EntryKind.COMMAND, [b"forged"])
    message = rng.choice(
        (
            RequestVote(later, last + 100, later, leadership_transfer=True),
            RequestVoteReply(term, granted=True),
            AppendEntries(term, last, term, last + 1, (entry,)),
            AppendEntries(later, 0, 0, 0),
            AppendEntriesAccepted(term, last + 1),
            TimeoutNow(term, lease_over=True),
            RequestLeave(term),
        )
    )
    cluster.facts.forged[id(message)] = message
    cluster.network.pose("mallory", victim, receiver, message)


async def leave(context: FaultContext) -> None:
    """Have a node leave for good; it is started again later, and waits to be made a member."""
    cluster = context.cluster
    members = cluster.members()
    if members is None or len(members.voters) < 2 or cluster.without_store:
        return
    name = context.some_running()
    if name is not None:
        with suppress(RaftError), context.changing(), trio.move_on_after(_LEAVE_S):
            await cluster.node(name).aclose(leave=True)
        context.left_at = trio.current_time()


async def _change(context: FaultContext, leader: str, voters: list[str], learners: list[str]) -> None:
    addresses = [{name: f"{name}.test:1" for name in names} for names in (voters, learners)]
    with suppress(RaftError), context.changing(), trio.move_on_after(context.rng.expovariate(1 / _WAIT_S)):
        await context.cluster.node(leader).change_members(*addresses)


MEMBER_ACTIONS: dict[str, Action] = {
    function.__name__: function
    for function in (change_members, swap_member, move_member, change_priority, change_version, pose, leave, lose_store)
}
"""Name → action."""
