"""The applied log as a channel: every command once, in order, or word of the snapshot that covers it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.commands import RAW_BYTES
from raft_actors.errors import CommandFailed, ConfigurationError
from raft_actors.node.applied_log import AppliedCommand, AppliedLog, AppliedSnapshot
from raft_actors.node.kept_results import NOT_KEPT, KeptResults, ResultReaders
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.persistent_state import LogWrite, SnapshotMetadata
from tests.actors.applying import Stage, running
from tests.actors.doubles import GatedStorage
from tests.actors.stores import IDENTITY, forgetful, store_snapshot
from tests.actors.test_applier import proposal
from tests.unit.builders import batch, batches, make_log

Items = list[AppliedCommand[bytes] | AppliedSnapshot]


def reader(stage: Stage, from_index: int = 1, results: KeptResults | None = None) -> AppliedLog[bytes]:
    return AppliedLog(stage.applier, stage.applier._log, stage.applier._storage, RAW_BYTES, from_index, results)


async def take(log: AppliedLog[bytes], count: int) -> Items:
    with trio.fail_after(1):  # noqa: ASYNC100 - receiving checks
        return [await log.receive() for _ in range(count)]


async def test_gives_every_applied_command_with_its_index_and_term() -> None:
    async with running(make_log([1, 2])) as stage:
        await stage.apply(2)
        assert await take(reader(stage), 2) == [AppliedCommand(1, 1, b"1"), AppliedCommand(2, 2, b"2")]


async def test_waits_for_what_is_not_applied_yet() -> None:
    got: Items = []
    async with running(make_log([1, 1])) as stage, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _() -> None:
            got.extend(await take(reader(stage, from_index=2), 1))

        await stage.apply(1)
        assert got == []
        await stage.apply(2)
        assert got == [AppliedCommand(2, 1, b"2")]


async def test_gives_each_command_of_a_batch_once() -> None:
    log = make_log()
    log.append(batch(1, 1, count=3))
    log.append(batch(4, 1))
    async with running(log) as stage:
        channel = reader(stage)
        await stage.apply(3)
        assert [getattr(item, "index", None) for item in await take(channel, 3)] == [1, 2, 3]
        await stage.apply(4)
        assert [getattr(item, "index", None) for item in await take(channel, 1)] == [4]


async def test_passes_over_entries_without_a_command() -> None:
    log = make_log([1])
    log.append(EntryBatch.encode(2, 2, EntryKind.NOOP, [b""]))
    log.append(*batches(3, [2]))
    async with running(log) as stage:
        await stage.apply(3)
        assert [getattr(item, "index", None) for item in await take(reader(stage), 2)] == [1, 3]


async def test_reads_from_the_store_what_memory_does_not_hold() -> None:
    log, storage = await forgetful([1, 1, 2])
    async with running(log, storage=storage) as stage:
        await stage.apply(3)
        assert await take(reader(stage, from_index=2), 2) == [AppliedCommand(2, 1, b"2"), AppliedCommand(3, 2, b"3")]


async def test_tells_of_the_snapshot_that_covers_what_is_compacted_away() -> None:
    async with running(make_log([1, 1, 1, 1])) as stage:
        await stage.apply(4)
        stage.applier._log.compact(SnapshotMetadata(3, 1), 4)
        log = reader(stage)
        assert await take(log, 2) == [AppliedSnapshot(SnapshotMetadata(3, 1)), AppliedCommand(4, 1, b"4")]
        assert log.next_index == 5


async def test_tells_of_the_snapshot_also_where_it_is_taken_while_it_reads() -> None:
    storage = GatedStorage()
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.write([LogWrite(entries=tuple(batches(1, [1, 1, 1])))])
    forgotten, _ = await forgetful([1, 1, 1])
    async with running(forgotten, storage=storage) as stage:
        await stage.apply(3)
        await store_snapshot(storage, SnapshotMetadata(2, 1), b"", first_index=3)
        stage.applier._log.snapshot = SnapshotMetadata(2, 1)
        assert await take(reader(stage), 1) == [AppliedSnapshot(SnapshotMetadata(2, 1))]


async def test_ends_with_the_node() -> None:
    items: Items = []
    async with running(make_log([1])) as stage:
        await stage.apply(1)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                async for item in reader(stage):
                    items.append(item)

            await wait_all_tasks_blocked()
            stage.applier.stop()
        assert items == [AppliedCommand(1, 1, b"1")]
        with pytest.raises(trio.EndOfChannel):
            await reader(stage).receive()


# --- results ---------------------------------------------------------------------------------------------------------


async def results_of(log: AppliedLog[bytes], count: int) -> list[object]:
    return [getattr(item, "result", None) for item in await take(log, count)]


async def test_gives_results_of_what_is_applied_while_somebody_reads() -> None:
    log = make_log([1, 1])
    log.append(EntryBatch.encode(3, 1, EntryKind.NOOP, [b""]))
    log.append(*batches(4, [1]))
    async with running(log) as stage:
        await stage.apply(1)
        with stage.applier.readers.keeping(10, stage.applier.applied_index + 1) as results:
            await stage.apply(4)
            assert await results_of(reader(stage, results=results), 3) == [NOT_KEPT, "result of 2", "result of 4"]
        assert not stage.applier.readers.any


async def test_each_reader_and_each_proposer_gets_the_same_result() -> None:
    async with running(make_log([1, 1, 1])) as stage:
        waiting = proposal(2, b"2", b"3")
        readers = stage.applier.readers
        with readers.keeping(10, 1) as one, readers.keeping(1, 1) as other:
            await stage.apply(1)
            await stage.apply(2, keep_from=2)
            await stage.apply(3, waiting)
            results = await results_of(reader(stage, results=one), 3)
            assert results == ["result of 1", "result of 2", "result of 3"]
            assert await results_of(reader(stage, results=other), 3) == [NOT_KEPT, NOT_KEPT, "result of 3"]
        assert await waiting.wait() == results[1:]


async def test_a_command_that_failed_comes_with_its_failure() -> None:
    log = make_log()
    log.append(EntryBatch.encode(1, 1, EntryKind.COMMAND, [b"bad"]))
    async with running(log) as stage:
        with stage.applier.readers.keeping(10, 1) as results:
            await stage.apply(1)
            (failure,) = await results_of(reader(stage, results=results), 1)
        assert isinstance(failure, CommandFailed)


def test_results_that_a_snapshot_skipped_are_not_kept() -> None:
    kept = KeptResults(10, 1)
    kept.put(["a", "b"], 1)
    kept.put(["a", "b", "c"], 1)
    kept.put(["x"], 7)
    assert [kept.take(index) for index in (2, 7, 8)] == [NOT_KEPT, "x", NOT_KEPT]


def test_no_less_than_none_can_be_kept() -> None:
    kept = KeptResults(0, 1)
    kept.put(["a"], 1)
    assert kept.take(1) is NOT_KEPT
    with pytest.raises(ConfigurationError, match="0 keeps none"), ResultReaders().keeping(-1, 1):
        pass
