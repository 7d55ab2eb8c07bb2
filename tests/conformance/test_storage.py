"""Every storage keeps the contract of `raft_actors.persistence.abc`, sentence by sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from raft_actors.entries import EntryKind
from raft_actors.errors import InternalError, StorageFailed, StorageLocked, StorageMismatch
from raft_actors.messages import SnapshotMetadata
from raft_actors.persistence import (
    CommitSnapshot,
    HardState,
    LogWrite,
    Storage,
    StoreIdentity,
    TermRun,
)
from tests.persistence.support import (
    EVERYTHING,
    IDENTITY,
    Place,
    append,
    batch,
    everything,
    filled,
    singles,
    snapshot_contents,
    take_snapshot,
    taken_apart,
)


@pytest.fixture(params=["sqlite", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path / "new" / "folder" / "n1.db" if request.param == "sqlite" else None)


@pytest.fixture
async def storage(place: Place) -> AsyncIterator[Storage]:
    storage = place.storage()
    yield storage
    await storage.aclose()


# --- open ----------------------------------------------------------------------------------------------------


async def test_a_new_store_is_empty(storage: Storage) -> None:
    recovered = await storage.open(IDENTITY, tail_bytes=EVERYTHING)
    assert recovered.hard_state == HardState(0, None)
    assert recovered.snapshot is None
    assert (recovered.first_index, recovered.last_index) == (1, 0)
    assert recovered.term_runs == ()
    assert recovered.tail == ()
    assert await storage.open_snapshot() is None


async def test_what_was_written_is_there_after_reopening(storage: Storage, place: Place) -> None:
    batches = (batch(1, 1, b"", kind=EntryKind.NOOP), batch(2, 1, b"a", b"bb", b""), batch(5, 3, b"c"))
    await filled(storage, *batches)
    await storage.write([LogWrite(HardState(4, None))])
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=EVERYTHING)
    assert recovered.hard_state == HardState(4, None)
    assert (recovered.first_index, recovered.last_index) == (1, 5)
    assert recovered.term_runs == (TermRun(1, 1), TermRun(3, 5))
    assert recovered.tail == batches
    assert [one.kind for one in recovered.tail] == [EntryKind.NOOP, EntryKind.COMMAND, EntryKind.COMMAND]
    await again.aclose()


@pytest.mark.parametrize(("room", "kept"), [(0, 1), (40, 1), (78, 2), (79, 2), (39 * 10, 10), (10_000, 10)])
async def test_the_tail_holds_whole_batches_within_the_bytes_asked_for(
    storage: Storage, place: Place, room: int, kept: int
) -> None:
    batches = singles(1, 1, 10)
    assert batches[0].size == 39
    await filled(storage, *batches)
    await storage.aclose()
    again = place.storage()
    assert (await again.open(IDENTITY, tail_bytes=room)).tail == batches[10 - kept :]
    await again.aclose()


async def test_a_tail_of_thousands_of_batches(storage: Storage, place: Place) -> None:
    batches = singles(1, 1, 5000)
    await filled(storage, *batches)
    await storage.aclose()
    again = place.storage()
    assert (await again.open(IDENTITY, tail_bytes=39 * 2500)).tail == batches[2500:]
    await again.aclose()
    again = place.storage()
    assert (await again.open(IDENTITY, tail_bytes=EVERYTHING)).tail == batches
    await again.aclose()


async def test_the_tail_keeps_a_large_last_batch_whole(storage: Storage, place: Place) -> None:
    large = batch(2, 1, *[b"x" * 100] * 50)
    await filled(storage, batch(1, 1, b"a"), large)
    await storage.aclose()
    again = place.storage()
    assert (await again.open(IDENTITY, tail_bytes=10)).tail == (large,)
    await again.aclose()


async def test_the_tail_is_cut_at_the_first_entry_kept(storage: Storage, place: Place) -> None:
    whole = batch(1, 1, b"a", b"b", b"c", b"d")
    await filled(storage, whole)
    await take_snapshot(storage, 3, 1, [b"s"], first_index=3)
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=EVERYTHING)
    assert recovered.tail == (whole.since(3),)
    assert recovered.term_runs == (TermRun(1, 3),)
    await again.aclose()


async def test_a_store_that_is_open_is_locked(storage: Storage, place: Place) -> None:
    await storage.open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageLocked):
        await storage.open(IDENTITY, tail_bytes=0)
    other = place.storage()
    with pytest.raises(StorageLocked):
        await other.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    await other.open(IDENTITY, tail_bytes=0)  # the failed try does no harm, and the file is free at once
    await other.aclose()


@pytest.mark.parametrize("wrong", [StoreIdentity("orders", "n2"), StoreIdentity("bills", "n1")])
async def test_another_identity_is_refused_by_name(storage: Storage, place: Place, wrong: StoreIdentity) -> None:
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    with pytest.raises(StorageMismatch) as caught:
        await place.storage().open(wrong, tail_bytes=0)
    for name in ("n1", "orders", wrong.node_id, wrong.cluster_id):
        assert repr(name) in str(caught.value)
    await storage.open(IDENTITY, tail_bytes=0)  # a closed storage may be opened again


async def test_calls_while_not_open_fail(storage: Storage) -> None:
    async def check() -> None:
        with pytest.raises(StorageFailed, match="not open"):
            await storage.write([append(batch(1, 1, b"a"))])
        with pytest.raises(StorageFailed, match="not open"):
            await storage.read_entries(1, 1, 1)
        with pytest.raises(StorageFailed, match="not open"):
            await storage.begin_snapshot(SnapshotMetadata(1, 1))
        with pytest.raises(StorageFailed, match="not open"):
            await storage.write_snapshot_chunk(1, 0, b"")
        with pytest.raises(StorageFailed, match="not open"):
            await storage.discard_snapshot(1)
        with pytest.raises(StorageFailed, match="not open"):
            await storage.open_snapshot()
        assert storage.statistics().commits == 0

    await storage.aclose()
    await check()
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    await storage.aclose()
    await check()


# --- write ---------------------------------------------------------------------------------------------------


async def test_parts_of_a_write_take_effect_in_order(storage: Storage) -> None:
    recovered = await filled(storage, *singles(1, 1, 5))
    await storage.write(
        [
            append(batch(6, 1, b"f")),
            LogWrite(HardState(2, "n2"), truncate_from=4, entries=(batch(4, 2, b"d2", b"e2", b"f2"),)),
            LogWrite(truncate_from=5, entries=(batch(5, 3, b"e3"),)),
        ]
    )
    found = taken_apart(await storage.read_entries(1, 99, EVERYTHING))
    assert recovered.last_index == 0
    assert [(entry.index, entry.term) for entry in found] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 3)]
    assert [entry.command for entry in found[3:]] == [b"d2", b"e3"]


@pytest.mark.parametrize("cut", [2, 3, 4, 5, 6, 7])
async def test_truncation_inside_at_and_beyond_batches(storage: Storage, place: Place, cut: int) -> None:
    batches = (batch(1, 1, b"a"), batch(2, 1, b"b", b"c", b"d"), batch(5, 2, b"e", b"f"))
    await filled(storage, *batches, term=2)
    await storage.write([LogWrite(truncate_from=cut)])
    await storage.write([append(batch(min(cut, 7), 9, b"new"))])
    expected = [entry for entry in taken_apart(batches) if entry.index < cut]
    expected += taken_apart([batch(min(cut, 7), 9, b"new")])
    assert taken_apart(await storage.read_entries(1, 99, EVERYTHING)) == expected
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=EVERYTHING)
    assert taken_apart(recovered.tail) == expected
    assert recovered.term_runs[-1] == TermRun(9, min(cut, 7))
    assert len(recovered.term_runs) == (3 if cut > 5 else 2)
    await again.aclose()


async def test_truncating_all_of_the_log(storage: Storage, place: Place) -> None:
    await filled(storage, batch(1, 1, b"a", b"b"))
    await storage.write([LogWrite(truncate_from=1)])
    with pytest.raises(KeyError):
        await storage.read_entries(1, 1, 1)
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=EVERYTHING)
    assert (recovered.first_index, recovered.last_index, recovered.term_runs, recovered.tail) == (1, 0, (), ())
    await again.aclose()


@pytest.mark.parametrize(
    "senseless",
    [
        LogWrite(entries=(batch(5, 1, b"gap"),)),
        LogWrite(entries=(batch(3, 1, b"overlap"),)),
        LogWrite(entries=(batch(4, 1, b"d"), batch(6, 1, b"gap"))),
        LogWrite(truncate_from=3, entries=(batch(4, 1, b"gap"),)),
        LogWrite(entries=(batch(4, 2, b"d"), batch(5, 1, b"the term falls"))),
        LogWrite(truncate_from=0),
        LogWrite(HardState(9), entries=(batch(9, 9, b"gap"),)),
        CommitSnapshot(99, 2),
    ],
)
async def test_senseless_writes_are_refused_before_anything_is_written(
    storage: Storage, place: Place, senseless: LogWrite | CommitSnapshot
) -> None:
    batches = singles(1, 1, 3)
    await filled(storage, *batches)
    with pytest.raises(InternalError):
        await storage.write([LogWrite(HardState(8)), senseless])
    assert await storage.read_entries(1, 9, EVERYTHING) == batches
    await storage.write([append(batch(4, 1, b"goes on"))])
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=EVERYTHING)
    assert recovered.hard_state == HardState(1, "n1")
    assert recovered.last_index == 4
    await again.aclose()


async def test_an_empty_write_is_allowed(storage: Storage) -> None:
    await filled(storage, batch(1, 1, b"a"))
    await storage.write([])
    await storage.write([LogWrite()])
    assert await storage.read_entries(1, 1, 0) == (batch(1, 1, b"a"),)


async def test_more_batches_than_one_statement_takes(storage: Storage) -> None:
    await filled(storage, batch(1, 1, b"a"))
    many = singles(2, 1, 3000)
    await storage.write([append(*many)])
    await storage.write([append(*singles(3002, 1, 200)), append(*singles(3202, 1, 300))])
    assert len(taken_apart(await storage.read_entries(1, 9999, EVERYTHING))) == 3501


async def test_overlapping_calls_are_carried_out_in_order(storage: Storage) -> None:
    await filled(storage, batch(1, 1, b""))
    seen: list[int] = []

    async def write(index: int, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await storage.write([append(batch(index, 1, b"x"))])
        seen.append(index)

    async def read(index: int, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        assert taken_apart(await storage.read_entries(index, index, 1))[0].index == index

    async with trio.open_nursery() as nursery:
        for index in range(2, 50):
            await nursery.start(write, index)
            await nursery.start(read, index)
    assert sorted(seen) == list(range(2, 50))


async def test_a_cancelled_write_ends_at_once_and_leaves_the_storage_in_order(storage: Storage, place: Place) -> None:
    await filled(storage, batch(1, 1, b"a"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await storage.write([append(batch(2, 1, b"b"))])
    assert scope.cancelled_caught
    await storage.write([append(batch(3, 1, b"c"))])
    await storage.aclose()
    again = place.storage()
    assert (await again.open(IDENTITY, tail_bytes=0)).last_index == 3
    await again.aclose()


async def test_closing_finishes_what_was_asked_before(storage: Storage, place: Place) -> None:
    await filled(storage, batch(1, 1, b"a"))
    done: list[int] = []

    async def write(index: int, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await storage.write([append(batch(index, 1, b"x"))])
        done.append(index)

    async with trio.open_nursery() as nursery:
        for index in range(2, 30):
            await nursery.start(write, index)
        nursery.start_soon(storage.aclose)
        await storage.aclose()
    assert sorted(done) == list(range(2, 30))
    again = place.storage()
    assert (await again.open(IDENTITY, tail_bytes=0)).last_index == 29
    await again.aclose()


async def test_every_call_is_a_checkpoint(storage: Storage) -> None:
    with trio.testing.assert_checkpoints():
        await storage.open(IDENTITY, tail_bytes=0)
    with trio.testing.assert_checkpoints():
        await storage.write([append(batch(1, 1, b"a", b"b"))])
    with trio.testing.assert_checkpoints():
        await storage.write([])
    with trio.testing.assert_checkpoints():
        await storage.read_entries(1, 1, 1)
    with trio.testing.assert_checkpoints():
        snapshot_id = await storage.begin_snapshot(SnapshotMetadata(1, 1))
    with trio.testing.assert_checkpoints():
        await storage.write_snapshot_chunk(snapshot_id, 0, b"x")
    with trio.testing.assert_checkpoints():
        await storage.discard_snapshot(snapshot_id)
    with trio.testing.assert_checkpoints():
        await storage.discard_snapshot(snapshot_id)
    await take_snapshot(storage, 1, 1, [b"x"])
    with trio.testing.assert_checkpoints():
        reader = await storage.open_snapshot()
    assert reader is not None
    with trio.testing.assert_checkpoints():
        await reader.read_chunk(0)
    reader.close()
    with trio.testing.assert_checkpoints():
        await storage.aclose()
    with trio.testing.assert_checkpoints():
        await storage.aclose()


# --- read_entries --------------------------------------------------------------------------------------------


async def test_read_entries_cuts_to_the_range(storage: Storage) -> None:
    first, second = batch(1, 1, b"a", b"b", b"c"), batch(4, 1, b"d", b"e")
    await filled(storage, first, second)
    assert await storage.read_entries(2, 4, EVERYTHING) == (first.since(2), second.before(5))
    assert await storage.read_entries(2, 2, EVERYTHING) == (batch(2, 1, b"b"),)
    assert await storage.read_entries(5, 99, EVERYTHING) == (batch(5, 1, b"e"),)


@pytest.mark.parametrize(("room", "count"), [(0, 1), (39, 1), (77, 1), (78, 2), (39 * 2000, 2000), (1 << 30, 3000)])
async def test_read_entries_returns_what_fits_and_at_least_one(storage: Storage, room: int, count: int) -> None:
    batches = singles(1, 1, 3000)
    await filled(storage, *batches)
    assert await storage.read_entries(1, 3000, room) == batches[:count]


async def test_read_entries_outside_of_the_log(storage: Storage) -> None:
    await filled(storage, *singles(1, 1, 9))
    await take_snapshot(storage, 5, 1, [b"s"], first_index=4)
    for index in (0, 3, 10):
        with pytest.raises(KeyError):
            await storage.read_entries(index, 12, EVERYTHING)
    assert len(await storage.read_entries(4, 9, EVERYTHING)) == 6


# --- snapshots -----------------------------------------------------------------------------------------------


async def test_a_snapshot_replaces_the_log_it_covers(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 10))
    chunks = [b"one", b"", b"x" * 300_000]
    await take_snapshot(storage, 7, 1, chunks, first_index=5)
    assert await snapshot_contents(storage) == (SnapshotMetadata(7, 1), chunks)
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=EVERYTHING)
    assert recovered.snapshot == SnapshotMetadata(7, 1)
    assert (recovered.first_index, recovered.last_index) == (5, 10)
    assert recovered.tail == singles(5, 1, 6)
    assert await everything(again, recovered) == taken_apart(recovered.tail)
    assert await snapshot_contents(again) == (SnapshotMetadata(7, 1), chunks)
    await again.aclose()


async def test_a_snapshot_without_commit_changes_nothing(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 4))
    await take_snapshot(storage, 2, 1, [b"old"])
    snapshot_id = await storage.begin_snapshot(SnapshotMetadata(4, 1))
    await storage.write_snapshot_chunk(snapshot_id, 0, b"new")
    assert await snapshot_contents(storage) == (SnapshotMetadata(2, 1), [b"old"])
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=0)
    assert (recovered.snapshot, recovered.first_index) == (SnapshotMetadata(2, 1), 3)
    assert await snapshot_contents(again) == (SnapshotMetadata(2, 1), [b"old"])
    with pytest.raises(InternalError):
        await again.write([CommitSnapshot(snapshot_id, 5)])  # ids don't outlive the storage that gave them
    assert await again.begin_snapshot(SnapshotMetadata(4, 1)) not in (snapshot_id, snapshot_id - 1)
    await again.aclose()


@pytest.mark.parametrize("discard_log", [True, False])
async def test_a_snapshot_beyond_the_log_replaces_all_of_it(storage: Storage, place: Place, discard_log: bool) -> None:
    await filled(storage, *singles(1, 1, 4))
    await take_snapshot(storage, 9, 3, [b"s"], first_index=2, discard_log=discard_log)
    with pytest.raises(KeyError):
        await storage.read_entries(2, 4, 1)
    with pytest.raises(InternalError):
        await storage.write([append(batch(5, 3, b"x"))])
    with pytest.raises(InternalError):
        await storage.write([append(batch(10, 2, b"older than the snapshot"))])
    await storage.write([append(batch(10, 3, b"x"))])
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=EVERYTHING)
    assert (recovered.first_index, recovered.last_index) == (10, 10)
    assert recovered.term_runs == (TermRun(3, 10),)
    assert recovered.tail == (batch(10, 3, b"x"),)
    await again.aclose()


async def test_an_empty_log_begins_after_the_snapshot(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 4))
    await take_snapshot(storage, 4, 1, [])
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=EVERYTHING)
    assert (recovered.first_index, recovered.last_index, recovered.term_runs, recovered.tail) == (5, 4, (), ())
    assert await snapshot_contents(again) == (SnapshotMetadata(4, 1), [])
    await again.aclose()


@pytest.mark.parametrize("at", [3, 4, 5])
async def test_discarding_a_log_that_goes_beyond_the_snapshot(storage: Storage, place: Place, at: int) -> None:
    await filled(storage, batch(1, 1, b"a", b"b"), batch(3, 1, b"c", b"d", b"e", b"f"), batch(7, 1, b"g"))
    await take_snapshot(storage, at, 2, [b"s"], discard_log=True)
    new = batch(at + 1, 2, *[b"new"] * 5)
    await storage.write([append(new)])
    assert await storage.read_entries(at + 1, 99, EVERYTHING) == (new,)
    await storage.aclose()
    again = place.storage()
    recovered = await again.open(IDENTITY, tail_bytes=EVERYTHING)
    assert (recovered.first_index, recovered.tail) == (at + 1, (new,))
    await again.aclose()


async def test_senseless_snapshots_are_refused(storage: Storage) -> None:
    await filled(storage, *singles(1, 1, 9))
    snapshot_id = await take_snapshot(storage, 5, 1, [b"s"])
    with pytest.raises(InternalError, match=str(snapshot_id)):
        await storage.write([CommitSnapshot(snapshot_id, 6)])  # committed already
    with pytest.raises(InternalError):
        await storage.write_snapshot_chunk(snapshot_id, 1, b"late")
    with pytest.raises(InternalError, match="covers 5"):
        await storage.write([LogWrite(truncate_from=5)])
    other = await storage.begin_snapshot(SnapshotMetadata(7, 1))
    with pytest.raises(InternalError, match="chunk 1"):
        await storage.write_snapshot_chunk(other, 1, b"out of turn")
    with pytest.raises(InternalError, match="ends at index 7"):
        await storage.write([CommitSnapshot(other, 9)])
    older = await storage.begin_snapshot(SnapshotMetadata(4, 1))
    with pytest.raises(InternalError, match="already covers 5"):
        await storage.write([CommitSnapshot(older, 4)])
    await storage.write([CommitSnapshot(other, 3)])  # what is forgotten stays so
    with pytest.raises(KeyError):
        await storage.read_entries(5, 9, 1)
    assert len(await storage.read_entries(6, 9, EVERYTHING)) == 4


async def test_a_discarded_snapshot_is_over(storage: Storage) -> None:
    await filled(storage, *singles(1, 1, 3))
    kept = await take_snapshot(storage, 1, 1, [b"kept"])
    snapshot_id = await storage.begin_snapshot(SnapshotMetadata(2, 1))
    await storage.write_snapshot_chunk(snapshot_id, 0, b"x")
    await storage.discard_snapshot(snapshot_id)
    for over in (snapshot_id, kept):
        await storage.discard_snapshot(over)
        with pytest.raises(InternalError):
            await storage.write([CommitSnapshot(over, 3)])
    assert await snapshot_contents(storage) == (SnapshotMetadata(1, 1), [b"kept"])


async def test_snapshots_under_way_at_the_same_time(storage: Storage) -> None:
    await filled(storage, *singles(1, 1, 9))
    first = await storage.begin_snapshot(SnapshotMetadata(3, 1))
    second = await storage.begin_snapshot(SnapshotMetadata(6, 1))
    assert first != second
    for sequence in range(3):
        await storage.write_snapshot_chunk(second, sequence, b"second %d" % sequence)
        await storage.write_snapshot_chunk(first, sequence, b"first %d" % sequence)
    await storage.write([CommitSnapshot(first, 1), CommitSnapshot(second, 5)])
    expected = [b"second 0", b"second 1", b"second 2"]
    assert await snapshot_contents(storage) == (SnapshotMetadata(6, 1), expected)


async def test_an_open_reader_outlives_its_snapshots_replacement(storage: Storage) -> None:
    await filled(storage, *singles(1, 1, 9))
    chunks = [b"%d" % number * 1000 for number in range(20)]
    await take_snapshot(storage, 3, 1, chunks)
    reader = await storage.open_snapshot()
    again = await storage.open_snapshot()
    assert reader is not None
    assert again is not None
    await take_snapshot(storage, 6, 1, [b"new"])
    reader.close()
    for index in range(10, 60):  # time enough for what is not needed to be collected
        await storage.write([append(batch(index, 1, b"x"))])
    assert again.metadata == SnapshotMetadata(3, 1)
    assert [await again.read_chunk(number) for number in range(again.chunk_count)] == chunks
    assert await snapshot_contents(storage) == (SnapshotMetadata(6, 1), [b"new"])
    for number in (-1, 20):
        with pytest.raises(KeyError):
            await again.read_chunk(number)
    again.close()
    again.close()
    with pytest.raises(InternalError):
        await again.read_chunk(0)


# --- statistics ----------------------------------------------------------------------------------------------


async def test_statistics_count_commits_and_payload(storage: Storage) -> None:
    await storage.open(IDENTITY, tail_bytes=0)
    before = storage.statistics()
    assert (before.commits, before.written_bytes) == (0, 0)
    one = batch(1, 1, b"a" * 5000)
    await storage.write([append(one)])
    await take_snapshot(storage, 1, 1, [b"chunk"])
    after = storage.statistics()
    assert after.commits >= 3
    assert after.written_bytes == one.size + 5
    assert after.stored_bytes >= 5
