"""Inspecting the store of a stopped node."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from raft_actors.errors import (
    StorageFailed,
    StorageMismatch,
)
from raft_actors.persistence import (
    HardState,
    KindCount,
    SqliteStorage,
    TermRun,
    inspect_store,
    stored_entries,
)
from raft_actors.persistence.sqlite.migrations import SCHEMA_VERSION
from raft_actors.raft.entries import EntryKind
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.persistence.support import (
    IDENTITY,
    batch,
    contents_of,
    filled,
    take_snapshot,
)
from tests.persistence.test_sqlite_crash import start


async def test_inspecting_a_store(path: Path) -> None:
    storage = SqliteStorage(path)
    noop = batch(1, 1, b"", kind=EntryKind.NOOP)
    batches = (noop, batch(2, 1, b"a", b"b", b"c"), batch(5, 2, b"", kind=EntryKind.NOOP), batch(6, 2, b"d"))
    await filled(storage, *batches, term=2)
    await take_snapshot(storage, 3, 1, [b"one", b"three"], first_index=3)
    await storage.aclose()
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    summary = inspect_store(str(path))
    assert summary.path == path
    assert summary.identity == IDENTITY
    assert summary.schema_version == SCHEMA_VERSION
    assert summary.hard_state == HardState(2, "n1")
    assert summary.snapshot == SnapshotMetadata(3, 1)
    assert (summary.snapshot_chunks, summary.snapshot_bytes) == (2, 8)
    assert (summary.first_index, summary.last_index) == (3, 6)
    assert summary.kinds == {EntryKind.COMMAND: KindCount(3, 2), EntryKind.NOOP: KindCount(1, 1)}
    assert summary.term_runs == (TermRun(1, 3), TermRun(2, 5))
    assert summary.database_bytes == len(files["n1.db"])
    assert summary.wal_bytes == 0
    assert summary.commit_number == 2
    assert [entry.command for entry in stored_entries(path)] == [b"b", b"c", b"", b"d"]
    assert [entry.index for entry in stored_entries(path, 4)] == [4, 5, 6]
    for index in (2, 7):
        with pytest.raises(KeyError):
            next(stored_entries(path, index))
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == files


def test_inspecting_what_a_crash_left_changes_nothing(path: Path) -> None:
    with start(path, 3, 30, "to-the-end") as process:
        process.communicate()
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert set(files) == {"n1.db", "n1.db-wal", "n1.db-mark", "n1.db-lock", "n1.db-snapshot-1"}
    summary = inspect_store(path)
    entries = list(stored_entries(path))
    assert summary.wal_bytes > 0
    assert summary.hard_state.term == 10**6
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == files
    found = trio.run(contents_of, path)
    assert list(found.entries) == entries
    assert inspect_store(path).last_index == summary.last_index


def test_inspecting_nothing(path: Path) -> None:
    with pytest.raises(StorageFailed, match="no such file"):
        inspect_store(path)
    path.write_bytes(b"")
    with pytest.raises(StorageMismatch):
        inspect_store(path)
    path.write_bytes(b"x" * 10_000)
    with pytest.raises(StorageMismatch, match=r"no SQLite database: name another file$"):
        inspect_store(path)


async def test_inspecting_an_empty_store(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    summary = inspect_store(path)
    assert (summary.first_index, summary.last_index, summary.kinds, summary.snapshot_bytes) == (1, 0, {}, 0)
    assert list(stored_entries(path)) == []
