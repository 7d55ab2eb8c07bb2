"""Trouble of other kinds: slow and hung disks, slow and failing state machines, overload, lost leadership, shutdown."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Iterable
from typing import Any

import attrs
import pytest
import trio

from raft_actors import (
    CommandFailed,
    CommandTooLarge,
    LeadershipLost,
    NodeConfig,
    NodeStopped,
    NotLeader,
    Overloaded,
    RoleName,
    StateMachine,
)
from raft_actors.testing import RELIABLE, CheckFailed, open_cluster
from tests.cluster.support import CommandLog, Commands, LogCluster, open_log, seeds, snapshotting


def follower(cluster: LogCluster, leader: str) -> str:
    return next(name for name in cluster.node_ids if name != leader)


# --- disks -------------------------------------------------------------------------------------------------------


@seeds(5)
async def test_a_hung_leader_disk_loses_nothing(seed: int) -> None:
    """The others' disks are a quorum: what the leader can't write is committed all the same, and survives it."""
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        cluster.disk(leader).write_delay_s = math.inf
        proposed = [commands() for _ in range(20)]
        with trio.fail_after(5):
            assert await cluster.node(leader).propose_many(proposed) == list(range(2, 22))
        cluster.crash(leader)
        cluster.disk(leader).write_delay_s = 0.001
        await cluster.one(commands(), 2)
        await cluster.start(leader)
        await cluster.one(commands(), 3)
        assert [entry.command for entry in cluster.checks.history[1:21]] == proposed


@seeds(3)
async def test_a_leader_with_a_hung_disk_takes_on_only_so_much(seed: int) -> None:
    config = NodeConfig(max_uncommitted_bytes=10_000, max_command_bytes=1_000)
    async with open_log(3, seed, config=config) as cluster:
        leader = await cluster.wait_for_one_leader()
        cluster.disk(leader).write_delay_s = math.inf
        commands = Commands()
        done = 0

        async def propose_until_refused() -> None:
            nonlocal done
            while True:
                await cluster.node(leader).propose(commands(size=500))
                done += 1

        with pytest.raises(Overloaded, match=r"bytes and .* writes behind"):
            await propose_until_refused()
        assert 10 < done < 30
        assert cluster.node(leader).statistics().unsynced_bytes < 20_000


@seeds(3)
async def test_more_writes_than_wait_for_a_hung_disk(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the commands, a leader whose disk hangs refuses in time, instead of crashing on its full queue."""
    monkeypatch.setattr("raft_actors.persistence.actor._CAPACITY", 200)
    monkeypatch.setattr("raft_actors.state._MOST_UNSYNCED_WRITES", 100)
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        cluster.disk(leader).write_delay_s = math.inf
        for call in (lambda node: node.propose(b"x"), lambda node: node.read(lambda _: None)):
            refused = 0
            with trio.move_on_after(5):
                for _ in range(200):
                    try:
                        await call(cluster.node(leader))
                    except Overloaded:
                        refused += 1
            assert refused > 50


@seeds(3)
async def test_a_hung_follower_disk_is_not_counted(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        first, second = (name for name in cluster.node_ids if name != leader)
        cluster.disk(first).write_delay_s = math.inf
        await cluster.one(commands(), 2)
        cluster.crash(second)
        started = await cluster.start_command(leader, commands())
        assert started is not None
        await trio.sleep(3)
        assert cluster.n_committed(started.index)[0] == 0, "committed by one disk of three"


@seeds(3)
async def test_power_cuts_at_any_moment(seed: int) -> None:
    """Slow disks, so that much is unwritten when the power goes; what was acknowledged is there afterwards."""
    async with open_cluster(CommandLog, nodes=3, seed=seed, disk_delay_s=0.02) as cluster:
        rng, commands = cluster.rng, Commands()
        acknowledged: list[bytes] = []

        async def client() -> None:
            while True:
                command = commands()
                for node in list(cluster.nodes.values()):
                    try:
                        with trio.move_on_after(0.5):
                            await node.propose(command)
                            acknowledged.append(command)
                            break
                    except (NotLeader, LeadershipLost, NodeStopped, Overloaded):
                        pass
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(client)
            for _ in range(40):
                await trio.sleep(rng.uniform(0, 1))
                await cluster.restart(*rng.sample(cluster.node_ids, rng.choice((1, 2, 3))))
            nursery.cancel_scope.cancel()
        await cluster.one(commands(), 3)
        assert len(acknowledged) > 20
        assert set(acknowledged) <= {entry.command for entry in cluster.checks.history}


# --- state machines ----------------------------------------------------------------------------------------------


class Fussy(CommandLog):
    """Refuses some commands."""

    def apply(self, command: bytes) -> int:
        if command.startswith(b"bad"):
            raise ValueError(f"no {command!r}")
        return super().apply(command)


@seeds(3)
async def test_a_state_machine_that_raises_goes_on(seed: int) -> None:
    async with open_cluster(Fussy, seed=seed, config=snapshotting(3)) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        assert await node.propose(b"good") == 1
        with pytest.raises(CommandFailed) as caught:
            await node.propose(b"bad")
        assert isinstance(caught.value.__cause__, ValueError)
        one, failed, other = await node.propose_many([b"a", b"bad again", b"b"])
        assert (one, other) == (2, 3)
        assert isinstance(failed, CommandFailed)
        assert failed.index == node.status().last_index - 1
        await cluster.one(b"on all of them", 3)
        await cluster.restart()
        await cluster.one(b"and again", 3)
        assert cluster.state_machine("n1").commands_applied == cluster.state_machine("n3").commands_applied


class CannotSnapshot(CommandLog):
    def snapshot(self) -> Iterable[bytes]:
        raise RuntimeError("no room")


async def test_a_state_machine_that_cannot_snapshot_ends_its_node() -> None:
    async def scenario() -> None:
        async with open_cluster(CannotSnapshot, seed=1, config=snapshotting(3)) as cluster:
            for number in range(5):
                await cluster.one(b"%d" % number, 1)
            await trio.sleep_forever()

    with pytest.raises(CheckFailed, match="StateMachineError: the state machine can't take a snapshot at index 3"):
        await scenario()


class Slow(StateMachine[bytes, None]):
    """Takes its time, on the simulated clock: each command costs what it says in milliseconds."""

    def __init__(self) -> None:
        self.applied = 0

    def apply(self, command: bytes) -> None:
        self.applied += 1
        clock: Any = trio.lowlevel.current_clock()
        clock.jump(int(command) / 1000)

    def snapshot(self) -> Iterable[bytes]:
        return [b"%d" % self.applied]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.applied = int(b"".join([chunk async for chunk in chunks]))


@seeds(3)
async def test_a_slow_state_machine_does_not_stop_heartbeats(seed: int) -> None:
    """Seconds of work in pieces of 5 ms, on a simulated processor that all nodes share: nobody loses the lead."""
    async with open_cluster(Slow, seed=seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.agreed_term()
        with trio.fail_after(60):
            await cluster.node(leader).propose_many([b"5"] * 400)
        await trio.sleep(5)
        assert cluster.leader() == leader
        assert cluster.agreed_term() == term
        assert [cluster.state_machine(name).applied for name in cluster.node_ids] == [400, 400, 400]


@seeds(3)
async def test_one_follower_that_applies_slowly_holds_up_nobody(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        leader = await cluster.wait_for_one_leader()
        slow = follower(cluster, leader)
        # It hears everything a second late, so it is always behind; nobody waits for it.
        late = attrs.evolve(RELIABLE, delay_s=(1.0, 1.0))
        cluster.network.set_link_faults(leader, slow, late)
        begin = trio.current_time()
        for _ in range(20):
            await cluster.one(commands(), 2, retry=False)
        assert trio.current_time() - begin < 10
        cluster.network.set_link_faults(leader, slow, None)
        await cluster.one(commands(), 3)


# --- proposers ---------------------------------------------------------------------------------------------------


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
    """Half of it may be committed: its proposer learns that it can't know, and later results stay with their owners."""
    config = NodeConfig(max_append_bytes=100, max_inflight_appends=1)
    async with open_log(3, seed, config=config) as cluster:
        leader = await cluster.wait_for_one_leader()
        lost = []

        async def propose() -> None:
            with pytest.raises(LeadershipLost) as caught:
                await cluster.node(leader).propose_many([b"%030d" % n for n in range(200)])
            lost.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(propose)
            await trio.sleep(0.05)
            cluster.disconnect(leader)
            second = await cluster.wait_for_one_leader()
            before = len(cluster.checks.history)
            assert 0 < before < 200
            assert await cluster.node(second).propose(b"next") == before + 1
            cluster.connect(leader)
        assert lost[0].term < cluster.node(second).status().term
        third = await cluster.wait_for_one_leader()
        count = len(cluster.checks.history)
        assert await cluster.node(third).propose_many([b"a", b"b"]) == [count + 1, count + 2]


@seeds(3)
async def test_errors_say_what_happened(seed: int) -> None:
    config = NodeConfig(max_command_bytes=100)
    async with open_log(3, seed, config=config) as cluster:
        with pytest.raises(NotLeader) as nobody:
            await cluster.node("n1").propose(b"too early")
        assert nobody.value.leader is None
        leader = await cluster.wait_for_one_leader()
        other = cluster.node(follower(cluster, leader))
        assert await other.wait_leader() == leader
        for call in (other.propose(b"x"), other.propose_many([b"x"]), other.read(len)):
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
async def test_a_cut_off_leader_answers_that_the_outcome_is_open(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        await node.propose(b"committed")
        cluster.disconnect(leader)
        begin = trio.current_time()
        last_index = node.status().last_index
        with pytest.raises(LeadershipLost) as command, trio.fail_after(5):
            await node.propose(b"open")
        assert trio.current_time() - begin < 1.5
        assert command.value.index == last_index + 1
        assert node.status().role is not RoleName.LEADER
        with pytest.raises(NotLeader):
            await node.read(lambda _: None)
        second = await cluster.wait_for_one_leader()
        assert await cluster.node(second).propose(b"other") == 2
        cluster.connect(leader)
        await cluster.one(b"healed", 3)
        assert b"open" not in {entry.command for entry in cluster.checks.history}


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
async def test_shutdown_lets_what_was_accepted_finish(seed: int) -> None:
    async with open_cluster(CommandLog, seed=seed, disk_delay_s=0.05) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        pending = [node.propose_nowait(b"%d" % n) for n in range(20)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.stop, leader)
            await trio.lowlevel.checkpoint()
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
