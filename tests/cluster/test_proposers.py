"""What proposers and readers are told, whatever happens to the leader; and how nodes shut down."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from raft_actors import (
    CommandTooLarge,
    LeadershipLost,
    NodeConfig,
    NodeStopped,
    NotCommitted,
    NotLeader,
    Overloaded,
    RoleName,
)
from raft_actors.testing import open_cluster
from tests.cluster.support import CommandLog, follower, open_log, seeds


@seeds(3)
async def test_overloaded_proposers_wait_and_all_finish(seed: int) -> None:
    config = NodeConfig(max_pending_proposals=4, max_uncommitted_bytes=1_000, max_command_bytes=900)
    async with open_log(3, seed, config=config) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        results: list[int] = []

        async def propose(size: int) -> None:
            results.append(await node.propose(bytes(size)))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(propose, cluster.rng.choice((1, 10, 300, 900)))
        assert sorted(results) == list(range(1, 101))
        assert node.statistics().pending_proposals == 0
        assert node.statistics().pending_bytes == 0
        refused = 0
        for _ in range(20):
            try:
                node.propose_nowait(b"x")
            except Overloaded:
                refused += 1
        assert refused == 16
        await cluster.one(b"and it goes on", 3)


async def test_a_proposal_that_is_alone_is_decided_on_at_once_and_all_others_share_a_batch() -> None:
    async with open_log(3, 1) as cluster:
        node = cluster.node(await cluster.wait_for_one_leader())
        for _ in range(3):
            await node.propose(b"alone")
        written = cluster.disk(node.node_id).batches
        batches = len(written)
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(node.propose, b"together")
        assert [len(batch) for batch in written[batches:]] == [1, 9]
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(node.propose, b"together")
        assert [len(batch) for batch in written[batches + 2 :]] == [10]


@seeds(3)
async def test_many_commands_of_one_proposal_that_do_not_fit_one_message(seed: int) -> None:
    """Their results come back complete and in order, however the parts were committed."""
    config = NodeConfig(max_append_bytes=100, max_inflight_appends=1)
    async with open_log(3, seed, config=config) as cluster:
        leader = await cluster.wait_for_one_leader()
        assert await cluster.node(leader).propose_many([b"%030d" % n for n in range(50)]) == list(range(1, 51))
        pending = cluster.node(leader).propose_nowait(b"one more")
        assert await pending.wait() == 51


@seeds(5)
async def test_leadership_lost_in_the_middle_of_a_long_proposal(seed: int) -> None:
    """Half of it may be committed: its proposer learns which half, and later results stay with their owners."""
    config = NodeConfig(max_append_bytes=100, max_inflight_appends=1)
    async with open_log(3, seed, config=config) as cluster:
        leader = await cluster.wait_for_one_leader()
        lost = []

        async def propose() -> None:
            with pytest.raises(NotCommitted) as caught:
                await cluster.node(leader).propose_many([b"%030d" % n for n in range(200)])
            lost.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(propose)
            await trio.sleep(0.05)
            cluster.disconnect(leader)
            second = await cluster.wait_for_one_leader()
            before = len(cluster.facts.history)
            assert 0 < before < 200
            assert await cluster.node(second).propose(b"next") == before + 1
            cluster.connect(leader)
        assert lost[0].term < cluster.node(second).status().term
        assert lost[0].results == tuple(range(1, before + 1))
        third = await cluster.wait_for_one_leader()
        count = len(cluster.facts.history)
        assert await cluster.node(third).propose_many([b"a", b"b"]) == [count + 1, count + 2]


@seeds(3)
async def test_errors_say_what_happened(seed: int) -> None:
    config = NodeConfig(max_command_bytes=100)
    async with open_log(3, seed, config=config) as cluster:
        with pytest.raises(NotLeader) as nobody:
            await cluster.node("n1").propose(b"too early", forward=False)
        assert nobody.value.leader is None
        leader = await cluster.wait_for_one_leader()
        other = cluster.node(follower(cluster, leader))
        assert await other.wait_leader() == leader
        for call in (
            other.propose(b"x", forward=False),
            other.propose_many([b"x"], forward=False),
        ):
            with pytest.raises(NotLeader) as not_leader:
                await call
            assert not_leader.value.leader == leader
            assert not_leader.value.address == f"{leader}.test:1"
        with pytest.raises(NotLeader):
            other.propose_nowait(b"x")
        with pytest.raises(CommandTooLarge):
            await cluster.node(leader).propose(bytes(101))
        assert await cluster.node(leader).propose(bytes(100)) == 1


@seeds(5)
async def test_a_cut_off_leader_learns_what_became_of_its_proposals_when_it_is_back(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        await node.propose(b"committed")
        cluster.disconnect(leader)
        last_index = node.status().last_index
        pending = node.propose_nowait(b"open")
        with trio.move_on_after(5) as cut_off:
            await pending.wait()
        assert cut_off.cancelled_caught
        assert node.status().role is not RoleName.LEADER
        with pytest.raises(NotLeader):
            await node.read(lambda _: None)
        second = await cluster.wait_for_one_leader()
        assert await cluster.node(second).propose(b"other") == 2
        cluster.connect(leader)
        with pytest.raises(NotCommitted) as never, trio.fail_after(5):
            await pending.wait()
        assert (never.value.index, never.value.results) == (last_index + 1, ())
        await cluster.one(b"healed", 3)
        assert b"open" not in {entry.command for entry in cluster.facts.history}


@seeds(5)
async def test_a_deposed_leader_gets_the_result_of_what_its_successor_commits(seed: int) -> None:
    """Its last entry is on the others' disks when it is not heard any more: they commit it, and it tells what came."""
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        node, others = cluster.node(leader), [name for name in cluster.node_ids if name != leader]
        await node.propose(b"first")
        for other in others:
            cluster.network.cut(other, leader)
        pending = node.propose_nowait(b"second")
        for _ in range(50):
            await trio.sleep(0.1)
            if cluster.leader() not in (None, leader):
                break
        assert not pending.done
        cluster.network.heal()
        with trio.fail_after(5):
            assert await pending.wait() == 2


@seeds(5)
async def test_a_cut_off_leader_answers_no_read(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        await node.propose(b"old")
        cluster.disconnect(leader)
        with pytest.raises(LeadershipLost) as read, trio.fail_after(5):
            await node.read(lambda log: log.inner.commands_applied[-1])
        assert read.value.index is None


# --- shutdown ----------------------------------------------------------------------------------------------------


@seeds(3)
async def test_shutdown_lets_what_was_accepted_finish(seed: int, autojump_clock: MockClock) -> None:
    async with open_cluster(CommandLog, seed=seed, disk_delay_s=0.05) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        pending = [node.propose_nowait(b"%d" % n) for n in range(20)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.stop, leader)
            await wait_all_tasks_blocked()
            with pytest.raises(NodeStopped):
                await node.propose(b"too late")
        assert [await one.wait() for one in pending] == list(range(1, 21))
        assert leader not in cluster.nodes
        with pytest.raises(NodeStopped):
            await node.propose(b"much too late")
        await cluster.one(b"the others go on", 2)
        await cluster.start(leader)
        await cluster.one(b"all three", 3)


@seeds(3)
async def test_shutdown_does_not_wait_for_ever(seed: int) -> None:
    config = NodeConfig(shutdown_timeout_s=2.0, check_quorum=False)
    async with open_log(3, seed, config=config) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        cluster.disconnect(leader)
        pending = node.propose_nowait(b"never")
        begin = trio.current_time()
        await cluster.stop(leader)
        assert trio.current_time() - begin == pytest.approx(2.0)
        with pytest.raises(NodeStopped) as stopped:
            await pending.wait()
        assert stopped.value.index == 2
