"""Large batches: they lie in files beside the database, which are used again when the log no longer needs them."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from raft_actors.errors import StorageCorrupt, StorageFull
from raft_actors.persistence import HardState, LogWrite, SqliteStorage, inspect_store
from raft_actors.persistence.sqlite import segments
from raft_actors.persistence.sqlite.files import SyncedFile
from raft_actors.raft.entries import EntryBatch
from tests.persistence.inside import rows, settle
from tests.persistence.support import (
    EVERYTHING,
    IDENTITY,
    append,
    batch,
    everything,
    filled,
    singles,
    take_snapshot,
    taken_apart,
)

SIZE = 100_000


def large(index: int, term: int = 1) -> EntryBatch:
    """One entry, recognizable by its index and term."""
    return batch(index, term, bytes([index % 251, term]) * (SIZE // 2))


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob("*-segment-*"))


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two large batches fill a segment, and one free file is kept."""
    monkeypatch.setattr(segments, "_SEGMENT_BYTES", SIZE + 5000)
    monkeypatch.setattr(segments, "_MOST_FREE", 1)


async def reopened(path: Path, expected: Sequence[EntryBatch]) -> SqliteStorage:
    storage = SqliteStorage(path)
    recovered = await storage.open(IDENTITY, tail_bytes=3 * SIZE)
    assert await everything(storage, recovered) == taken_apart(expected)
    assert taken_apart(recovered.tail) == taken_apart(expected)[-len(taken_apart(recovered.tail)) :]
    return storage


async def test_large_batches_lie_beside_the_database_and_small_ones_in_it(path: Path) -> None:
    log = [batch(1, 1, b"a"), large(2), batch(3, 1, b"b", b"c"), large(5), large(6), *singles(7, 1, 2)]
    await filled(storage := SqliteStorage(path), *log)
    assert taken_apart(await storage.read_entries(1, 8, EVERYTHING)) == taken_apart(log)
    assert taken_apart(await storage.read_entries(5, 5, 0)) == taken_apart([log[3]])
    await storage.aclose()
    assert path.stat().st_size < SIZE
    assert files(path) == ["n1.db-segment-1"]
    storage = await reopened(path, log)
    assert storage.statistics().stored_bytes > 3 * SIZE
    await storage.aclose()
    summary = inspect_store(path)
    assert summary.segment_bytes > 3 * SIZE
    assert summary.log_bytes == sum(one.size for one in log)


async def test_a_large_batch_costs_one_statement(path: Path, statements: list[str]) -> None:
    await filled(storage := SqliteStorage(path), large(1))
    await settle(storage)
    statements.clear()
    await storage.write([append(large(2), batch(3, 1, b"a"))])
    assert [statement.split(" VALUES")[0] for statement in statements] == ["INSERT INTO batches"]
    await storage.aclose()


@pytest.mark.usefixtures("short_segments")
async def test_files_are_used_again_once_the_log_begins_behind_them(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *[])
    for index in range(1, 7):
        await storage.write([append(large(index))])
    assert files(path) == [f"n1.db-segment-{number}" for number in (1, 2, 3)]
    await take_snapshot(storage, 4, 1, [b"s"])
    await settle(storage)
    assert len(files(path)) == 2  # the third one holds entries 5 and 6, one is kept for the next
    for index in range(7, 9):
        await storage.write([append(large(index))])
    assert len(files(path)) == 2
    await storage.aclose()
    storage = await reopened(path, [large(index) for index in (5, 6, 7, 8)])
    await storage.aclose()


@pytest.mark.usefixtures("short_segments")
async def test_what_is_cut_off_makes_room(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *[])
    for index in range(1, 7):
        await storage.write([append(large(index))])
    new = [large(index, 2) for index in (4, 5, 6)]
    await storage.write([LogWrite(HardState(2, None), 4, tuple(new))])
    assert files(path) == [f"n1.db-segment-{number}" for number in (1, 2, 3, 4)]
    await storage.write([LogWrite(HardState(3, None), 5, (large(5, 3),))])
    await storage.write([append(large(6, 3))])
    await storage.aclose()
    storage = await reopened(path, [large(1), large(2), large(3), large(4, 2), large(5, 3), large(6, 3)])
    await storage.aclose()


async def test_a_batch_that_is_cut_in_the_middle(path: Path) -> None:
    commands = [bytes([number]) * 50_000 for number in range(4)]
    await filled(storage := SqliteStorage(path), batch(1, 1, *commands))
    await storage.write([LogWrite(HardState(2, None), 3, (batch(3, 2, b"new"),))])
    await storage.aclose()
    storage = await reopened(path, [batch(1, 1, *commands[:2]), batch(3, 2, b"new")])
    await storage.aclose()


@pytest.mark.usefixtures("short_segments")
async def test_what_lies_below_the_log_is_not_looked_at(path: Path) -> None:
    """Its row may be there still, while its file holds something else."""
    storage = SqliteStorage(path)
    await filled(storage, large(1), batch(2, 1, *[b"a" * 40_000] * 5))
    await take_snapshot(storage, 4, 1, [b"s"], discard_log=True)
    await storage.aclose()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM segments")
        connection.execute("INSERT OR REPLACE INTO batches VALUES (1, 1, 1, 1, 100000, x'000000010000000000000000')")
    connection.close()
    (path.parent / "n1.db-segment-1").write_bytes(b"other")
    storage = SqliteStorage(path)
    recovered = await storage.open(IDENTITY, tail_bytes=0)
    assert (recovered.first_index, recovered.last_index) == (5, 4)
    await storage.write([LogWrite(HardState(2, None), 5, (large(5, 2),))])
    await settle(storage)
    assert await rows(storage, "batches") == 1
    await storage.aclose()
    await (await reopened(path, [large(5, 2)])).aclose()


@pytest.mark.parametrize("damage", ["removed", "cut", "other"])
async def test_a_damaged_segment_is_told(path: Path, damage: str) -> None:
    await filled(storage := SqliteStorage(path), large(1), large(2), batch(3, 1, b"a"))
    await storage.aclose()
    segment = path.parent / "n1.db-segment-1"
    data = segment.read_bytes()
    segment.write_bytes(data[: SIZE + 10] if damage == "cut" else data[:SIZE] + b"?" + data[SIZE + 1 :])
    if damage == "removed":
        segment.unlink()
    await storage.open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageCorrupt, match="checksum" if damage == "other" else "n1.db-segment-1 are missing"):
        await storage.read_entries(1, 2, EVERYTHING)
    await storage.aclose()
    with pytest.raises(StorageCorrupt):
        inspect_store(path)


async def test_a_damaged_table_of_segments_is_told(path: Path) -> None:
    await filled(storage := SqliteStorage(path), large(1))
    await storage.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE segments SET file = 'x'")
    connection.close()
    with pytest.raises(StorageCorrupt, match="table of its segments"):
        await storage.open(IDENTITY, tail_bytes=0)


async def test_files_that_hold_nothing_are_found_again(path: Path) -> None:
    """Left by a crash, or by a store that somebody removed."""
    for number in (1, 2, 9):
        (path.parent / f"n1.db-segment-{number}").write_bytes(b"old")
    (path.parent / "n1.db-segment-x").write_bytes(b"not ours")
    await filled(storage := SqliteStorage(path), large(1))
    await storage.aclose()
    assert files(path) == [f"n1.db-segment-{name}" for name in (1, 2, 9, "x")]
    await (await reopened(path, [large(1)])).aclose()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    await filled(storage := SqliteStorage(path), large(1))

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(SyncedFile, "write_at", fail)
        with pytest.raises(StorageFull):
            await storage.write([append(large(2))])
    await storage.aclose()
    await (await reopened(path, [large(1)])).aclose()


# --- the files themselves ----------------------------------------------------------------------------------------


def test_what_is_written_durably_is_where_it_belongs(tmp_path: Path) -> None:
    file = SyncedFile(tmp_path / "file")
    file.write_at(5, [b"ab", b"", b"cd"])
    file.write_at(0, [b"1234"])
    file.write_at(9, [bytes([number % 256]) for number in range(3000)])  # more parts than a system call takes
    file.close()
    data = (tmp_path / "file").read_bytes()
    assert data == b"1234\0abcd" + bytes(number % 256 for number in range(3000))


@pytest.mark.skipif(not hasattr(os, "RWF_DSYNC"), reason="this system has no such writes")
def test_file_systems_that_know_no_durable_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []

    def refuse(*_: Any) -> int:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "pwritev", refuse)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    file = SyncedFile(tmp_path / "file")
    file.write_at(0, [b"ab", b"cd"])
    file.write_at(4, [b"ef"])
    file.close()
    assert (tmp_path / "file").read_bytes() == b"abcdef"
    assert len(synced) == 2


@pytest.mark.skipif(not hasattr(os, "RWF_DSYNC"), reason="this system has no such writes")
def test_a_durable_write_that_was_cut_short_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, synced = os.pwritev, list[int]()

    def write_less(descriptor: int, parts: Sequence[bytes], offset: int, flags: int) -> int:
        return write(descriptor, [parts[0][:1]], offset, flags)

    monkeypatch.setattr(os, "pwritev", write_less)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    file = SyncedFile(tmp_path / "file")
    file.write_at(0, [b"ab", b"cd"])
    file.close()
    assert (tmp_path / "file").read_bytes() == b"abcd"
    assert len(synced) == 1


@pytest.mark.skipif(not hasattr(os, "RWF_DSYNC"), reason="this system has no such writes")
def test_an_error_of_a_durable_write_comes_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "pwritev", fail)
    file = SyncedFile(tmp_path / "file")
    with pytest.raises(OSError, match="broken"):
        file.write_at(0, [b"ab"])
    file.close()
