"""Trouble of other kinds: slow and hung disks, slow and failing state machines."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterable, Iterable
from typing import Any

import attrs
import pytest
import trio

from raft_actors import (
    CommandFailed,
    LeadershipLost,
    NodeConfig,
    NodeStopped,
    NotCommitted,
    NotLeader,
    Overloaded,
    RoleName,
    StateMachine,
)
from raft_actors.testing import RELIABLE, CheckFailed, open_cluster, simulate
from tests.cluster.support import CommandLog, Commands, LogCluster, follower, open_log, seeds, snapshotting

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
        assert [entry.command for entry in cluster.facts.history[1:21]] == proposed


async def _keep_proposing(cluster: LogCluster, node_id: str) -> None:
    """Until it leads no more. However many it takes on, another leader has to come."""
    commands = Commands()
    with contextlib.suppress(NotLeader, LeadershipLost):
        while True:
            await cluster.node(node_id).propose(commands(), forward=False)
            await trio.sleep(0.05)


@seeds(5)
async def test_a_leader_whose_disk_hangs_gives_its_leadership_up(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.node(leader).status().term
        cluster.disk(leader).write_delay_s = math.inf
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_proposing, cluster, leader)
            others = [node_id for node_id in cluster.node_ids if node_id != leader]
            await trio.sleep(begun + 2.0 - trio.current_time())
            assert RoleName.LEADER in {cluster.node(node_id).status().role for node_id in others}
        await trio.sleep(10)
        assert cluster.node(leader).status().role is RoleName.FOLLOWER  # it lives, and leaves the lead to others
        assert max(cluster.node(node_id).status().term for node_id in cluster.node_ids) <= term + 3
        cluster.disk(leader).write_delay_s = 0.001
        cluster.crash(leader)  # what hung for ever stays so
        await cluster.start(leader)
        await cluster.one(b"all have it", 3)


@seeds(5)
async def test_a_leader_whose_disk_stalls_for_half_a_second_goes_on(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.node(leader).status().term
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_proposing, cluster, leader)
            for _ in range(5):
                await trio.sleep(1)
                cluster.disk(leader).write_delay_s = 0.5
                await trio.sleep(0.2)
                cluster.disk(leader).write_delay_s = 0.001
            status = cluster.node(leader).status()
            assert (status.role, status.term) == (RoleName.LEADER, term)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("clock_stands", [False, True])
@seeds(2)
async def test_followers_that_are_paused_for_long_cost_no_election(seed: int, clock_stands: bool) -> None:
    """Neither while they are away, in turn, nor when they wake up: long after they have heard a leader last, or, where
    a machine was suspended, with all that was said meanwhile before them.
    """
    async with simulate(CommandLog, nodes=3, seed=seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.node(leader).status().term
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_proposing, cluster, leader)
            for name in cluster.node_ids:
                if name != leader:
                    before = cluster.node(leader).status().commit_index
                    cluster.pause(name, clock_stands=clock_stands)
                    await trio.sleep(2)
                    assert cluster.node(leader).status().commit_index >= before + 20
                    cluster.resume(name)
                    await trio.sleep(1)
            nursery.cancel_scope.cancel()
        await cluster.one(b"all have it", 3)
        assert {cluster.node(name).status().term for name in cluster.node_ids} == {term}
        assert cluster.node(leader).status().role is RoleName.LEADER


@seeds(3)
async def test_no_leader_goes_where_all_disks_hang(seed: int) -> None:
    """Nobody could do better, and an election needs disks."""
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        for node_id in cluster.node_ids:
            cluster.disk(node_id).write_delay_s = math.inf
        with trio.move_on_after(5):
            await cluster.node(leader).propose(b"nowhere")
        assert cluster.node(leader).status().role is RoleName.LEADER


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
    monkeypatch.setattr("raft_actors.raft.state._MOST_UNSYNCED_WRITES", 100)
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        cluster.disk(leader).write_delay_s = math.inf
        node = cluster.node(leader)
        refused = 0
        for _ in range(200):
            try:
                await node.propose(b"x")
            except Overloaded:
                refused += 1
        assert refused > 50
        assert await node.read(lambda _: "read") == "read", "a read needs no disk"


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
async def test_a_hung_leader_disk_is_not_counted(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        cluster.disk(leader).write_delay_s = math.inf
        cluster.crash(follower(cluster, leader))
        started = await cluster.start_command(leader, commands())
        assert started is not None
        await trio.sleep(3)
        assert cluster.n_committed(started.index)[0] == 0, "committed by one disk of three"


@seeds(3)
async def test_a_vote_that_is_not_written_does_not_count(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        cluster.crash("n1")
        cluster.disk("n2").write_delay_s = math.inf
        await trio.sleep(5)
        cluster.expect_no_leader()


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
                    except (NotLeader, LeadershipLost, NotCommitted, NodeStopped, Overloaded):
                        pass
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(client)
            for _ in range(20):
                await trio.sleep(rng.uniform(0, 2))
                await cluster.restart(*rng.sample(cluster.node_ids, rng.choice((1, 2, 3))))
            nursery.cancel_scope.cancel()
        await cluster.one(commands(), 3)
        assert len(acknowledged) > 20
        assert set(acknowledged) <= {entry.command for entry in cluster.facts.history}


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


class CannotRestore(CommandLog):
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        raise KeyError("names")


@pytest.mark.parametrize("by_injector", [False, True])
async def test_a_state_machine_that_cannot_restore_fails_the_run_with_seed_node_and_time(by_injector: bool) -> None:
    async def scenario() -> None:
        async with open_cluster(CannotRestore, seed=1, config=snapshotting(3)) as cluster:
            for number in range(5):
                await cluster.one(b"%d" % number, 3)
            cluster.crash("n2")
            if by_injector:
                await cluster.heal_all()
            else:
                await cluster.start("n2")
            await trio.sleep_forever()

    expected = (
        r"^seed 1.*, at \d+\.\d{3} s: node 'n2' \(start 2\) crashed: StateMachineError: the state machine can't "
        r"restore the snapshot at index \d+ \(KeyError: 'names'\)(\n|$)"
    )
    with pytest.raises(CheckFailed, match=expected) as failed:
        await scenario()
    assert failed.value.broken == "crash"


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
