"""Every fault does what it says."""

from __future__ import annotations

import pytest
import trio

from raft_actors import ConfigurationError, NodeConfig, StorageCorrupt, StorageFailed, StorageFull
from raft_actors.persistence import HardState, LogWrite, StoreIdentity
from raft_actors.raft.transitions import RoleName
from raft_actors.testing import Simulation, simulate
from raft_actors.testing.storage import SimulatedStorage
from raft_actors.transports.faults import Faults
from tests.cluster.support import CommandLog, follower, snapshotting

Cluster = Simulation[bytes, int]


def kinds(cluster: Cluster) -> list[str]:
    return [event["kind"] for event in cluster.trace.events()]


# --- processes -------------------------------------------------------------------------------------------------------


async def test_a_paused_leader_is_replaced_and_finds_out() -> None:
    async with simulate(CommandLog, seed=1, trace=True) as cluster:
        old = await cluster.wait_for_one_leader()
        cluster.pause(old)
        await trio.sleep(3)
        assert cluster.node(old).status().role is RoleName.LEADER, "it has not noticed anything"
        others = [name for name in cluster.node_ids if name != old]
        leaders = {cluster.node(name).status().leader for name in others}
        assert len(leaders) == 1
        assert leaders < set(others)
        cluster.resume(old)
        await trio.sleep(1)
        assert cluster.node(old).status().role is RoleName.FOLLOWER
        assert "pause" in kinds(cluster)
        assert "resume" in kinds(cluster)


async def test_a_paused_node_takes_in_what_was_sent_meanwhile() -> None:
    async with simulate(CommandLog, seed=2) as cluster:
        leader = await cluster.wait_for_one_leader()
        slow = next(name for name in cluster.node_ids if name != leader)
        cluster.pause(slow, clock_stands=True)
        before = cluster.clock(slow).now()
        index = await cluster.one(b"x", 2)
        assert cluster.applied_index(slow) < index
        assert cluster.clock(slow).now() == before
        cluster.resume(slow)
        await cluster.wait_applied(index, 3)
        assert cluster.clock(slow).now() < trio.current_time()


async def test_a_crash_in_the_middle_of_a_step() -> None:
    async with simulate(CommandLog, seed=3, trace=True) as cluster:
        leader = await cluster.wait_for_one_leader()
        cluster.crash_at_step(leader, 5)
        await trio.sleep(1)
        assert leader not in cluster.nodes
        [crash] = (event for event in cluster.trace.events() if event["kind"] == "crash")
        after = [event for event in cluster.trace.events() if event.get("node") == leader and event["n"] > crash["n"]]
        goes_on = {(event["kind"], event["t"]) for event in after if event["kind"] != "durable"}
        assert goes_on <= {("receive", crash["t"])}, "a dead node goes on"  # but for noting at what it crashed
        assert await cluster.try_start(leader)
        await cluster.one(b"x", 3)


async def test_slow_apply_holds_up_the_node() -> None:
    async with simulate(CommandLog, seed=4) as cluster:
        leader = await cluster.wait_for_one_leader()
        slow = next(name for name in cluster.node_ids if name != leader)
        cluster.slow_apply(slow, 0.5)
        begin = trio.current_time()
        first = await cluster.one(b"x", 2)
        second = await cluster.one(b"y", 2)
        await cluster.wait_applied(second, 3)
        assert trio.current_time() - begin > 0.5
        assert first < second


# --- network ---------------------------------------------------------------------------------------------------------


async def test_a_stalled_node_gets_everything_in_the_end() -> None:
    async with simulate(CommandLog, seed=5) as cluster:
        leader = await cluster.wait_for_one_leader()
        name = next(name for name in cluster.node_ids if name != leader)
        cluster.stall(name)
        index = await cluster.one(b"x", 2)
        await trio.sleep(0.3)
        assert cluster.applied_index(name) < index
        assert cluster.network.link_statistics(leader, name).in_flight > 0
        cluster.unstall(name)
        await cluster.wait_applied(index, 3)
        assert cluster.network.link_statistics(leader, name).in_flight < 3


async def test_a_stalled_peer_takes_no_more_than_the_link_holds() -> None:
    async with simulate(CommandLog, seed=5, trace=True) as cluster:
        cluster.network.max_in_flight = 3
        leader = await cluster.wait_for_one_leader()
        name = next(name for name in cluster.node_ids if name != leader)
        cluster.stall(name)
        await trio.sleep(5)
        assert cluster.network.link_statistics(leader, name).in_flight <= 3
        assert "full" in {event.get("why") for event in cluster.trace.events()}


async def test_a_slow_link_carries_one_after_the_other() -> None:
    patient = NodeConfig(election_timeout_s=(5.0, 8.0))
    async with simulate(CommandLog, seed=6, config=patient) as cluster:
        await trio.sleep(10)
        leader = await cluster.wait_for_one_leader()
        slow, fast = (name for name in cluster.node_ids if name != leader)
        cluster.slow_link(leader, slow, 1_000.0)
        begin = trio.current_time()
        index = await cluster.one(b"x" * 2_000, 2)
        assert trio.current_time() - begin < 1
        assert cluster.applied_index(fast) >= index
        await cluster.wait_applied(index, 3)
        assert trio.current_time() - begin > 2


async def test_nothing_gets_through_a_cut_and_everything_the_other_way() -> None:
    async with simulate(CommandLog, seed=7, trace=True) as cluster:
        leader = await cluster.wait_for_one_leader()
        mute = next(name for name in cluster.node_ids if name != leader)
        others = [name for name in cluster.node_ids if name != mute]
        cluster.cut([mute], others)
        begin = cluster.trace.count
        index = await cluster.one(b"x", 3)
        assert cluster.applied_index(mute) >= index
        received = [event for event in cluster.trace.events() if event["kind"] == "receive" and event["n"] > begin]
        assert received
        assert all(event["sender"] != mute for event in received)
        cluster.mend_cut([mute], others)


async def test_a_bridge_reaches_both_sides() -> None:
    async with simulate(CommandLog, nodes=5, seed=8) as cluster:
        cluster.bridge("n3")
        assert cluster.network.is_open("n1", "n3")
        assert cluster.network.is_open("n3", "n5")
        assert not cluster.network.is_open("n1", "n5")
        cluster.isolate("n2")
        assert not cluster.network.is_open("n2", "n3")
        assert cluster.network.is_open("n1", "n5")
        await cluster.heal_all()
        assert cluster.network.is_open("n2", "n3")


async def test_old_messages_come_again() -> None:
    async with simulate(
        CommandLog, seed=9, faults=Faults(replay=0.5, replay_delay_s=(1.0, 2.0)), trace=True
    ) as cluster:
        await cluster.one(b"x", 3)
        await trio.sleep(4)
        sent = {event["id"]: event["t"] for event in cluster.trace.events() if event["kind"] == "send"}
        late = [
            event
            for event in cluster.trace.events()
            if event["kind"] == "receive" and event["t"] - sent[event["id"]] > 0.9
        ]
        assert len(late) > 10


@pytest.mark.parametrize("outlive", [False, True])
async def test_messages_under_way_when_the_receiver_restarts(outlive: bool) -> None:
    async with simulate(CommandLog, seed=10, faults=Faults(delay_s=(0.2, 0.2)), trace=True) as cluster:
        cluster.network.outlive = outlive
        leader = await cluster.wait_for_one_leader()
        victim = follower(cluster, leader)
        await cluster.one(b"w", 3)  # from here on, entries are sent at once
        await cluster.start_command(leader, b"x")
        await trio.sleep(0.1)  # half of the way
        await cluster.restart(victim)
        number = cluster.trace.count
        await trio.sleep(0.15)
        received = [event for event in cluster.trace.events() if event["kind"] == "receive" and event["n"] > number]
        assert any(event["node"] == victim for event in received) is outlive


# --- disks -----------------------------------------------------------------------------------------------------------


async def test_a_failed_write_ends_the_node_and_is_expected() -> None:
    async with simulate(CommandLog, seed=11) as cluster:
        await cluster.one(b"x", 3)
        cluster.disk("n2").fail_next_write()
        await cluster.one(b"y", 2)
        await trio.sleep(0.5)
        assert "n2" not in cluster.nodes
        assert [type(error) for error in cluster.disk("n2").raised] == [StorageFailed]
        assert await cluster.try_start("n2")
        await cluster.one(b"z", 3)


async def test_a_full_disk_stays_full_until_mended() -> None:
    async with simulate(CommandLog, seed=12) as cluster:
        await cluster.one(b"x", 3)
        disk = cluster.disk("n3")
        disk.fill()
        for command in (b"y", b"z"):
            await cluster.one(command, 2)
            await trio.sleep(0.5)
            assert "n3" not in cluster.nodes
            await cluster.try_start("n3")
        assert {type(error) for error in disk.raised} == {StorageFull}
        disk.mend()
        await cluster.try_start("n3")
        await cluster.one(b"last", 3)


async def test_a_storage_closes_though_a_write_that_nobody_waits_for_failed() -> None:
    async with simulate(CommandLog, seed=1) as cluster:
        cluster.crash("n1")
        disk = cluster.disk("n1")
        storage = SimulatedStorage.on(disk)
        await storage.open(StoreIdentity(cluster.node("n2").cluster.cluster_id, "n1"), tail_bytes=0)
        disk.fill()
        _ = storage.write([LogWrite(HardState(99))])
        await storage.aclose()
        assert disk.holder is None
        disk.mend()
        await cluster.start("n1")


async def test_a_hung_disk_answers_once_it_is_mended() -> None:
    async with simulate(CommandLog, seed=13) as cluster:
        leader = await cluster.wait_for_one_leader()
        name = next(name for name in cluster.node_ids if name != leader)
        cluster.disk(name).hang()
        index = await cluster.one(b"x", 2)
        await trio.sleep(1)
        assert cluster.disk(name).state.last_index < index
        cluster.disk(name).mend()
        await cluster.wait_applied(index, 3)
        assert name in cluster.nodes


@pytest.mark.parametrize("seed", range(1, 9))
async def test_power_lost_in_a_write_leaves_a_prefix(seed: int) -> None:
    async with simulate(CommandLog, seed=seed, disk_delay_s=0.05) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.one(b"first", 3)
        node, disk = cluster.node(leader), cluster.disk(leader)
        before, appended = disk.state.last_index, node.status().last_index  # the others have committed it, maybe
        disk.lose_power_at_write(2)
        pending = [node.propose_nowait(b"%d" % number) for number in range(5)]
        await trio.sleep(0.02)
        pending += [node.propose_nowait(b"%d" % number) for number in range(5, 10)]
        await trio.sleep(1)
        assert leader not in cluster.nodes
        assert before <= disk.state.last_index <= appended + 10
        assert all(one.done for one in pending)
        await cluster.check_liveness()


async def test_power_lost_while_a_snapshot_becomes_current() -> None:
    async with simulate(CommandLog, seed=14, config=snapshotting(10)) as cluster:
        await cluster.one(b"first", 3)
        cluster.disk("n2").lose_power_at_snapshot()
        for number in range(15):
            await cluster.one(b"%d" % number, 2)
        await trio.sleep(0.5)
        assert "n2" not in cluster.nodes
        await cluster.check_liveness()


async def test_a_damaged_record_is_never_read_as_if_it_were_whole() -> None:
    async with simulate(CommandLog, seed=15) as cluster:
        for number in range(5):
            await cluster.one(b"%d" % number, 3)
        cluster.crash("n2")
        assert cluster.disk("n2").damage()
        with pytest.raises(StorageCorrupt, match="checksum"):
            await cluster.start("n2")
        assert not await cluster.try_start("n2")
        assert "n2" in cluster.lost
        await cluster.check_liveness()


async def test_damage_that_a_running_node_meets_ends_it() -> None:
    async with simulate(CommandLog, seed=16, config=NodeConfig(log_cache_bytes=1)) as cluster:
        leader = await cluster.wait_for_one_leader()
        behind = next(name for name in cluster.node_ids if name != leader)
        cluster.crash(behind)
        for number in range(5):
            await cluster.one(b"%d" % number, 2)
        disk = cluster.disk(leader)
        disk.rng.seed(3)
        assert disk.damage()
        await cluster.start(behind)
        await trio.sleep(3)
        assert cluster.lost.keys() == {leader}
        await cluster.check_liveness()


async def test_a_damaged_chunk_of_a_snapshot_is_found() -> None:
    async with simulate(CommandLog, seed=17, config=snapshotting(5)) as cluster:
        for number in range(8):
            await cluster.one(b"%d" % number, 3)
        await trio.sleep(0.5)
        cluster.crash("n1")
        disk = cluster.disk("n1")
        disk.batches.clear()  # the damage has to be in the snapshot
        assert disk.damage()
        with pytest.raises(StorageCorrupt, match="chunk"):
            await cluster.start("n1")


async def test_an_older_copy_is_refused() -> None:
    async with simulate(CommandLog, seed=18) as cluster:
        await cluster.one(b"x", 3)
        disk = cluster.disk("n2")
        copy = disk.copy()
        await cluster.one(b"y", 3)
        with pytest.raises(ConfigurationError, match="crash or stop it first"):
            disk.replace(copy)
        newest = disk.copy()
        cluster.crash("n2")
        disk.replace(copy)
        with pytest.raises(StorageCorrupt, match="which were durable, are missing"):
            await cluster.start("n2")
        disk.replace(newest)
        await cluster.start("n2")
        await cluster.one(b"z", 3)


# --- clocks ----------------------------------------------------------------------------------------------------------


async def test_clocks_of_their_own() -> None:
    async with simulate(CommandLog, seed=20) as cluster:
        fast, slow = cluster.clock("n1"), cluster.clock("n2")
        fast.set_rate(2.0)
        slow.set_rate(0.5)
        begin = trio.current_time(), fast.now(), slow.now()
        await trio.sleep(2)
        assert (trio.current_time(), fast.now(), slow.now()) == pytest.approx(
            [begin[0] + 2, begin[1] + 4, begin[2] + 1]
        )
        slow.jump(10)
        assert slow.now() == pytest.approx(begin[2] + 11)
        for wrong in (-1.0, float("nan")):
            with pytest.raises(ConfigurationError):
                fast.set_rate(wrong)
            with pytest.raises(ConfigurationError):
                fast.jump(wrong)


async def test_a_jump_wakes_who_sleeps_and_standing_still_does_not() -> None:
    async with simulate(CommandLog, seed=21) as cluster:
        clock = cluster.clock("n1")
        woken: list[tuple[float, float]] = []

        async def sleep(until: float) -> None:
            await clock.node_clock.alarm().wait(until)
            woken.append((trio.current_time(), clock.now()))
            assert clock.now() >= until

        begin = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleep, clock.now() + 100)
            nursery.start_soon(sleep, clock.now() + 200)
            await trio.sleep(1)
            clock.jump(100)
            await trio.sleep(1)
            assert [round(at - begin) for at, _ in woken] == [1]
            clock.set_rate(0.0)
            await trio.sleep(500)
            assert len(woken) == 1
            clock.set_rate(3.0)
        assert len(woken) == 2
        assert woken[1][0] - begin == pytest.approx(502 + (200 - 102) / 3, abs=0.1)


@pytest.mark.parametrize("pre_vote", [True, False])
async def test_a_fast_clock_makes_an_impatient_node_that_pre_votes_hold_back(pre_vote: bool) -> None:
    async with simulate(CommandLog, seed=22, config=NodeConfig(pre_vote=pre_vote)) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.agreed_term()
        other = next(name for name in cluster.node_ids if name != leader)
        cluster.clock(other).set_rate(50.0)
        await trio.sleep(2)
        assert (cluster.node(other).status().term == term) is pre_vote


async def test_who_ends_only_after_the_faults_have_is_started_again() -> None:
    """Without it, one of two, nothing is committed."""
    async with simulate(CommandLog, seed=17, nodes=2, config=NodeConfig(check_quorum=False)) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.one(b"first", 2)
        other = next(name for name in cluster.node_ids if name != leader)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.check_liveness)
            nursery.start_soon(cluster.stop, other)
