"""Every storage keeps the contract of `raft_actors.persistence.abc`, sentence by sentence: snapshots."""

from __future__ import annotations

import pytest

from raft_actors.errors import InternalError
from raft_actors.persistence import (
    CommitSnapshot,
    LogWrite,
    Storage,
    TermRun,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.persistence.support import (
    EVERYTHING,
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


async def test_a_snapshot_replaces_the_log_it_covers(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 10))
    chunks = [b"one", b"", b"x" * 300_000]
    await take_snapshot(storage, 7, 1, chunks, first_index=5)
    assert await snapshot_contents(storage) == (SnapshotMetadata(7, 1), chunks)
    async with place.reopened(storage) as (again, recovered):
        assert recovered.snapshot == SnapshotMetadata(7, 1)
        assert (recovered.first_index, recovered.last_index) == (5, 10)
        assert recovered.tail == singles(5, 1, 6)
        assert await everything(again, recovered) == taken_apart(recovered.tail)
        assert await snapshot_contents(again) == (SnapshotMetadata(7, 1), chunks)


async def test_a_snapshot_without_commit_changes_nothing(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 4))
    await take_snapshot(storage, 2, 1, [b"old"])
    snapshot_id = await storage.begin_snapshot(SnapshotMetadata(4, 1))
    await storage.write_snapshot_chunk(snapshot_id, 0, b"new")
    assert await snapshot_contents(storage) == (SnapshotMetadata(2, 1), [b"old"])
    async with place.reopened(storage, tail_bytes=0) as (again, recovered):
        assert (recovered.snapshot, recovered.first_index) == (SnapshotMetadata(2, 1), 3)
        assert await snapshot_contents(again) == (SnapshotMetadata(2, 1), [b"old"])
        with pytest.raises(InternalError):
            await again.write([CommitSnapshot(snapshot_id, 5)])  # ids don't outlive the storage that gave them
        assert await again.begin_snapshot(SnapshotMetadata(4, 1)) not in (snapshot_id, snapshot_id - 1)


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
    recovered = await place.recover(storage)
    assert (recovered.first_index, recovered.last_index) == (10, 10)
    assert recovered.term_runs == (TermRun(3, 10),)
    assert recovered.tail == (batch(10, 3, b"x"),)


async def test_an_empty_log_begins_after_the_snapshot(storage: Storage, place: Place) -> None:
    await filled(storage, *singles(1, 1, 4))
    await take_snapshot(storage, 4, 1, [])
    async with place.reopened(storage) as (again, recovered):
        assert (recovered.first_index, recovered.last_index, recovered.term_runs, recovered.tail) == (5, 4, (), ())
        assert await snapshot_contents(again) == (SnapshotMetadata(4, 1), [])


@pytest.mark.parametrize("at", [3, 4, 5])
async def test_discarding_a_log_that_goes_beyond_the_snapshot(storage: Storage, place: Place, at: int) -> None:
    await filled(storage, batch(1, 1, b"a", b"b"), batch(3, 1, b"c", b"d", b"e", b"f"), batch(7, 1, b"g"))
    await take_snapshot(storage, at, 2, [b"s"], discard_log=True)
    new = batch(at + 1, 2, *[b"new"] * 5)
    await storage.write([append(new)])
    assert await storage.read_entries(at + 1, 99, EVERYTHING) == (new,)
    recovered = await place.recover(storage)
    assert (recovered.first_index, recovered.tail) == (at + 1, (new,))


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


async def test_chunks_are_written_and_read_several_at_a_time(storage: Storage) -> None:
    await filled(storage, *singles(1, 1, 9))
    snapshot_id = await storage.begin_snapshot(SnapshotMetadata(3, 1))
    await storage.write_snapshot_chunks(snapshot_id, 0, [b"aaaa", b"", b"bb"])
    with pytest.raises(InternalError):
        await storage.write_snapshot_chunks(snapshot_id, 2, [b"again"])
    await storage.write_snapshot_chunks(snapshot_id, 3, [b"ccc", b"d"])
    await storage.write([CommitSnapshot(snapshot_id, 1)])
    reader = await storage.open_snapshot()
    assert reader is not None
    assert await reader.read_chunks(0, 100, 100) == [b"aaaa", b"", b"bb", b"ccc", b"d"]
    assert await reader.read_chunks(1, 2, 100) == [b"", b"bb"]
    assert await reader.read_chunks(1, 100, 3) == [b"", b"bb", b"ccc"]
    assert await reader.read_chunks(0, 100, 1) == [b"aaaa"]
    for number in (-1, 5):
        with pytest.raises(KeyError):
            await reader.read_chunks(number, 1, 1)
    reader.close()
    with pytest.raises(InternalError):
        await reader.read_chunks(0, 1, 1)


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
