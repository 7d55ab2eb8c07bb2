"""What the SQLite storage does when the disk fails it."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from raft_actors.errors import (
    InternalError,
    StorageCorrupt,
    StorageError,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageReadOnly,
)
from raft_actors.persistence import (
    CommitSnapshot,
    HardState,
    LogWrite,
    SqliteStorage,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.persistence.inside import ROOT, Faults, failing, pragmas, settle
from tests.persistence.support import (
    IDENTITY,
    append,
    batch,
    contents_of,
    filled,
    singles,
    take_snapshot,
)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_IOERR, StorageFailed),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageFailed),
        (sqlite3.SQLITE_NOMEM, StorageFailed),
        (sqlite3.SQLITE_CORRUPT, StorageCorrupt),
        (sqlite3.SQLITE_CONSTRAINT, StorageCorrupt),
        (sqlite3.SQLITE_IOERR | 32 << 8, StorageCorrupt),
        (sqlite3.SQLITE_BUSY, StorageLocked),
    ],
)
@pytest.mark.parametrize("statement", ["INSERT INTO batches", "INSERT OR REPLACE", "COMMIT"])
async def test_after_a_failed_write_nothing_is_written(
    path: Path, faults: Faults, code: int, expected: type[StorageError], statement: str
) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    await storage.write([append(batch(2, 1, b"b"))])
    faults.prefix, faults.act = statement, failing(code)
    with pytest.raises(expected, match=str(path)) as caught:
        await storage.write([append(batch(3, 2 if statement != "INSERT INTO batches" else 1, b"c"))])
    assert type(caught.value) is expected
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    faults.prefix = "never"
    calls: list[Callable[[], Any]] = [
        lambda: storage.write([append(batch(4, 2, b"d"))]),
        lambda: storage.read_entries(1, 1, 1),
        lambda: storage.begin_snapshot(SnapshotMetadata(1, 1)),
    ]
    for call in calls:
        with pytest.raises(StorageFailed, match=r"n1\.db takes no more calls.*start the node again") as again:
            await call()
        assert str(caught.value) in str(again.value)
    await storage.aclose()
    assert (await contents_of(path)).last_index == 2


async def test_a_disk_that_is_full(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    await pragmas(storage, "max_page_count=100")

    async def fill() -> None:
        for index in range(2, 1000):
            await storage.write([append(batch(index, 1, b"x" * 10_000))])

    with pytest.raises(StorageFull, match="free some room"):
        await fill()
    with pytest.raises(StorageFailed, match="takes no more calls"):
        await storage.read_entries(1, 1, 1)
    await storage.aclose()
    found = await contents_of(path)
    assert 50 < found.last_index < 110
    assert found.hard_state == HardState(1, "n1")


@pytest.mark.parametrize("error", ["full", "quota", "read-only", "forbidden", "broken"])
async def test_errors_of_the_system(path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    number, expected = {
        "full": (errno.ENOSPC, StorageFull),
        "quota": (errno.EDQUOT, StorageFull),
        "read-only": (errno.EROFS, StorageReadOnly),
        "forbidden": (errno.EACCES, StorageReadOnly),
        "broken": (errno.EIO, StorageFailed),
    }[error]

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(expected, match=r"n1\.db") as caught:
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    assert type(caught.value) is expected


async def test_an_input_output_error_on_a_full_disk_is_told_as_such(
    path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    faults.prefix, faults.act = "INSERT INTO batches", failing(sqlite3.SQLITE_IOERR)
    monkeypatch.setattr(os, "statvfs", lambda _: attrs.make_class("Room", ["f_bavail"])(0))
    with pytest.raises(StorageFull):
        await storage.write([append(batch(2, 1, b"b"))])
    await storage.aclose()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM])
async def test_a_read_only_store(path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    await filled(storage := SqliteStorage(path), batch(1, 1, b"a"))
    await storage.aclose()
    faults.prefix, faults.act = "BEGIN IMMEDIATE", failing(code)
    monkeypatch.setattr(os, "access", lambda name, mode: name != path)
    with pytest.raises(StorageReadOnly, match=r"permission denied: .* and write .*n1\.db: change its owner"):
        await storage.open(IDENTITY, tail_bytes=0)
    monkeypatch.undo()
    assert (await contents_of(path)).last_index == 1


async def test_a_store_in_a_read_only_file_system(tmp_path: Path) -> None:
    """The real thing, where this system lets us mount one."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    await filled(storage := SqliteStorage(folder / "n1.db"), batch(1, 1, b"a"))
    await storage.aclose()
    code = f"""
import trio
from raft_actors.errors import StorageReadOnly
from raft_actors.persistence import SqliteStorage, inspect_store
from tests.persistence.support import IDENTITY
print(inspect_store({str(folder / "n1.db")!r}).last_index)
for name in ("n1.db", "new.db"):
    try:
        trio.run(lambda: SqliteStorage({str(folder)!r} + "/" + name).open(IDENTITY, tail_bytes=0))
    except StorageReadOnly as error:
        print(error)
"""
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(folder), sys.executable, code]
    run = await trio.run_process(command, cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False)
    output, errors = run.stdout.decode(), run.stderr.decode()
    if "mount:" in errors or "unshare:" in errors:
        pytest.skip(f"can't mount here: {errors}")
    assert errors == ""
    assert output.startswith("1\n")
    assert output.count("is read-only") == 2


@pytest.mark.parametrize("statement", ["PRAGMA wal_checkpoint", "SELECT max(CASE"])
async def test_a_failure_that_nobody_waited_for_is_the_next_callers(path: Path, faults: Faults, statement: str) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    await take_snapshot(storage, 1, 1, [b"s"])
    await settle(storage)
    faults.prefix, faults.act = statement, failing(sqlite3.SQLITE_CORRUPT)
    snapshot_id = await storage.begin_snapshot(SnapshotMetadata(2, 1))

    async def work() -> None:
        await storage.write([append(*singles(2, 1, 150, 60_000))])
        await storage.write([CommitSnapshot(snapshot_id, 3)])
        await settle(storage)
        await storage.read_entries(10, 10, 1)

    with pytest.raises(StorageCorrupt, match="injected"):
        await work()
    with pytest.raises(StorageFailed, match="takes no more calls"):
        await storage.read_entries(10, 10, 1)
    faults.prefix = "never"
    await storage.aclose()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_room_that_can_not_be_had_ahead_of_need(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    write = os.write
    sizes: list[int] = []

    def fail(descriptor: int, data: bytes) -> int:
        if len(data) < 100_000:
            return write(descriptor, data)
        if sizes:
            raise OSError(number, os.strerror(number))
        sizes.append(os.fstat(descriptor).st_size)
        return write(descriptor, data[:5000])

    monkeypatch.setattr(os, "write", fail)
    await storage.write([append(batch(1, 1, b"a"))])
    if number == errno.EIO:
        with pytest.raises(StorageFailed, match="making room in the write-ahead log"):
            await storage.read_entries(1, 1, 1)
        await storage.aclose()
    else:
        await storage.read_entries(1, 1, 1)
        assert sizes == [path.with_name("n1.db-wal").stat().st_size]
        await storage.aclose()
    assert (await contents_of(path)).last_index == 1


async def test_a_failure_that_nobody_waited_for_is_told_at_closing(path: Path, faults: Faults) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    faults.prefix, faults.act = "PRAGMA wal_checkpoint(PASSIVE)", failing(sqlite3.SQLITE_IOERR)
    await storage.write([append(*singles(2, 1, 150, 60_000))])
    with pytest.raises(StorageFailed, match="moving the write-ahead log"):
        await storage.aclose()
    await storage.aclose()
    assert (await contents_of(path)).last_index == 151


async def test_a_failure_to_close_is_told(path: Path, faults: Faults) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    faults.prefix, faults.act = "PRAGMA wal_checkpoint", failing(sqlite3.SQLITE_IOERR)
    with pytest.raises(StorageFailed, match="closing it"):
        await storage.aclose()
    await storage.aclose()
    faults.prefix = "never"
    assert (await contents_of(path)).last_index == 1


async def test_a_bug_of_ours_is_no_storage_error(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    with pytest.raises(InternalError, match="OverflowError"):
        await storage.write([LogWrite(HardState(1 << 63))])
    await storage.aclose()
