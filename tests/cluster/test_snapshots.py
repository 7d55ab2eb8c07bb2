"""Snapshots and followers that need them, as the MIT 6.5840 Raft lab examines it (in simulated time)."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from raft_actors import FollowerLeftBehind, NodeConfig, RoleChanged, RoleName, SnapshotInstalled
from tests.cluster.support import CommandLog, Commands, LogCluster, follower, open_log, seeds, snapshotting

EVERY = 10
#: Of a node's log: the entries since the last snapshot, and those that came while it was being written.
MOST_KEPT = 3 * EVERY


def check_logs_are_short(cluster: LogCluster) -> None:
    for name in cluster.connected:
        status = cluster.node(name).status()
        assert status.last_index - status.first_index < MOST_KEPT, f"{name} does not discard its log: {status}"


async def test_a_follower_that_is_back_is_served_as_soon_as_it_can_be_reached() -> None:
    config = NodeConfig(heartbeat_interval_s=5, election_timeout_s=(10, 20))
    async with open_log(3, 1, config=config) as cluster:
        leader = await cluster.node("n1").wait_leader()
        away = follower(cluster, leader)
        cluster.crash(away)
        await trio.sleep(1)
        await cluster.start(away)
        began = trio.current_time()
        endpoint = cluster.network.running[leader].endpoint
        assert endpoint is not None
        endpoint.peer_reached(away)
        await cluster.node(away).wait_leader()
        assert trio.current_time() - began < 1


async def snapshots(cluster: LogCluster, *, rounds: int, disconnect: bool, crash: bool) -> None:
    """One node at a time is cut off or crashed while the others go on for more than a snapshot's worth of commands."""
    rng, commands = cluster.rng, Commands()
    reliable = not cluster.network.requests.drop
    everybody = 3 if reliable else 2
    await cluster.one(commands(), 3)
    leader = await cluster.wait_for_one_leader()
    for number in range(rounds):
        victim, sender = next(name for name in cluster.node_ids if name != leader), leader
        if number % 3 == 1:
            victim, sender = leader, victim
        if disconnect:
            cluster.disconnect(victim)
            await cluster.one(commands(), 2)
        if crash:
            cluster.crash(victim)
            await cluster.one(commands(), 2)
        count = EVERY // 2 + rng.randrange(EVERY) if not (disconnect or crash) else EVERY + rng.randrange(EVERY)
        for _ in range(count):
            await cluster.start_command(sender, commands())
        # Let those that are needed for the next snapshot catch up, if it is not the victim itself.
        await cluster.one(commands(), 2 if disconnect or crash else everybody)
        check_logs_are_short(cluster)
        if disconnect:
            # The victim may have to be sent a snapshot now.
            cluster.connect(victim)
            await cluster.one(commands(), 3)
            leader = await cluster.wait_for_one_leader()
        if crash:
            await cluster.start(victim)
            await cluster.one(commands(), 3)
            leader = await cluster.wait_for_one_leader()
    cluster.reliable()
    await cluster.one(commands(), 3)


@seeds(5)
async def test_snapshots_discard_the_log(seed: int) -> None:
    async with open_log(3, seed, config=snapshotting(EVERY)) as cluster:
        await snapshots(cluster, rounds=30, disconnect=False, crash=False)
        assert all(node.status().snapshot_index for node in cluster.nodes.values())


@seeds(5)
async def test_disconnected_nodes_are_sent_snapshots(seed: int) -> None:
    async with open_log(3, seed, config=snapshotting(EVERY)) as cluster:
        await snapshots(cluster, rounds=30, disconnect=True, crash=False)
        assert cluster.network.statistics().sent["InstallSnapshot"] >= 10


@seeds(5)
async def test_disconnected_nodes_are_sent_snapshots_unreliably(seed: int) -> None:
    async with open_log(3, seed, config=snapshotting(EVERY)) as cluster:
        cluster.unreliable()
        await snapshots(cluster, rounds=30, disconnect=True, crash=False)


@seeds(5)
async def test_crashed_nodes_are_sent_snapshots(seed: int) -> None:
    async with open_log(3, seed, config=snapshotting(EVERY)) as cluster:
        await snapshots(cluster, rounds=30, disconnect=False, crash=True)
        assert cluster.network.statistics().sent["InstallSnapshot"] >= 10


@seeds(5)
async def test_crashed_nodes_are_sent_snapshots_unreliably(seed: int) -> None:
    async with open_log(3, seed, config=snapshotting(EVERY)) as cluster:
        cluster.unreliable()
        await snapshots(cluster, rounds=30, disconnect=False, crash=True)


@seeds(5)
async def test_all_crash_and_come_back_with_their_snapshots(seed: int) -> None:
    async with open_log(3, seed, config=snapshotting(EVERY)) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        for _ in range(5):
            for _ in range(EVERY // 2 + cluster.rng.randrange(EVERY)):
                await cluster.one(commands(), 3)
            before = await cluster.one(commands(), 3)
            await cluster.restart()
            after = await cluster.one(commands(), 3)
            assert after > before
            check_logs_are_short(cluster)


@seeds(5)
async def test_a_restored_snapshot_counts_as_applied_at_once(seed: int) -> None:
    """Nothing that a snapshot covers is applied again after two restarts, nor forgotten."""
    async with open_log(3, seed, config=snapshotting(EVERY)) as cluster:
        commands = Commands()
        for _ in range(EVERY + 1):
            await cluster.one(commands(), 3)
        for _ in range(2):
            await cluster.restart()
            for name, node in cluster.nodes.items():
                covered = cluster.facts.count_until(node.status().snapshot_index)
                assert covered
                assert len(cluster.state_machine(name).commands_applied) >= covered
            await cluster.one(commands(), 3)


@seeds(5)
async def test_a_follower_that_missed_a_compaction_gets_a_snapshot_and_then_the_log(seed: int) -> None:
    config = attrs.evolve(snapshotting(20), trailing_entries=4)
    async with open_log(3, seed, config=config) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        late = next(name for name in cluster.node_ids if name != leader)
        known = len(cluster.state_machine(late).commands_applied)
        cluster.crash(late)
        for _ in range(50):
            await cluster.one(commands(), 2)
        snapshot_index = cluster.node(leader).status().snapshot_index
        node = await cluster.start(late)
        async with node.events() as events:
            last = await cluster.one(commands(), 3)
            async for event in events:
                if isinstance(event, SnapshotInstalled):
                    assert event.snapshot.index == snapshot_index
                    break
        assert snapshot_index < last
        assert node.statistics().applier.snapshots_restored == 1
        # By its own log what it knew to be committed, by snapshot what it covers, by log the rest; no-ops don't count.
        applied = node.statistics().applier.applied_commands
        assert 1 <= applied <= last - snapshot_index + known
        assert cluster.state_machine(late).commands_applied == cluster.state_machine(leader).commands_applied


async def _catches_up(cluster: LogCluster, seconds: float) -> tuple[list[int], list[FollowerLeftBehind], int]:
    """Start a follower that needs a snapshot, under load that takes one after the other; which it installed then, of
    what its leader gave word, and how many entries it is behind in the end."""
    commands = Commands()
    await cluster.one(commands(size=300_000), 3)
    leader = await cluster.wait_for_one_leader()
    late = follower(cluster, leader)
    cluster.crash(late)
    await trio.sleep(10)  # nothing is kept for it any more

    async def load() -> None:
        while True:
            await cluster.node(leader).propose_many([commands() for _ in range(10)])

    installed: list[int] = []
    behind: list[FollowerLeftBehind] = []

    async def watch(node: Any) -> None:
        async with node.events(capacity=100_000) as events:
            async for event in events:
                if isinstance(event, SnapshotInstalled):
                    installed.append(event.snapshot.index)
                elif isinstance(event, FollowerLeftBehind):
                    behind.append(event)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(load)
        await trio.sleep(1)
        nursery.start_soon(watch, cluster.node(leader))
        cluster.disk(late).write_delay_s = 0.005
        node = await cluster.start(late)
        nursery.start_soon(watch, node)
        await trio.sleep(seconds)
        lag = cluster.node(leader).status().commit_index - node.status().applied_index
        nursery.cancel_scope.cancel()
    assert cluster.node(leader).status().role is RoleName.LEADER
    return installed, behind, lag


@seeds(2)
async def test_a_follower_that_needs_a_snapshot_catches_up_under_load(seed: int) -> None:
    """The leader takes a snapshot every few milliseconds, and a follower's takes a second: it needs only one."""
    config = attrs.evolve(snapshotting(20), max_catch_up_bytes=16 * 1024 * 1024)
    async with open_log(3, seed, config=config) as cluster:
        installed, behind, lag = await _catches_up(cluster, 3.0)
        assert (len(installed), behind) == (1, [])
        assert lag < 200


@seeds(2)
async def test_a_leader_gives_word_of_a_follower_that_it_leaves_behind(seed: int) -> None:
    async with open_log(3, seed, config=snapshotting(20)) as cluster:
        installed, behind, _ = await _catches_up(cluster, 3.0)
        assert installed
        assert behind
        assert all(event.needed_index < event.first_index for event in behind)


@seeds(3)
async def test_a_big_snapshot_does_not_silence_heartbeats(seed: int) -> None:
    """Ten seconds of chunks, and no election."""
    async with open_log(3, seed, config=attrs.evolve(snapshotting(EVERY), snapshot_chunk_bytes=256)) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        late = next(name for name in cluster.node_ids if name != leader)
        cluster.crash(late)
        for _ in range(EVERY):
            await cluster.one(commands(size=25_000), 2)
        term = cluster.node(leader).status().term
        cluster.disk(late).write_delay_s = 0.01
        snapshot = await cluster.node(leader).take_snapshot()
        begin = trio.current_time()
        node = await cluster.start(late)
        async with node.events() as events:
            await cluster.wait_applied(snapshot.index, 3, timeout_s=60)
            assert trio.current_time() - begin > 5
            while True:
                try:
                    event = events.receive_nowait()
                except trio.WouldBlock:
                    break
                assert event != RoleChanged(term + 1, RoleName.CANDIDATE)
        assert cluster.node(leader).status().term == term
        assert cluster.leader() == leader
        await cluster.one(commands(), 3)


@seeds(3)
async def test_the_leader_changes_in_the_middle_of_a_snapshot(seed: int) -> None:
    async with open_log(3, seed, config=attrs.evolve(snapshotting(EVERY), snapshot_chunk_bytes=256)) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        late, other = (name for name in cluster.node_ids if name != leader)
        known = cluster.applied_index(late)
        cluster.crash(late)
        for _ in range(EVERY):
            await cluster.one(commands(size=5_000), 2)
        await cluster.node(leader).take_snapshot()
        cluster.disk(late).write_delay_s = 0.01
        await cluster.start(late)
        await trio.sleep(0.7)
        assert cluster.applied_index(late) <= known, "the snapshot must still be under way"
        cluster.disconnect(leader)
        await trio.sleep(3)
        cluster.connect(leader)
        await cluster.one(commands(), 3)
        assert cluster.state_machine(late).commands_applied == cluster.state_machine(other).commands_applied


@seeds(3)
async def test_a_follower_crashes_while_it_is_sent_a_snapshot(seed: int) -> None:
    async with open_log(3, seed, config=attrs.evolve(snapshotting(EVERY), snapshot_chunk_bytes=256)) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        late = next(name for name in cluster.node_ids if name != leader)
        cluster.crash(late)
        for _ in range(EVERY):
            await cluster.one(commands(size=2_000), 2)
        cluster.disk(late).write_delay_s = 0.005
        for _ in range(5):
            await cluster.start(late)
            await trio.sleep(cluster.rng.uniform(0.05, 0.3))
            cluster.crash(late)
        await cluster.start(late)
        await cluster.one(commands(), 3)


@pytest.mark.parametrize("entries", [1, 2, 5])
@seeds(3)
async def test_very_frequent_snapshots(seed: int, entries: int) -> None:
    async with open_log(3, seed, config=snapshotting(entries)) as cluster:
        cluster.unreliable()
        commands = Commands()
        for _ in range(30):
            name = cluster.rng.choice(cluster.node_ids)
            if cluster.rng.random() < 0.3:
                await cluster.restart(name)
            await cluster.one(commands(), 2)
        cluster.reliable()
        await cluster.one(commands(), 3)


async def test_the_state_machine_of_these_tests_restores_what_it_wrote() -> None:
    class Chunks:
        def __init__(self, chunks: list[bytes]) -> None:
            self.chunks = iter(chunks)

        def __aiter__(self) -> Chunks:
            return self

        async def __anext__(self) -> bytes:
            for chunk in self.chunks:
                return chunk
            raise StopAsyncIteration

    one, other = CommandLog(), CommandLog()
    for command in (b"a", b"", b"ccc"):
        one.apply(command)
    await other.restore(Chunks(list(one.snapshot())))
    assert other.commands_applied == [b"a", b"", b"ccc"]
