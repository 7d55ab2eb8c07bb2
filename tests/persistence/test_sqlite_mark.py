"""The mark beside a SQLite store: what it knows of, and what becomes of a store without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from raft_actors.errors import StorageCorrupt
from raft_actors.persistence import LogWrite, SqliteStorage, inspect_store, stored_entries
from raft_actors.persistence.sqlite.mark import Mark, MarkedCommit, mark_path, read_mark
from tests.persistence.inside import flip, settle
from tests.persistence.support import (
    IDENTITY,
    append,
    batch,
    contents_of,
    filled,
)


async def _three_commits(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    await storage.write([append(batch(2, 1, b"b"))])
    await storage.write([append(batch(3, 1, b"c"))])
    await storage.aclose()


async def test_an_old_copy_is_refused_until_the_mark_is_deleted(tmp_path: Path) -> None:
    path, old = tmp_path / "n1.db", tmp_path / "old"
    await filled(storage := SqliteStorage(path), batch(1, 1, b"a"))
    await storage.aclose()
    shutil.copyfile(path, old)
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.write([append(batch(2, 1, b"b"))])
    await storage.aclose()
    shutil.copyfile(old, path)
    with pytest.raises(StorageCorrupt, match=r"commits 2 to 2.*says n1\.db-mark.*raft-actors remove.*--rejoin"):
        await storage.open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageCorrupt, match="commits 2 to 2"):
        inspect_store(path)
    mark_path(path).unlink()
    assert (await contents_of(path)).last_index == 1
    assert read_mark(path) is not None


async def test_a_store_that_was_removed_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "n1.db"
    await _three_commits(path)
    path.unlink()
    assert (await contents_of(path)).last_index == 0
    shutil.copyfile(path, tmp_path / "other.db")
    await _three_commits(other := tmp_path / "n2.db")
    shutil.copyfile(tmp_path / "other.db", other)
    assert (await contents_of(other)).last_index == 0  # another store's mark says nothing about this one


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:100],
        lambda data: bytes(len(data)),
        lambda data: data[:20] + b"?" + data[21:],
        lambda data: data[:4096] + b"?" * (len(data) - 4096),
    ],
    ids=["emptied", "cut short", "zeroed", "first slot damaged", "second slot damaged"],
)
async def test_a_damaged_mark_costs_nothing_but_what_it_knew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "n1.db"
    await _three_commits(path)
    mark = mark_path(path)
    assert (found := read_mark(path)) is not None
    mark.write_bytes(damage(mark.read_bytes()))
    assert (await contents_of(path)).last_index == 3
    assert read_mark(path) == MarkedCommit(found.store_id, 3, 1, 3)
    assert len(list(stored_entries(path))) == 3


def test_one_slot_of_the_mark_is_whole_while_the_other_is_written(tmp_path: Path) -> None:
    path = tmp_path / "n1.db"
    mark = Mark(path)
    commits = [MarkedCommit("0123456789abcdef", number, number - 1, 10 * number) for number in (1, 2, 3)]
    for commit in commits:
        mark.write(commit)
        assert read_mark(path) == commit
    mark.close()
    flip(mark_path(path), 30, 0)  # the one that was written last
    assert read_mark(path) == commits[1]


async def test_another_stores_mark_tells_nothing_of_the_commit_index(tmp_path: Path) -> None:
    path = tmp_path / "n1.db"
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a", b"b"))
    await storage.write([LogWrite(commit_index=2)])
    await storage.aclose()
    marked = read_mark(path)
    assert marked is not None
    for commit_index, store_id in ((2, marked.store_id), (0, "0123456789abcdef")):
        mark = Mark(path)
        for _ in range(2):
            mark.write(attrs.evolve(marked, store_id=store_id))
        mark.close()
        assert (await contents_of(path)).commit_index == commit_index


async def test_a_commit_alone_is_marked_and_costs_no_transaction(tmp_path: Path) -> None:
    path = tmp_path / "n1.db"
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a", b"b"))
    commits = storage.statistics().commits
    await storage.write([LogWrite(commit_index=2)])
    await settle(storage)
    assert (marked := read_mark(path)) is not None
    assert (marked.commit_number, marked.commit_index) == (1, 2)
    assert storage.statistics().commits == commits
    await storage.aclose()


async def test_the_mark_follows_when_the_storage_is_idle_and_in_time_when_not(tmp_path: Path) -> None:
    path = tmp_path / "n1.db"
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    for index in range(2, 400):
        await storage.write([append(batch(index, 1, b"x"))])
        marked = read_mark(path)
        assert marked is not None
        assert index - 64 - 1 <= marked.commit_number <= index
    await settle(storage)
    marked = read_mark(path)
    assert marked is not None
    assert marked.commit_number == 399
    await storage.aclose()
