"""Opening a SQLite store: whose it is, who else has it, where it lies."""

from __future__ import annotations

import math
import os
import random
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from raft_actors.errors import (
    ConfigurationError,
    StorageError,
    StorageFailed,
    StorageLocked,
    StorageMismatch,
    StorageVersionError,
)
from raft_actors.persistence import (
    HardState,
    LogWrite,
    SqliteStorage,
    inspect_store,
)
from raft_actors.persistence.sqlite.files import Files
from raft_actors.persistence.sqlite.migrations import SCHEMA_VERSION
from tests.persistence.inside import ROOT
from tests.persistence.support import (
    IDENTITY,
    batch,
    filled,
)


async def test_another_process_is_kept_out_both_ways(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    code = f"""
import sqlite3, trio
from raft_actors.errors import StorageLocked
from raft_actors.persistence import SqliteStorage, inspect_store
from tests.persistence.support import IDENTITY
for look in (lambda: trio.run(lambda: SqliteStorage({str(path)!r}).open(IDENTITY, tail_bytes=0)),
             lambda: inspect_store({str(path)!r})):
    try:
        look()
    except StorageLocked as error:
        print(error)
"""
    run = await trio.run_process([sys.executable, "-c", code], cwd=ROOT, capture_stdout=True)
    assert run.stdout.decode().count(f"{path} is open in another process ({os.getpid()})") == 2
    with pytest.raises(StorageLocked, match="another node of this process"):
        inspect_store(path)
    await storage.aclose()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageLocked):
        await storage.open(IDENTITY, tail_bytes=0)
    connection.execute("ROLLBACK")
    connection.close()
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()


async def test_a_foreign_database_is_refused_and_left_as_it_is(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE guests (name)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageMismatch, match="another application"):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageMismatch):
        inspect_store(path)
    assert path.read_bytes() == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["n1.db"]


async def test_a_newer_schema_is_refused_and_left_as_it_is(path: Path) -> None:
    await filled(storage := SqliteStorage(path), batch(1, 1, b"a"))
    await storage.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageVersionError, match=rf"version {SCHEMA_VERSION + 1}.*up to {SCHEMA_VERSION}.*upgrade"):
        await storage.open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageVersionError):
        inspect_store(path)
    assert path.read_bytes() == before


async def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "mount" / "data"
    for missing in (tmp_path / "mount", folder):
        with pytest.raises(StorageFailed, match=f"n1.db: {missing} is missing: is the disk mounted"):
            await SqliteStorage(folder / "n1.db").open(IDENTITY, tail_bytes=0)
        assert not missing.exists()
        missing.mkdir()
    await filled(storage := SqliteStorage(folder / "n1.db"), batch(1, 1, b"a"))
    await storage.aclose()


@pytest.mark.parametrize("made", [False, True], ids=["not made yet", "made before"])
async def test_all_files_of_a_linked_store_lie_beside_the_links_target(tmp_path: Path, made: bool) -> None:
    folder, link = tmp_path / "volume", tmp_path / "n1.db"
    folder.mkdir()
    if made:
        await filled(storage := SqliteStorage(folder / "other.db"), batch(1, 1, b"a"))
        await storage.aclose()
    (tmp_path / "between").symlink_to("volume/other.db")
    link.symlink_to("between")
    storage = SqliteStorage(link)
    recovered = await storage.open(IDENTITY, tail_bytes=0)
    first = recovered.last_index + 1
    for index in range(first, first + 300):  # room is made in the log, and marks are written
        await storage.write([LogWrite(HardState(1, "n1"), entries=(batch(index, 1, b"x" * 20_000),))])
    await storage.write([LogWrite(entries=(batch(first + 300, 1, b"x" * 200_000),))])
    with pytest.raises(StorageLocked):
        await SqliteStorage(folder / "other.db").open(IDENTITY, tail_bytes=0)
    stored = storage.statistics().stored_bytes
    await storage.aclose()
    assert stored > 6_000_000
    assert sorted(file.name for file in tmp_path.iterdir()) == ["between", "n1.db", "volume"]
    assert {"other.db", "other.db-mark", "other.db-segment-1"} == {file.name for file in folder.iterdir()}
    assert inspect_store(link).last_index == inspect_store(folder / "other.db").last_index == first + 300


async def test_a_link_that_leads_round_and_round(tmp_path: Path) -> None:
    link = tmp_path / "n1.db"
    link.symlink_to("n1.db")
    with pytest.raises(StorageFailed, match=r"n1\.db is a symbolic link that leads back to itself"):
        await SqliteStorage(link).open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageFailed, match=r"n1\.db"):
        inspect_store(link)


async def test_a_clock_that_jumps_is_refused(path: Path, autojump_clock: trio.testing.MockClock) -> None:
    storage = SqliteStorage(path)
    with pytest.raises(ConfigurationError, match=r"MockClock with autojump .*use MemoryStorage"):
        await storage.open(IDENTITY, tail_bytes=0)
    assert not path.exists()
    autojump_clock.autojump_threshold = math.inf
    await filled(storage, batch(1, 1, b"a"))
    await storage.aclose()


async def test_folders_are_made_and_synced_with_their_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a" / "b"
    opened: dict[int, str] = {}
    synced: list[tuple[str, bool]] = []
    real_open, real_sync = os.open, os.fsync

    def open_(name: Any, *arguments: Any, **options: Any) -> int:
        descriptor = real_open(name, *arguments, **options)
        opened[descriptor] = str(name)
        return descriptor

    def sync(descriptor: int) -> None:
        synced.append((opened.get(descriptor, "a file"), (folder / "n1.db").exists()))
        real_sync(descriptor)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "fsync", sync)
    Files().make_folder(folder)
    storage = SqliteStorage(folder / "n1.db")
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    for name in (tmp_path, tmp_path / "a", folder):
        assert (str(name), False) in synced
    assert synced[-1] == (str(folder), True)
    synced.clear()
    await storage.open(IDENTITY, tail_bytes=0)  # who made the file may have been killed before the sync
    await storage.aclose()
    assert synced == [(str(folder), True)]


def test_what_is_made_durable_is_written_again_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, files = tmp_path / "file", Files()
    files.make_durable(path)
    assert not path.exists()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for size in (0, 1, 3_000_000):
        data = random.Random(size).randbytes(size)
        path.write_bytes(data)
        os.utime(path, (0, 0))
        files.make_durable(path)
        assert path.read_bytes() == data
        assert (path.stat().st_mtime > 0) == (size > 0)
    assert len(synced) == 2


async def test_a_path_that_can_be_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "n1.db"):
        with pytest.raises(StorageError, match=str(path)):
            await SqliteStorage(path).open(IDENTITY, tail_bytes=0)


async def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = SqliteStorage("n1.db")
    monkeypatch.chdir("/")
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    assert (tmp_path / "n1.db").exists()


async def test_a_file_system_without_write_ahead_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sqlite3, "connect", lambda *_, connect=sqlite3.connect, **options: connect(":memory:", **options)
    )
    with pytest.raises(StorageFailed, match="local file system"):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
