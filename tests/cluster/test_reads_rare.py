"""Reads at a leader that others have replaced, or cannot hear: what takes an exact order of events to go wrong."""

from __future__ import annotations

import trio

from raft_actors import LeadershipLost
from raft_actors.testing import simulate
from raft_actors.testing.simulation import Simulation
from raft_actors.transports.faults import Faults
from tests.cluster.support import CommandLog, seeds
from tests.cluster.test_leases import next_leader

#: A clock so slow that a leader does not miss the answers of a majority in time.
SLOW = 0.02


async def read_last(cluster: Simulation[bytes, int], node: str, into: list[bytes]) -> None:
    """Read the last command there, as far as that node can be sure of it."""
    try:
        into.append(await cluster.node(node).read(lambda log: log.inner.commands_applied[-1]))
    except LeadershipLost:
        into.append(b"lost")


@seeds(2)
async def test_a_question_that_was_lost_is_asked_again(seed: int) -> None:
    async with simulate(CommandLog, nodes=3, seed=seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).propose(b"x")
        others = set(cluster.node_ids) - {leader}
        read: list[bytes] = []
        cluster.cut({leader}, others)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_last, cluster, leader, read)
                await trio.sleep(0.05)
                assert read == []
                cluster.mend_cut({leader}, others)
        assert read == [b"x"]


@seeds(2)
async def test_who_has_gone_on_confirms_no_leader_of_an_older_term(seed: int) -> None:
    """It hears nothing of the next leader, and the one follower that it reaches follows that one."""
    async with simulate(CommandLog, nodes=3, seed=seed) as cluster:
        old = await cluster.wait_for_one_leader()
        await cluster.node(old).propose(b"x")
        cluster.clock(old).set_rate(SLOW)
        cluster.isolate(old)
        new = await next_leader(cluster, old)
        await cluster.node(new).propose(b"new")
        cluster.cut({new}, {old})
        cluster.partition()
        read: list[bytes] = []
        await read_last(cluster, old, read)
        assert read == [b"lost"]


@seeds(2)
async def test_a_read_waits_for_answers_to_a_question_that_was_asked_after_it_came(seed: int) -> None:
    """The answers to an earlier one are two seconds under way, and another node leads when they arrive."""
    async with simulate(CommandLog, nodes=3, seed=seed) as cluster:
        old = await cluster.wait_for_one_leader()
        await cluster.node(old).propose(b"x")
        await trio.sleep(1)
        others = set(cluster.node_ids) - {old}
        for name in others:
            cluster.network.set_link_faults(name, old, Faults(delay_s=(2.0, 2.0)))
        cluster.clock(old).set_rate(SLOW)
        early, late = list[bytes](), list[bytes]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_last, cluster, old, early)
            await trio.sleep(0.05)
            cluster.cut({old}, others)
            new = await next_leader(cluster, old)
            await cluster.node(new).propose(b"new")
            assert early == []
            nursery.start_soon(read_last, cluster, old, late)
            await trio.sleep(0.05)
            cluster.mend_cut({old}, others)
        assert late == [b"lost"]
