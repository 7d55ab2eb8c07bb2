"""What keeps everybody else out of an open store, whatever the process does with its files."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from raft_actors.errors import StorageLocked
from raft_actors.persistence import SqliteStorage, inspect_store
from raft_actors.persistence.sqlite.lock import ReadLock, StoreLock, lock_path
from tests.persistence.inside import ROOT
from tests.persistence.support import IDENTITY, append, batch, contents_of, filled

if sys.platform == "win32":
    pytest.skip("SQLite's own locks do there", allow_module_level=True)

import fcntl

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs locks of open file descriptions")

_SECOND_NODE = """
import sys, trio
from raft_actors.errors import StorageLocked
from raft_actors.persistence import SqliteStorage
from tests.persistence.support import IDENTITY
try:
    trio.run(lambda: SqliteStorage(sys.argv[1]).open(IDENTITY, tail_bytes=0))
except StorageLocked:
    print("refused")
"""

_STRANGER = """
import sqlite3, sys
try:
    connection = sqlite3.connect(sys.argv[1], timeout=0)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    print("looked")
except sqlite3.OperationalError as error:
    print(error)
"""

_FORKED = """
import os, sys
from pathlib import Path
from raft_actors.persistence.sqlite.lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
reader, writer = os.pipe()
started, start = os.pipe()
if os.fork() == 0:
    os.close(writer)
    os.write(start, b"!")
    os.read(reader, 1)
    os._exit(0)
os.read(started, 1)
lock.close()
StoreLock(Path(sys.argv[1])).close()
print("taken again while the child lives")
os.close(writer)
os.wait()
"""


async def _run(code: str, path: Path) -> str:
    run = await trio.run_process([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_stdout=True)
    return run.stdout.decode().strip()


async def _read_every_file(path: Path) -> None:
    """As for a backup, or a checksum: whatever POSIX locks the process holds on them are gone then."""
    for file in path.parent.iterdir():
        file.read_bytes()
    with pytest.raises(StorageLocked, match="by another node of this process"):
        inspect_store(path)


async def test_to_read_its_own_files_lets_no_second_node_in(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    await _read_every_file(path)
    assert await _run(_SECOND_NODE, path) == "refused"
    with pytest.raises(StorageLocked):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    assert await _run(_SECOND_NODE, path) == "refused"  # a refused one of the same process takes no lock along
    await storage.aclose()
    assert not lock_path(path).exists()


@linux
async def test_to_read_its_own_files_lets_no_stranger_in(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    await _read_every_file(path)
    assert await _run(_STRANGER, path) == "database is locked"
    own = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        own.execute("SELECT * FROM store")
    own.close()
    assert path.with_name("n1.db-wal").exists()
    await storage.write([append(batch(2, 1, b"b"))])
    await storage.aclose()
    assert (await contents_of(path)).last_index == 2
    assert await _run(_STRANGER, path) == "looked"


@linux
async def test_a_lock_file_that_was_removed_lets_nobody_in(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    lock_path(path).unlink()
    assert await _run(_SECOND_NODE, path) == "refused"
    await storage.aclose()


@linux
async def test_a_store_that_a_stranger_reads_is_not_opened(path: Path) -> None:
    await filled(storage := SqliteStorage(path), batch(1, 1, b"a"))
    await storage.aclose()
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN")
    stranger.execute("SELECT * FROM store").fetchall()
    with pytest.raises(StorageLocked):
        await storage.open(IDENTITY, tail_bytes=0)
    stranger.close()
    assert (await contents_of(path)).last_index == 1


async def test_a_store_is_not_opened_while_it_is_inspected(path: Path) -> None:
    await filled(storage := SqliteStorage(path), batch(1, 1, b"a"))
    await storage.aclose()
    for leave_lock_file in (False, True):
        if leave_lock_file:
            lock_path(path).touch()
        elif sys.platform != "linux":
            continue
        reading = ReadLock(path)
        ReadLock(path).close()  # any number may look
        with pytest.raises(StorageLocked):
            await storage.open(IDENTITY, tail_bytes=0)
        reading.close()
    assert (await contents_of(path)).last_index == 1


async def test_a_forked_child_keeps_no_store(path: Path) -> None:
    assert await _run(_FORKED, path) == "taken again while the child lives"


async def test_where_the_system_has_no_such_locks_nodes_are_kept_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_such_lock(*_: Any) -> None:
        raise OSError(errno.EINVAL, "unknown")

    monkeypatch.setattr(fcntl, "fcntl", no_such_lock)
    lock = StoreLock(path)
    assert lock.vfs is None
    lock.close()
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    path.read_bytes()
    assert await _run(_SECOND_NODE, path) == "refused"
    await storage.aclose()


def test_a_lock_on_a_file_that_is_just_removed_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, gone = fcntl.flock, list[int]()

    def removed_before(file: int, kind: int) -> None:
        if not gone:
            lock_path(path).unlink()
            gone.append(file)
        flock(file, kind)

    monkeypatch.setattr(fcntl, "flock", removed_before)
    lock = StoreLock(path)
    assert gone
    assert lock_path(path).read_text() == f"{os.getpid()}\n"
    with pytest.raises(StorageLocked):
        StoreLock(path)
    lock.close()
    lock.close()
