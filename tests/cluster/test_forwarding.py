"""Any member takes proposals: they are handed on to the leader, once; its own state machine answers."""

from __future__ import annotations

import statistics

import pytest
import trio

from raft_actors import LeadershipLost, NodeStopped, NotCommitted, NotLeader
from raft_actors.testing import open_cluster
from raft_actors.testing.cluster import UNRELIABLE
from tests.cluster.support import CommandLog, follower, open_log, seeds


@seeds(3)
async def test_a_follower_proposes_and_gets_the_result(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(follower(cluster, leader))
        assert await node.propose(b"a") == 1
        assert await node.propose_many([b"b", b"c"]) == [2, 3]
        assert await cluster.node(leader).propose(b"d") == 4
        with pytest.raises(NotLeader):
            await node.propose(b"e", forward=False)


@seeds(3)
async def test_a_commit_is_heard_of_at_once_by_who_waits_for_it(seed: int) -> None:
    """Not with the next heartbeat, nor after the moment that a quiet leader waits for more."""
    async with open_cluster(CommandLog, seed=seed, disk_delay_s=0.0) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(follower(cluster, leader))
        took: list[float] = []
        for _ in range(20):
            begin = trio.current_time()
            await node.propose(b"x")
            took.append(trio.current_time() - begin)
        assert statistics.median(took) < 0.004  # four ways of at most a millisecond each


@seeds(3)
async def test_what_is_proposed_before_there_is_a_leader_waits_for_one(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        assert await cluster.node("n1").propose(b"early") == 1


@seeds(3)
async def test_a_proposal_whose_wait_ends_before_there_is_a_leader_is_never_made(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        with trio.move_on_after(0.05) as patience:
            await cluster.node("n1").propose(b"given up")
        assert patience.cancelled_caught
        assert await cluster.one(b"other", 3) > 0
        assert b"given up" not in {entry.command for entry in cluster.facts.history}


@seeds(10)
async def test_nothing_is_carried_out_twice_or_lost_on_a_bad_network(seed: int) -> None:
    """Forwarded batches and answers are lost, late and doubled; the leader changes; each command takes effect at most
    once, and once where its proposer was given a result."""
    async with open_log(3, seed) as cluster:
        await cluster.wait_for_one_leader()
        cluster.network.set_faults(UNRELIABLE)
        done: list[bytes] = []
        never: list[bytes] = []

        async def propose(name: str, number: int) -> None:
            for count in range(20):
                command = b"%s %d %d" % (name.encode(), number, count)
                try:
                    await cluster.node(name).propose(command)
                except NotCommitted:
                    never.append(command)
                except LeadershipLost:
                    continue
                else:
                    done.append(command)

        async with trio.open_nursery() as nursery:
            for name in cluster.node_ids:
                for number in range(3):
                    nursery.start_soon(propose, name, number)
            for _ in range(3):
                await trio.sleep(cluster.rng.uniform(0.1, 1.0))
                leader = cluster.leader()
                if leader is not None:
                    cluster.network.partition([leader], [name for name in cluster.node_ids if name != leader])
                    await trio.sleep(1.5)
                    cluster.network.partition()
        cluster.reliable()
        await cluster.one(b"last", 3)
        applied = [entry.command for entry in cluster.facts.history if entry.command != b"last"]
        assert len(set(applied)) == len(applied)
        assert set(done) <= set(applied)
        assert not set(never) & set(applied)
        assert len(done) > 100


@seeds(3)
async def test_a_leader_that_is_handed_over_loses_no_proposal_of_another_member(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(follower(cluster, leader))
        results: list[int] = []

        async def propose() -> None:
            for _ in range(10):
                results.append(await node.propose(b"x"))  # noqa: PERF401 - they come one by one

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(propose)
            for _ in range(3):
                await trio.sleep(0.01)
                leading = await node.wait_leader()
                with trio.move_on_after(1):
                    await cluster.node(leading).transfer_leadership()
        assert sorted(results) == list(range(1, 81))


@seeds(3)
async def test_a_member_that_ends_says_which_proposals_it_had_handed_on(seed: int) -> None:
    """The leader has committed the one, and its answer did not come; another had been handed to nobody."""
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        name = follower(cluster, leader)
        under_way: dict[bytes, bool] = {}

        async def propose(command: bytes) -> None:
            with pytest.raises(NodeStopped) as stopped:
                await cluster.node(name).propose(command)
            assert stopped.value.index is None
            under_way[command] = stopped.value.under_way

        async with trio.open_nursery() as nursery:
            cluster.network.cut(leader, name)  # no answer comes back
            nursery.start_soon(propose, b"handed on")
            await trio.sleep(0.05)
            state = cluster.node(name)._supervisor.recovered_state()
            assert state.outbox.sent
            state.outbox._pause = (state.term, float("inf"))  # as the leader may ask for
            nursery.start_soon(propose, b"kept")
            await trio.sleep(0.01)
            cluster.node(name)._supervisor.stop()
        assert under_way == {b"handed on": True, b"kept": False}
        await trio.sleep(1.0)
        assert [entry.command for entry in cluster.facts.history] == [b"handed on"]
