"""What the SQLite storage tells SQLite, and how it keeps its files in bounds."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from raft_actors.errors import (
    StorageFailed,
)
from raft_actors.persistence import (
    LogWrite,
    SqliteStorage,
)
from raft_actors.persistence.sqlite.batches import MAX_ROWS
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.persistence.inside import pragmas, rows, settle, snapshot_files
from tests.persistence.support import (
    EVERYTHING,
    IDENTITY,
    append,
    batch,
    filled,
    singles,
    take_snapshot,
    written,
)

# --- statements ------------------------------------------------------------------------------------------------


async def test_appending_is_one_statement(path: Path, statements: list[str]) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    await settle(storage)
    statements.clear()
    await storage.write([append(*singles(2, 1, MAX_ROWS - 1)), append(batch(MAX_ROWS + 1, 1, b"b", b"c"))])
    assert len(statements) == 1
    assert statements[0].startswith("INSERT INTO batches")
    await storage.write([append(*singles(MAX_ROWS + 3, 1, MAX_ROWS + 1))])
    assert (statements[1], statements[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
    assert len(statements) == 6  # two to insert, one for the store's row
    await storage.aclose()


async def test_the_settings_that_durability_rests_on(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    names = ("journal_mode", "synchronous", "locking_mode", "auto_vacuum", "page_size", "fullfsync")
    assert await pragmas(storage, *names) == ["wal", 2, "exclusive", 0, 8192, 1]
    await storage.aclose()


async def _steps_to_open(monkeypatch: pytest.MonkeyPatch, path: Path) -> int:
    """How many instructions of SQLite's virtual machine opening takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connect = sqlite3.connect

    def counting(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_progress_handler(count, 1)
        return connection

    storage = SqliteStorage(path)
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", counting)
        recovered = await storage.open(IDENTITY, tail_bytes=10_000)
        taken = steps
    assert sum(one.size for one in recovered.tail) <= 10_000
    await storage.aclose()
    return taken


async def test_opening_a_million_entries_reads_no_more_than_opening_a_few(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    command, steps = b"0123456789", list[int]()
    for first, last in ((1, 5_000), (5_001, 1_000_000)):
        batches = [batch(index, 1 + index // 200_000, *[command] * 10) for index in range(first, last, 10)]
        await storage.write([append(*batches)])
        await storage.aclose()
        steps.append(await _steps_to_open(monkeypatch, path))
        recovered = await storage.open(IDENTITY, tail_bytes=0)
        assert recovered.last_index == last
    assert steps[1] <= steps[0] + 200
    assert await storage.read_entries(567_890, 567_890, 0) == (batch(567_890, 3, command),)
    await storage.aclose()


async def test_reading_many_small_batches_takes_few_statements(path: Path, statements: list[str]) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 3000))
    await settle(storage)
    statements.clear()
    assert len(await storage.read_entries(1, 3000, EVERYTHING)) == 3000
    assert len(statements) <= 14
    await storage.aclose()


# --- upkeep ----------------------------------------------------------------------------------------------------


async def test_committing_a_snapshot_deletes_nothing_itself(path: Path, statements: list[str]) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 5000))
    await settle(storage)
    statements.clear()
    await take_snapshot(storage, 4990, 1, [b"chunk"], first_index=4981)
    commit = statements[: statements.index("COMMIT") + 1]
    assert not [statement for statement in commit if statement.startswith("DELETE")]
    await settle(storage)
    slices = [statement for statement in statements if statement.startswith("DELETE FROM batches")]
    assert len(slices) >= 4980 // 512
    assert await rows(storage, "batches") == 20
    await storage.aclose()


async def test_garbage_goes_also_when_the_storage_is_never_idle(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 5000))
    await take_snapshot(storage, 5000, 1, [b"old"] * 50)
    await take_snapshot(storage, 5000, 1, [b"new"])
    async with trio.open_nursery() as nursery:
        for index in range(5001, 5201):
            nursery.start_soon(written, storage, [append(batch(index, 1, b"x"))])
            await trio.testing.wait_all_tasks_blocked(0)
    assert await rows(storage, "batches") == 200
    assert await rows(storage, "snapshots") == 1
    assert snapshot_files(path) == ["n1.db-snapshot-2"]
    await storage.aclose()


async def test_what_earlier_runs_left_is_collected_after_opening(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 2000))
    left = await storage.begin_snapshot(SnapshotMetadata(9, 1))
    for sequence in range(10):
        await storage.write_snapshot_chunk(left, sequence, b"never committed")
    await take_snapshot(storage, 1500, 1, [b"a", b"b"])
    await storage.aclose()
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    await settle(storage)
    assert [await rows(storage, table) for table in ("batches", "snapshots")] == [500, 1]
    assert snapshot_files(path) == ["n1.db-snapshot-2"]
    await storage.aclose()


async def test_what_a_reader_holds_is_collected_once_it_lets_go(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 9))
    await take_snapshot(storage, 3, 1, [b"old"] * 10)
    reader = await storage.open_snapshot()
    assert reader is not None
    await take_snapshot(storage, 4, 1, [b"new"])
    await settle(storage)
    assert snapshot_files(path) == ["n1.db-snapshot-1", "n1.db-snapshot-2"]
    assert await reader.read_chunk(9) == b"old"
    reader.close()
    await storage.write([LogWrite()])
    await settle(storage)
    assert snapshot_files(path) == ["n1.db-snapshot-2"]
    await storage.aclose()
    reader.close()
    with pytest.raises(StorageFailed, match="closed"):
        await (await _reader_of_a_closed_storage(path)).read_chunk(0)


async def _reader_of_a_closed_storage(path: Path) -> Any:
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    reader = await storage.open_snapshot()
    await storage.aclose()
    return reader


async def test_a_reader_that_nobody_waited_for_holds_nothing(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 9))
    await take_snapshot(storage, 3, 1, [b"old"] * 10)
    with trio.CancelScope() as scope:
        scope.cancel()
        await storage.open_snapshot()
    await take_snapshot(storage, 4, 1, [b"new"])
    await settle(storage)
    assert snapshot_files(path) == ["n1.db-snapshot-2"]
    await storage.aclose()


async def test_the_files_stay_bounded(path: Path) -> None:
    """A log that is compacted again and again reuses its room, and the write-ahead log does not grow with it."""
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    index, sizes = 2, list[int]()
    for _ in range(6):
        for _ in range(20):
            await storage.write([append(*[batch(index + n, 1, b"x" * 20_000) for n in range(20)])])
            index += 20
        await take_snapshot(storage, index - 1, 1, [b"s" * 100_000] * 3)
        await settle(storage)
        sizes.append(path.stat().st_size)
        assert path.with_name("n1.db-wal").stat().st_size < 24 * 1024 * 1024
    assert sizes[-1] <= sizes[1] * 1.2
    await storage.aclose()
    assert not path.with_name("n1.db-wal").exists()
