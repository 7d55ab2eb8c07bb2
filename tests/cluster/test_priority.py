"""Priorities in a simulated cluster: who leads, and that nobody is the worse for it."""

from __future__ import annotations

from contextlib import suppress

import trio

from raft_actors import LeadershipLost
from tests.cluster.support import LogCluster, open_log, seeds


async def leads(cluster: LogCluster, name: str, *, within_s: float) -> None:
    with trio.fail_after(within_s):  # noqa: ASYNC912 - what holds already need not be waited for
        while cluster.leader() != name:  # noqa: ASYNC110 - what a test waits for is no event
            await trio.sleep(0.05)


@seeds(2)
async def test_leadership_goes_to_the_preferred_node_and_comes_back_to_it(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.one(b"x", 3)
        other, preferred = sorted({*cluster.node_ids} - {leader})
        proposed = [0]

        async def load() -> None:
            while True:
                with suppress(LeadershipLost):  # the leader's power is cut in the middle of it
                    await cluster.node(other).propose(b"%d" % proposed[0])
                    proposed[0] += 1
                await trio.sleep(0.1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(load)
            changed = await cluster.node(leader).change_members(priorities={preferred: 10, other: 1})
            assert changed.members[preferred].priority == 10
            await leads(cluster, preferred, within_s=5.0)
            cluster.crash(preferred)  # any other one leads at once
            before = proposed[0]
            await leads(cluster, other, within_s=8.0)
            await trio.sleep(2.0)  # what the one that crashed was handed is asked after for two election timeouts
            assert proposed[0] > before
            await cluster.start(preferred)
            await leads(cluster, preferred, within_s=10.0)
            term = cluster.node(preferred).status().term
            await trio.sleep(5.0)
            assert cluster.node(preferred).status().term == term  # there it stays
            nursery.cancel_scope.cancel()


@seeds(2)
async def test_one_that_can_not_be_heard_holds_nothing_up(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.one(b"x", 3)
        preferred = next(name for name in cluster.node_ids if name != leader)
        node = cluster.node(leader)
        await node.change_members(priorities={leader: 20, preferred: 10})
        cluster.network.cut(preferred, leader)  # it hears, and is not heard
        await trio.sleep(1.0)
        await node.change_members(priorities={leader: 0})
        for number in range(60):
            with trio.fail_after(0.1):
                await node.propose(b"%d" % number)
            await trio.sleep(0.05)
        cluster.heal()
        await leads(cluster, preferred, within_s=5.0)
