"""Sessions in a cluster: each command once, through leaders that die, snapshots, restarts and other processes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from raft_actors import CommandFailed, Overloaded, ResultLost, SessionExpired, SessionState
from raft_actors.node.failures import fatal_errors
from raft_actors.node.replicated_sessions import ReplicatedSessions
from raft_actors.raft.sessions import WINDOW
from raft_actors.testing import open_cluster
from raft_actors.testing.cluster import UNRELIABLE
from tests.cluster.support import CommandLog, LogCluster, follower, open_log, seeds


def tables(cluster: LogCluster) -> list[bytes]:
    """The encoded table of each node that runs."""
    appliers = [node._supervisor.applier for node in cluster.nodes.values()]
    return [applier.sessions.table.encode() for applier in appliers if applier is not None]


async def applied_everywhere(cluster: LogCluster) -> None:
    await cluster.wait_applied(max(node.status().last_index for node in cluster.nodes.values()), len(cluster.nodes))


@seeds(3)
async def test_a_session_proposes_at_any_member_and_is_the_same_on_all(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        async with cluster.node(follower(cluster, leader)).session() as session:
            assert session.session_id is None
            assert [await session.propose(b"a"), await session.propose(b"b")] == [1, 2]
            await applied_everywhere(cluster)
            assert len(set(tables(cluster))) == 1
        await applied_everywhere(cluster)
        assert {len(node._supervisor.applier.sessions.table) for node in cluster.nodes.values()} == {0}  # type: ignore[union-attr]


@seeds(8)
async def test_every_command_takes_effect_once_whatever_happens(seed: int) -> None:
    """The network loses a tenth of all, leaders are killed, nodes take snapshots: every call gets its own result."""
    async with open_log(3, seed) as cluster:
        await cluster.wait_for_one_leader()
        cluster.network.set_faults(UNRELIABLE)
        survivor = cluster.node("n1")
        results: dict[bytes, int] = {}

        async def propose(session: object, number: int) -> None:
            for count in range(12):
                command = b"%d %d" % (number, count)
                results[command] = await session.propose(command)  # type: ignore[attr-defined]

        async with survivor.session() as session, trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(propose, session, number)
            for _ in range(3):
                await trio.sleep(cluster.rng.uniform(0.1, 0.8))
                leader = cluster.leader()
                if leader is not None and leader != "n1":
                    cluster.crash(leader)
                    await trio.sleep(1.0)
                    await cluster.start(leader)
                await survivor.take_snapshot()
        cluster.reliable()
        await cluster.one(b"last", 3)
        applied = [entry.command for entry in cluster.facts.history]
        assert sorted(applied[:-1]) == sorted(results)
        assert all(applied[place - 1] == command for command, place in results.items())
        await applied_everywhere(cluster)
        assert len(set(tables(cluster))) == 1


@seeds(3)
async def test_a_session_survives_snapshots_and_restarts_of_all(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        await cluster.wait_for_one_leader()
        async with cluster.node("n1").session(end=False) as session:
            assert await session.propose(b"a") == 1
            state = session.state()
        await applied_everywhere(cluster)
        for node in list(cluster.nodes.values()):
            await node.take_snapshot()
        await cluster.restart(*cluster.node_ids)
        await cluster.wait_for_one_leader()
        again = SessionState(state.session, state.next_number, {1: b"a"})
        async with cluster.node("n2").session(again) as taken_up:
            assert await taken_up.outcomes() == {1: 1}
            assert await taken_up.propose(b"b") == 2
        assert [entry.command for entry in cluster.facts.history] == [b"a", b"b"]


async def test_a_command_left_open_by_another_process_is_carried_out_if_it_was_not() -> None:
    async with open_log(3, 1) as cluster:
        await cluster.wait_for_one_leader()
        async with cluster.node("n1").session(end=False) as session:
            await session.propose(b"a")
            left = SessionState(session.session_id or 0, 3, {2: b"b"})
        async with cluster.node("n2").session(left) as taken_up:
            assert await taken_up.outcomes() == {2: 2}


async def test_an_ended_session_says_so() -> None:
    async with open_log(3, 1) as cluster:
        await cluster.wait_for_one_leader()
        async with cluster.node("n1").session() as session:
            await session.propose(b"a")
            state = session.state()
        async with cluster.node("n1").session(state) as late:
            with pytest.raises(SessionExpired):
                await late.propose(b"b")
            with pytest.raises(SessionExpired):
                await late.propose(b"c")
        assert [entry.command for entry in cluster.facts.history] == [b"a"]


async def test_no_more_than_a_window_is_under_way() -> None:
    async with open_log(3, 1) as cluster:
        await cluster.wait_for_one_leader()
        async with cluster.node("n1").session() as session, trio.open_nursery() as nursery:
            await session.propose(b"first")
            for number in range(WINDOW + 50):
                nursery.start_soon(session.propose, b"%d" % number)
            for _ in range(20):
                await trio.sleep(0.001)
                assert len(session.state().open) <= WINDOW
        assert len(cluster.facts.history) == WINDOW + 51


async def test_no_more_than_a_window_is_prepared_and_what_was_is_proposed_by_outcomes() -> None:
    async with open_log(1, 0) as cluster:
        leader = await cluster.wait_for_one_leader()
        async with cluster.node(leader).session() as session:
            for _ in range(WINDOW):
                session.prepare(b"x")
            with pytest.raises(Overloaded, match="1024 commands of this session are open"):
                session.prepare(b"x")
            outcomes = await session.outcomes()
            assert outcomes == {number: number for number in range(1, WINDOW + 1)}
            assert session.prepare(b"y") == WINDOW + 1
            assert await session.outcomes() == {WINDOW + 1: WINDOW + 1}


async def test_a_refusal_is_kept_as_well() -> None:
    class Picky(CommandLog):
        def apply(self, command: bytes) -> int:
            if command == b"no":
                raise ValueError("not that one")
            return super().apply(command)

    async with open_cluster(Picky, seed=1) as cluster:
        await cluster.wait_for_one_leader()
        async with cluster.node("n1").session(end=False) as session:
            with pytest.raises(CommandFailed) as first:
                await session.propose(b"no")
            assert isinstance(first.value.__cause__, ValueError)
            again = SessionState(session.session_id or 0, 2, {1: b"no"})
        async with cluster.node("n2").session(again) as taken_up:
            [outcome] = (await taken_up.outcomes()).values()
        assert isinstance(outcome, CommandFailed)
        assert str(outcome.__cause__) == "ValueError: not that one"


async def test_a_command_whose_result_cannot_be_encoded_is_carried_out_once() -> None:
    class Odd:
        def encode(self, command: int) -> bytes:
            raise ArithmeticError("no bytes for this")

        def decode(self, data: bytes) -> int:
            raise ValueError("nor back")

    class Numbers(CommandLog):
        results = Odd()

    async with open_cluster(Numbers, seed=1) as cluster:
        await cluster.wait_for_one_leader()
        async with cluster.node("n1").session(end=False) as session:
            assert await session.propose(b"a") == 1
            again = SessionState(session.session_id or 0, 2, {1: b"a"})
        async with cluster.node("n2").session(again) as taken_up:
            [outcome] = (await taken_up.outcomes()).values()
        assert isinstance(outcome, ResultLost)
        assert [entry.command for entry in cluster.facts.history] == [b"a"]


async def test_the_applied_log_tells_what_was_carried_out_and_no_copies() -> None:
    async with open_log(3, 1) as cluster:
        await cluster.wait_for_one_leader()
        async with cluster.node("n1").session(end=False) as session:
            await session.propose(b"a")
            again = SessionState(session.session_id or 0, 2, {1: b"a"})
        async with cluster.node("n1").session(again) as taken_up:
            await taken_up.outcomes()
            await taken_up.propose(b"b")
        async with cluster.node("n1").applied(from_index=1) as channel:
            commands = [(await channel.receive()).command for _ in range(2)]  # type: ignore[union-attr]
        assert commands == [b"a", b"b"]


async def test_a_snapshot_without_sessions_is_the_state_machines_own_bytes() -> None:
    async with open_log(3, 1) as cluster:
        await cluster.wait_for_one_leader()
        await cluster.one(b"plain", 3)
        node = cluster.node("n1")
        await node.take_snapshot()
        reader = await node._supervisor.storage.open_snapshot()
        assert reader is not None
        data = b"".join([await reader.read_chunk(number) for number in range(reader.chunk_count)])
        assert data.endswith(len(b"plain").to_bytes(4) + b"plain")
        assert not data.startswith(b"raft-actors/")
        async with node.session() as session:
            await session.propose(b"numbered")
            await node.take_snapshot()
        async with node.open_snapshot() as opened:
            assert opened is not None
            chunks = b"".join([chunk async for chunk in opened[1]])
        assert chunks.endswith(len(b"numbered").to_bytes(4) + b"numbered")
        assert not chunks.startswith(b"raft-actors/")


async def test_a_machine_that_raises_as_time_passes_goes_on_and_is_restored_likewise() -> None:
    """Nobody waits for what `pass_time` does: it counts as a command that failed, wherever it is called."""

    class Hasty(CommandLog):
        def pass_time(self, now_ms: int) -> None:
            raise LookupError(now_ms)

    async with open_cluster(Hasty, seed=1) as cluster:
        await cluster.wait_for_one_leader()
        async with cluster.node("n1").session() as session:
            assert await session.propose(b"a") == 1
            await trio.sleep(1)
            assert await session.propose(b"b") == 2
        await applied_everywhere(cluster)
        assert cluster.node("n1").statistics().applier.failed_commands > 0
        await cluster.node("n1").take_snapshot()
        cluster.crash("n1")
        node = await cluster.start("n1")
        await cluster.wait_for_one_leader()
        await node.wait_leader()
        await applied_everywhere(cluster)
        assert node.statistics().applier.failed_commands > 0
        assert await node.read(lambda log: list(log.inner.commands_applied)) == [b"a", b"b"]
        assert len(set(tables(cluster))) == 1


async def test_time_that_a_replica_fails_at_ends_it_when_it_is_restored_too() -> None:
    class Tired(CommandLog):
        fatal_errors = (OSError,)

        def pass_time(self, now_ms: int) -> None:
            raise OSError(now_ms)

    sessions = ReplicatedSessions(Tired(), fatal_errors(Tired()))
    sessions.table.log_time_ms = 5
    kept = [*sessions.snapshot([b""])]

    async def chunks() -> AsyncIterator[bytes]:  # noqa: ASYNC900 - no scope is open
        for chunk in kept:
            yield chunk

    machine = Tired()
    with pytest.raises(OSError, match="5"):
        await ReplicatedSessions(machine, fatal_errors(machine)).restore(chunks(), machine.restore)
