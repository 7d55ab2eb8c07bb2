"""A crash at every durable step of a change of members, of every node that takes part in it."""

from __future__ import annotations

import pytest
import trio

from raft_actors import ChangePhase, RaftError
from tests.cluster.membership import newcomers
from tests.cluster.support import Commands, LogCluster, open_log

SEED = 11

#: So many writes no node makes during the change.
_MOST_WRITES = 60


async def bring_back(cluster: LogCluster, victim: str, crashes: list[str]) -> None:
    """Start a node again, some time after it has crashed, and note that."""
    while True:
        await trio.sleep(0.05)
        if victim not in cluster.nodes:
            crashes.append(victim)
            await trio.sleep(0.3)
            await cluster.wait_down(victim)
            await cluster.start(victim)


async def change_at_last(cluster: LogCluster, goal: set[str]) -> None:
    """Ask for the change until it is made, as an operator would."""
    while True:
        leader = await cluster.wait_for_one_leader()
        try:
            members = await cluster.node(leader).change_members(newcomers(*goal))
        except RaftError:
            continue
        assert members.voters == goal
        return


async def crash_at(role: str, write: int) -> bool:
    """Replace two of three voters, the leader among them, and add one; a node crashes at its `write`-th write from the
    beginning on. Returns whether it came to that write before the change was over.
    """
    command, crashes = Commands(), list[str]()
    async with open_log(3, SEED, joiners=3) as cluster:
        leader = await cluster.wait_for_one_leader()
        first, second = sorted({"n1", "n2", "n3"} - {leader})
        victim = {"leader": leader, "stays": first, "goes": second, "joins": "n4"}[role]
        goal = {first, "n4", "n5", "n6"}
        for _ in range(3):
            await cluster.one(command(), 3)
        cluster.disk(victim).lose_power_at_write(write)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bring_back, cluster, victim, crashes)
            with trio.fail_after(60):
                await change_at_last(cluster, goal)
            # The victim may end just now: who asked knows the outcome as soon as it is decided.
            await cluster.one(command(), len(goal))
            nursery.cancel_scope.cancel()
        members = cluster.members()
        assert members is not None
        assert (sorted(members.voters), members.phase, members.committed) == (sorted(goal), ChangePhase.STABLE, True)
        return bool(crashes)


@pytest.mark.parametrize("role", ["leader", "stays", "goes", "joins"])
async def test_a_crash_at_every_write_of_a_change_costs_neither_safety_nor_the_change(role: str) -> None:
    write = 1
    while await crash_at(role, write):
        write += 1
        assert write < _MOST_WRITES
    assert write > 5
