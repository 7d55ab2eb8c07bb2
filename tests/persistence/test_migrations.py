"""Stores that older versions made, and what happens to them at opening."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from raft_actors.errors import StorageCorrupt, StorageFull, StorageMismatch
from raft_actors.persistence import HardState, SqliteStorage, StoreIdentity, inspect_store
from raft_actors.persistence.sqlite import migrations, store_row
from raft_actors.persistence.sqlite.migrations import MIGRATIONS, SCHEMA_VERSION
from raft_actors.raft.entries import EntryKind
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.starts import Met, Start
from tests.persistence.inside import Faults, failing
from tests.persistence.model import Contents
from tests.persistence.support import (
    IDENTITY,
    OLD_STORES,
    append,
    batch,
    contents,
    contents_of,
    filled,
    taken_apart,
    unpack_old_store,
)

_HELD = Contents(
    HardState(4, None),
    SnapshotMetadata(2, 1),
    (b"first chunk", b"second chunk"),
    2,
    6,
    tuple(
        taken_apart(
            [
                batch(2, 1, b"a", b"b"),
                batch(4, 3, b"", kind=EntryKind.NOOP),
                batch(5, 3, b"large " * 20_000),  # in a segment, where there are segments
                batch(6, 3, b"end"),
            ]
        )
    ),
    5,
)


def _version(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    assert isinstance(version, int)
    return version


def _tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
    found = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
    connection.close()
    return found


def test_there_is_a_store_of_each_older_version() -> None:
    assert {f"version-{version}.zip" for version in range(1, SCHEMA_VERSION)} <= {
        file.name for file in OLD_STORES.iterdir()
    }


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
async def test_an_old_store_is_what_it_was_and_becomes_one_of_today(path: Path, version: int) -> None:
    if not (OLD_STORES / f"version-{version}.zip").exists():
        pytest.skip("no later version has been made yet")
    unpack_old_store(version, path)
    before = path.read_bytes()
    summary = inspect_store(path)
    assert (summary.schema_version, summary.last_index, summary.hard_state) == (version, 6, HardState(4, None))
    assert path.read_bytes() == before  # to look is not to migrate
    storage = SqliteStorage(path)
    assert await contents(storage) == _HELD
    await storage.write([append(batch(7, 4, b"large again " * 20_000))])
    await storage.aclose()
    assert _version(path) == SCHEMA_VERSION
    assert (await contents_of(path)).last_index == 7
    await filled(new := SqliteStorage(path.with_name("new.db")))
    await new.aclose()
    assert _tables(path) == _tables(new.path)


async def test_an_old_store_counts_its_starts_from_now_on_and_an_older_version_leaves_them_alone(path: Path) -> None:
    """The table is no part of the schema: a version that does not know it opens the store, and goes on without."""
    unpack_old_store(SCHEMA_VERSION - 1, path)
    met = {"n2": Met("2222", Start(7, "00000000000000aa"))}
    storage = SqliteStorage(path)
    first = (await storage.open(IDENTITY, tail_bytes=0)).starts
    assert first.last == 1
    storage.remember(met)
    await storage.aclose()
    with sqlite3.connect(path) as connection:  # as such a version writes
        store_row.save(connection, store_row.read_columns(connection, path))
    connection.close()
    again = await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    assert (again.starts.last, again.met) == (2, met)
    assert first.latest is not None
    assert not again.starts.lack(first.latest)


async def test_damaged_starts_are_told(path: Path) -> None:
    await filled(storage := SqliteStorage(path))
    await storage.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE starts SET last = last + 1")
    connection.close()
    with pytest.raises(StorageCorrupt, match="starts"):
        await storage.open(IDENTITY, tail_bytes=0)


def _add_colour(connection: sqlite3.Connection, path: Path) -> None:
    """How a step adds a column to the store's row."""
    columns = store_row.read_columns(connection, path)
    connection.execute("ALTER TABLE store ADD COLUMN colour TEXT NOT NULL DEFAULT ''")
    store_row.save(connection, {**columns, "colour": f"was {len(columns)} columns"})


def _add_notes(connection: sqlite3.Connection, path: Path) -> None:
    assert store_row.read_columns(connection, path)["colour"] == "was 16 columns"
    connection.execute("CREATE TABLE notes (note TEXT)")


@pytest.fixture
def two_steps_more(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, _add_colour, _add_notes))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", SCHEMA_VERSION + 2)
    return SCHEMA_VERSION + 2


async def test_steps_are_taken_in_turn(path: Path, two_steps_more: int) -> None:
    unpack_old_store(1, path)
    assert await contents_of(path) == _HELD
    assert _version(path) == two_steps_more
    assert {"segments", "notes"} < set(_tables(path))


@pytest.mark.parametrize("statement", ["CREATE TABLE segments", "ALTER", "CREATE TABLE notes", "PRAGMA user_version="])
@pytest.mark.usefixtures("two_steps_more")
async def test_a_migration_that_fails_leaves_the_store_as_it_was(path: Path, faults: Faults, statement: str) -> None:
    unpack_old_store(1, path)
    faults.prefix, faults.act = statement, failing(sqlite3.SQLITE_FULL)
    storage = SqliteStorage(path)
    with pytest.raises(StorageFull):
        await storage.open(IDENTITY, tail_bytes=0)
    assert _version(path) == 1
    assert "segments" not in _tables(path)
    faults.prefix = "never"
    assert await contents(storage) == _HELD
    await storage.aclose()


@pytest.mark.usefixtures("two_steps_more")
async def test_the_store_of_another_node_is_not_migrated(path: Path) -> None:
    unpack_old_store(1, path)
    before = path.read_bytes()
    with pytest.raises(StorageMismatch, match="belongs to node 'n1' of cluster 'orders', not to node 'n2'"):
        await SqliteStorage(path).open(StoreIdentity("orders", "n2"), tail_bytes=0)
    assert path.read_bytes() == before


@pytest.mark.usefixtures("two_steps_more")
async def test_a_damaged_row_is_not_sealed_anew(path: Path) -> None:
    unpack_old_store(1, path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE store SET term = 5")
    connection.close()
    with pytest.raises(StorageCorrupt, match="fails its checksum"):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    assert _version(path) == 1


async def test_a_row_that_makes_no_sense_is_damage_though_its_checksum_is_right(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    nonsense: list[tuple[str, object]] = [
        ("term_runs", "[[1]]"),
        ("term_runs", "[1]"),
        ("term_runs", "{}"),
        ("term_runs", "[[1, true]]"),
        ("term_runs", "["),
        ("term_runs", "[" * 100_000),
        ("initial_voters", '[["n1"]]'),
        ("configurations", '[[1, "none"]]'),
        ("configurations", "[[1, 2]]"),
        ("term", "many"),
        ("last_index", -3),
        ("snapshot_id", 0.5),
    ]
    with sqlite3.connect(path) as connection:
        columns = store_row.read_columns(connection, path)
        for column, value in nonsense:
            store_row.save(connection, {**columns, column: value})
            with pytest.raises(StorageCorrupt, match="makes no sense"):
                store_row.load(connection, path)
    connection.close()
    with pytest.raises(StorageCorrupt, match="makes no sense"):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageCorrupt, match="makes no sense"):
        inspect_store(path)


@pytest.mark.parametrize("version", [0, -1])
async def test_a_version_that_there_never_was_is_not_guessed_at(path: Path, version: int) -> None:
    unpack_old_store(1, path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={version}")
    connection.close()
    with pytest.raises(StorageCorrupt, match=f"schema version {version}, which there never was"):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageCorrupt):
        inspect_store(path)


async def test_columns_of_other_names_are_no_store(path: Path) -> None:
    unpack_old_store(1, path)
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE store RENAME COLUMN node_id TO node_ie")
    connection.close()
    with pytest.raises(StorageCorrupt, match="no column 'node_id'"):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
