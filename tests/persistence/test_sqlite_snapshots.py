"""Snapshots of a SQLite store: their files, what keeps these in bounds, and what is said of damaged ones."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from raft_actors.errors import StorageCorrupt
from raft_actors.persistence import CommitSnapshot, SqliteStorage, inspect_store
from raft_actors.persistence.sqlite import snapshots
from raft_actors.persistence.sqlite.files import Files
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.persistence.inside import flip, settle, snapshot_files
from tests.persistence.support import (
    IDENTITY,
    contents_of,
    filled,
    singles,
    snapshot_contents,
    take_snapshot,
    unpack_old_store,
)


async def test_chunks_are_no_transactions(path: Path, statements: list[str]) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 9))
    snapshot_id = await storage.begin_snapshot(SnapshotMetadata(9, 1))
    await settle(storage)
    before = storage.statistics()
    statements.clear()
    for sequence in range(20):
        await storage.write_snapshot_chunk(snapshot_id, sequence, bytes(1000))
    assert statements == []
    after = storage.statistics()
    assert (after.commits, after.written_bytes) == (before.commits, before.written_bytes + 20_000)
    assert after.stored_bytes == before.stored_bytes + 20_000
    await storage.aclose()


@pytest.mark.skipif(os.name != "posix", reason="no modes")
async def test_only_its_owner_may_read_a_snapshot(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 9))
    await take_snapshot(storage, 3, 1, [b"secret"])
    assert stat.S_IMODE(path.with_name("n1.db-snapshot-1").stat().st_mode) == 0o600
    await storage.aclose()


@pytest.mark.skipif(os.name != "posix", reason="no modes")
async def test_every_file_of_a_store_is_its_owners_alone(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, EntryBatch.encode(1, 1, EntryKind.COMMAND, [bytes(200_000)]))
    await take_snapshot(storage, 1, 1, [b"secret"])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert len(modes) >= 5
    assert set(modes.values()) == {0o600}, modes
    await storage.aclose()


async def test_a_long_snapshot_goes_bit_by_bit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_SLICE_BYTES", 1000)
    sizes: list[int] = []

    class Watched(Files):
        def remove_some(self, path: Path, most_bytes: int) -> bool:
            sizes.append(path.stat().st_size)
            return super().remove_some(path, most_bytes)

    storage = SqliteStorage(path, files=Watched())
    await filled(storage, *singles(1, 1, 9))
    await take_snapshot(storage, 3, 1, [bytes(2500)])
    await take_snapshot(storage, 4, 1, [b"new"])
    await settle(storage)
    assert sizes == [2500, 1500, 500]
    assert snapshot_files(path) == ["n1.db-snapshot-2"]
    await storage.aclose()


async def test_of_two_snapshots_in_one_transaction_the_last_stays(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 9))
    begun = [await storage.begin_snapshot(SnapshotMetadata(index, 1)) for index in (3, 4)]
    for snapshot_id in begun:
        await storage.write_snapshot_chunk(snapshot_id, 0, b"%d" % snapshot_id)
    await storage.write([CommitSnapshot(snapshot_id, 1) for snapshot_id in begun])
    await settle(storage)
    assert snapshot_files(path) == ["n1.db-snapshot-2"]
    assert await snapshot_contents(storage) == (SnapshotMetadata(4, 1), [b"2"])
    await storage.aclose()


async def test_files_of_snapshots_that_no_row_speaks_of_go_at_opening(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 9))
    await take_snapshot(storage, 3, 1, [b"kept"])
    await storage.aclose()
    for name in ("2", "x"):
        path.with_name(f"n1.db-snapshot-{name}").write_bytes(b"back from the dead")
    await storage.open(IDENTITY, tail_bytes=0)
    assert snapshot_files(path) == ["n1.db-snapshot-1", "n1.db-snapshot-x"]
    await take_snapshot(storage, 4, 1, [b"new"])
    assert await snapshot_contents(storage) == (SnapshotMetadata(4, 1), [b"new"])
    await storage.aclose()


# --- damage -----------------------------------------------------------------------------------------------------

IN_ROWS = {
    "a chunk is gone": "DELETE FROM chunks WHERE chunk_id & 0xffff = 1",
    "a chunk is changed": "UPDATE chunks SET data = x'00' WHERE chunk_id & 0xffff = 1",
    "a chunk is no blob": "UPDATE chunks SET data = 7 WHERE chunk_id & 0xffff = 1",
    "a column is gone": "ALTER TABLE chunks DROP COLUMN data",
    "a table of chunks is gone": "DROP TABLE chunks",
}


@pytest.mark.parametrize("damage", IN_ROWS.values(), ids=IN_ROWS.keys())
async def test_chunks_that_an_older_version_put_into_rows(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "n1.db"
    unpack_old_store(4, path)
    await contents_of(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute(damage).rowcount
    connection.close()
    with pytest.raises(StorageCorrupt, match=str(path)):
        await contents_of(path)
    with pytest.raises(StorageCorrupt, match=str(path)):
        inspect_store(path)


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
async def test_the_file_of_a_snapshot(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "n1.db"
    await filled(storage := SqliteStorage(path), *singles(1, 1, 20))
    await take_snapshot(storage, 10, 1, [b"one", b"two", b"three"])
    await storage.aclose()
    (file,) = tmp_path.glob("n1.db-snapshot-*")
    match damage:
        case "gone":
            file.unlink()
        case "cut":
            file.write_bytes(file.read_bytes()[:-1])
        case _:
            flip(file, 4, 0)
    with pytest.raises(StorageCorrupt, match=f"{path}: .*{file.name}"):
        await contents_of(path)
    with pytest.raises(StorageCorrupt, match=file.name):
        inspect_store(path)
