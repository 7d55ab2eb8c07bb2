"""What a plan can do to the members of a cluster. See `actions`.

None of it goes together with disks that are destroyed: which of them a cluster can do without depends on its members.
"""

from __future__ import annotations

from contextlib import suppress

import trio

from raft_actors.errors import RaftError
from raft_actors.testing.campaigns import Action
from raft_actors.testing.fault_context import FaultContext

_MOST_VOTERS = 5
_MOST_LEARNERS = 2

#: How long whoever has asked for a change waits for its end, on average. It goes on all the same.
_WAIT_S = 2.0
_LEAVE_S = 3.0


async def change_members(torment: FaultContext) -> None:
    """Have the leader make some other nodes the members; now and then somebody changes their mind."""
    cluster, rng = torment.cluster, torment.rng
    name = cluster.leader()
    if name is None:
        return
    names = torment.shuffled()
    count = rng.randint(1, min(_MOST_VOTERS, len(names)))
    voters, rest = names[:count], names[count:]
    learners = rest[: rng.randint(0, _MOST_LEARNERS)]
    await _change(torment, name, voters, learners)
    if rng.random() < 0.2 and name in cluster.nodes:
        with suppress(RaftError), trio.move_on_after(rng.expovariate(1 / _WAIT_S)):
            await cluster.node(name).cancel_change()


async def swap_member(torment: FaultContext) -> None:
    """Have the leader replace a voter, itself maybe, by a node that has no vote, or add one, or do without one."""
    cluster, rng = torment.cluster, torment.rng
    name = cluster.leader()
    if name is None:
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
        await _change(torment, name, voters, sorted(members.goal_learners - {*voters}))


async def leave(torment: FaultContext) -> None:
    """Have a node leave for good; it is started again later, and waits to be made a member."""
    cluster = torment.cluster
    members = cluster.members()
    if members is None or len(members.voters) < 2:
        return
    name = torment.some_running()
    if name is not None:
        with suppress(RaftError), trio.move_on_after(_LEAVE_S):
            await cluster.node(name).aclose(leave=True)


async def _change(torment: FaultContext, leader: str, voters: list[str], learners: list[str]) -> None:
    addresses = [{name: f"{name}.test:1" for name in names} for names in (voters, learners)]
    with suppress(RaftError), trio.move_on_after(torment.rng.expovariate(1 / _WAIT_S)):
        await torment.cluster.node(leader).change_members(*addresses)


MEMBER_ACTIONS: dict[str, Action] = {function.__name__: function for function in (change_members, swap_member, leave)}
"""Name → action."""
