"""The SQLite storage's thread: cancellation, hung disks, and how it ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from raft_actors.errors import (
    StorageFailed,
    StorageLocked,
    StorageMismatch,
)
from raft_actors.persistence import (
    SqliteStorage,
    StoreIdentity,
)
from tests.persistence.inside import ROOT, Faults
from tests.persistence.support import (
    IDENTITY,
    append,
    batch,
    contents_of,
    filled,
    written,
)


async def test_a_hung_disk_holds_up_no_cancellation(path: Path, hung: threading.Event, faults: Faults) -> None:
    storage = SqliteStorage(path)
    faults.prefix, prefix = "never", faults.prefix
    await filled(storage, batch(1, 1, b"a"))
    faults.prefix = prefix
    async with trio.open_nursery() as nursery:
        for call in (
            lambda: written(storage, [append(batch(2, 1, b"b"))]),
            lambda: written(storage, [append(batch(3, 1, b"c"))]),
            lambda: storage.read_entries(1, 1, 1),
            storage.aclose,
        ):
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(StorageFailed, match="closed"):
        await storage.write([append(batch(4, 1, b"d"))])
    with pytest.raises(StorageLocked):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    hung.set()
    await storage.aclose()
    assert (await contents_of(path)).last_index == 3  # what was asked for was done, though nobody waited


def test_a_hung_disk_holds_up_no_exit(path: Path) -> None:
    code = f"""
import sqlite3, threading, trio
from raft_actors.persistence import SqliteStorage
from tests.persistence.support import IDENTITY, append, batch, written
class Hanging(sqlite3.Connection):
    def execute(self, sql, *arguments):
        if sql.startswith("INSERT INTO batches"):
            threading.Event().wait()
        return super().execute(sql, *arguments)
connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Hanging, **options)
async def main():
    storage = SqliteStorage({str(path)!r})
    await storage.open(IDENTITY, tail_bytes=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(written, storage, [append(batch(1, 1, b"a"))])
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    print("cancelled")
import trio.testing
trio.run(main)
print("left")
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "cancelled\nleft\n"
    assert run.stderr == ""


def _thread_of(storage: SqliteStorage) -> threading.Thread:
    assert storage._session is not None
    return storage._session.thread._thread


def test_the_thread_ends_when_trio_has_ended(path: Path) -> None:
    async def leave(storage: SqliteStorage) -> threading.Thread:
        await filled(storage, batch(1, 1, b"a"))
        session = storage._session
        assert session is not None
        session.thread.post(ended.wait)
        return _thread_of(storage)

    ended = threading.Event()
    storage = SqliteStorage(path)
    thread = trio.run(leave, storage)
    assert thread.daemon
    assert thread.name == "raft storage n1.db"
    ended.set()
    thread.join(60)
    assert not thread.is_alive()
    assert trio.run(contents_of, path).last_index == 1


def test_the_thread_ends_when_its_storage_is_forgotten(path: Path) -> None:
    async def forget() -> threading.Thread:
        storage: SqliteStorage | None = SqliteStorage(path)
        assert storage is not None
        await filled(storage, batch(1, 1, b"a"))
        thread = _thread_of(storage)
        storage = None
        gc.collect()
        thread.join(60)
        return thread

    assert not trio.run(forget).is_alive()
    assert trio.run(contents_of, path).last_index == 1


async def test_closing_leaves_no_thread(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    thread = _thread_of(storage)
    await storage.aclose()
    assert not thread.is_alive()
    before = set(threading.enumerate())
    with pytest.raises(StorageMismatch):
        await storage.open(StoreIdentity("other", "n9"), tail_bytes=0)
    with trio.CancelScope() as scope:
        scope.cancel()
        await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()  # waits until what was cancelled has let go
    assert not set(threading.enumerate()) - before
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
