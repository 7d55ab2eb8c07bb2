"""What damage to a store's files does: either all data is intact, or `StorageCorrupt` says that it is not.

Tried with bits all over the files. Two fields of the header are about something else: the application's id, without
which the file is no store, and the schema's version.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from collections import Counter
from pathlib import Path

import pytest
import trio

from raft_actors.errors import StorageCorrupt, StorageMismatch, StorageVersionError
from raft_actors.persistence import HardState, LogWrite, SqliteStorage, inspect_store
from raft_actors.persistence.sqlite import database, schema
from raft_actors.persistence.sqlite.mark import MarkedCommit, read_mark
from tests.persistence.inside import flip, settle
from tests.persistence.model import Contents, carry_out, random_work, states
from tests.persistence.support import (
    IDENTITY,
    append,
    batch,
    contents_of,
    filled,
    singles,
    take_snapshot,
)
from tests.persistence.test_sqlite_crash import start
from tests.thorough import rounds

COUNT, SEED = 60, 11


@pytest.fixture(scope="module")
def closed_store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contents]:
    """A store with some of everything, closed in good order."""
    path = tmp_path_factory.mktemp("closed") / "n1.db"
    trio.run(_fill, path)
    assert not path.with_name("n1.db-wal").exists()
    return path, states(list(random_work(SEED, COUNT)))[-1]


async def _fill(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    for operation in random_work(SEED, COUNT):
        await carry_out(storage, operation)
    await storage.aclose()


@pytest.fixture(scope="module")
def crashed_store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contents]:
    """The same left by a crash, most of it still in the write-ahead log."""
    path = tmp_path_factory.mktemp("crashed") / "n1.db"
    with start(path, SEED, COUNT, "to-the-end") as process:
        process.communicate()
    assert path.with_name("n1.db-wal").stat().st_size > 100_000
    copy = path.with_name("copy.db")
    _copy(path, copy)
    return path, trio.run(contents_of, copy)


def _copy(source: Path, target: Path) -> None:
    for old in target.parent.glob(f"{target.name}*"):
        old.unlink()
    for one in source.parent.glob(f"{source.name}*"):
        shutil.copyfile(one, target.with_name(target.name + one.name.removeprefix(source.name)))


def _outcome(path: Path, expected: Contents) -> str:
    try:
        found = trio.run(contents_of, path)
    except StorageCorrupt as error:
        return "corrupt" if str(path) in str(error) else "corrupt, and does not say where"
    except (StorageMismatch, StorageVersionError) as error:
        return type(error).__name__
    assert found.is_of(expected)
    return "intact"


def _written_bytes(path: Path) -> int:
    """How long a file is without the room for more at its end."""
    return len(path.read_bytes().rstrip(b"\0"))


def test_a_flipped_bit_anywhere_in_a_closed_store(closed_store: tuple[Path, Contents], tmp_path: Path) -> None:
    original, expected = closed_store
    path, rng = tmp_path / "n1.db", random.Random(1)
    seen: Counter[str] = Counter()
    positions = [*range(100), *(rng.randrange(original.stat().st_size) for _ in range(rounds(300, usually=100)))]
    for position in positions:
        _copy(original, path)
        flip(path, position, rng.randrange(8))
        outcome = _outcome(path, expected)
        seen[outcome] += 1
        assert outcome in ("intact", "corrupt") or position < 100
    assert seen["corrupt"] > len(positions) / 4
    assert seen["StorageMismatch"] + seen["StorageVersionError"] <= 8


def test_a_flipped_bit_anywhere_in_what_a_crash_left(crashed_store: tuple[Path, Contents], tmp_path: Path) -> None:
    original, expected = crashed_store
    path, rng = tmp_path / "n1.db", random.Random(2)
    log = path.with_name("n1.db-wal")
    seen: Counter[str] = Counter()
    written = _written_bytes(original.with_name(log.name))
    tried = rounds(200)
    for _ in range(tried):
        _copy(original, path)
        flip(log, rng.randrange(written), rng.randrange(8))
        seen[_outcome(path, expected)] += 1
    # SQLite drops a damaged log's rest in silence; the mark tells. Intact: where the log's page had been replaced.
    assert seen["corrupt"] > tried * 3 / 4
    assert set(seen) <= {"corrupt", "intact"}


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_file_cut_short(crashed_store: tuple[Path, Contents], tmp_path: Path, suffix: str) -> None:
    original, expected = crashed_store
    path, rng = tmp_path / "n1.db", random.Random(3)
    size = _written_bytes(original.with_name(original.name + suffix))
    for length in [0, 1, 99, 100, 4096, 8192, *(rng.randrange(size) for _ in range(rounds(60, usually=20)))]:
        _copy(original, path)
        with path.with_name(path.name + suffix).open("r+b") as file:
            file.truncate(length)
        assert _outcome(path, expected) in (("corrupt",) if suffix else ("corrupt", "intact"))


def test_a_closed_file_cut_short_or_emptied(closed_store: tuple[Path, Contents], tmp_path: Path) -> None:
    original, expected = closed_store
    path, rng = tmp_path / "n1.db", random.Random(4)
    size = original.stat().st_size
    for length in [0, 1, 99, 100, 4096, 8192, size - 1, *(rng.randrange(size) for _ in range(rounds(60, usually=20)))]:
        _copy(original, path)
        with path.open("r+b") as file:
            file.truncate(length)
        assert _outcome(path, expected) == "corrupt"


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "n1.db"
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StorageMismatch, match=r"n1\.db is no node's store, but no SQLite database: name another file$"):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    assert path.read_bytes() == b"no database at all" * 1000
    assert [file.name for file in tmp_path.iterdir()] == ["n1.db"]


async def test_a_store_whose_header_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "n1.db"
    await filled(storage := SqliteStorage(path), batch(1, 1, b"a"))
    await storage.aclose()
    path.write_bytes(b"no database any more" + path.read_bytes()[20:])
    with pytest.raises(StorageCorrupt, match=r"header is damaged.*raft-actors remove.*--rejoin"):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageCorrupt, match="header is damaged"):
        inspect_store(path)


def _free_list(path: Path) -> tuple[int, int]:
    """Where the first page of the free list begins, and how many pages the list names."""
    header = path.read_bytes()[:100]
    trunk, count = struct.unpack_from(">II", header, 32)
    return (trunk - 1) * schema.PAGE_SIZE, count


def _write(path: Path, position: int, number: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(struct.pack(">I", number))


@pytest.mark.parametrize(
    ("offset", "number", "found"),
    [
        (0, 2**31, "damaged"),
        (0, 2**32 - 1, "damaged"),
        (0, 10**6, "damaged"),
        (4, 0x7FFFFFF0, "damaged"),
        (8, 10**6, "damaged"),
        (8, 0, "damaged"),
        (4, 1, "names [0-9]+, and there should be [0-9]+"),
        (12, None, "twice"),
        (0, None, "twice"),
    ],
)
async def test_a_damaged_free_list_is_told_before_a_page_is_needed(
    tmp_path: Path, offset: int, number: int | None, found: str
) -> None:
    path = tmp_path / "n1.db"
    await filled(storage := SqliteStorage(path), *singles(1, 1, 100, size=5000))
    await take_snapshot(storage, 100, 1, [b"state"])
    await settle(storage)
    await storage.aclose()
    start, count = _free_list(path)
    assert count > 50
    inspect_store(path)
    if number is None:  # what stands before it, or the page itself
        number = start // schema.PAGE_SIZE + 1
        if offset:
            (number,) = struct.unpack_from(">I", path.read_bytes(), start + offset - 4)
    _write(path, start + offset, number)
    with pytest.raises(StorageCorrupt, match=f"list of its free pages .*{found}"):
        await SqliteStorage(path).open(IDENTITY, tail_bytes=0)
    with pytest.raises(StorageCorrupt, match="SQLite's check of the file found"):
        inspect_store(path)


# --- rows that are missing or wrong --------------------------------------------------------------------------

DAMAGE = {
    "an entry in the middle is gone": "DELETE FROM batches WHERE first_index = 50",
    "the first entry is gone": "DELETE FROM batches WHERE first_index = 11",
    "the middle and all below is gone": "DELETE FROM batches WHERE first_index <= 50",
    "the last entry is gone": "DELETE FROM batches WHERE first_index = 100",
    "all entries are gone": "DELETE FROM batches",
    "the last run of a term is gone": "DELETE FROM batches WHERE first_index >= 90",
    "a batch is in another's place": "UPDATE batches SET data = (SELECT data FROM batches WHERE first_index = 60) "
    "WHERE first_index = 50",
    "a batch is of another term": "UPDATE batches SET data = x'00' WHERE first_index = 50",
    "a batch is no blob": "UPDATE batches SET data = 'text' WHERE first_index = 100",
    "a batch in the middle is no blob": "UPDATE batches SET data = 7 WHERE first_index = 50",
    "a size is wrong": "UPDATE batches SET size = size + 1 WHERE first_index = 50",
    "a size is no number": "UPDATE batches SET size = 'x' WHERE first_index = 50",
    "the last batch says it is longer": "UPDATE batches SET last_index = 101 WHERE first_index = 100",
    "the last commit has no number": "UPDATE batches SET commit_number = 'x' WHERE first_index = 100",
    "the first batch says it is shorter": "UPDATE batches SET last_index = 10 WHERE first_index = 11",
    "the first batch has no last index": "UPDATE batches SET last_index = 'x' WHERE first_index = 11",
    "the vote is another": "UPDATE store SET voted_for = 'n3'",
    "the term is no number": "UPDATE store SET term = x'00'",
    "a text is not UTF-8": "UPDATE store SET node_id = CAST(x'ff' AS TEXT)",
    "the store's row is gone": "DELETE FROM store",
    "a snapshot's row is gone": "DELETE FROM snapshots",
    "the list of chunks is gone": "UPDATE snapshots SET chunk_index = NULL",
    "the list of chunks is empty": "UPDATE snapshots SET chunk_index = x''",
    "the list of chunks is cut": "UPDATE snapshots SET chunk_index = substr(chunk_index, 1, length(chunk_index) - 8)",
    "the list of chunks is no blob": "UPDATE snapshots SET chunk_index = 7",
    "a snapshot has another's list": "UPDATE snapshots SET chunk_index = x'00000004' || substr(chunk_index, 5)",
    "a table is gone": "DROP TABLE batches",
    "a column is gone": "ALTER TABLE snapshots DROP COLUMN chunk_index",
    "a table of snapshots is gone": "DROP TABLE snapshots",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
async def test_rows_that_are_missing_or_wrong(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "n1.db"
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 89))
    await storage.write([append(*singles(90, 2, 11))])
    await take_snapshot(storage, 10, 1, [b"one", b"two", b"three"])
    for _ in range(10):  # lets the garbage go, so that the snapshot's first index is the first row
        await storage.write([LogWrite()])
    await storage.aclose()
    await contents_of(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute(damage).rowcount
    connection.close()
    with pytest.raises(StorageCorrupt, match=str(path)):
        await contents_of(path)
    with pytest.raises(StorageCorrupt, match=str(path)):
        inspect_store(path)


@pytest.mark.parametrize("name", [b"store", b"\xe8\xff\xfe\xfdX"], ids=["named", "nameless"])
async def test_tables_that_make_no_sense(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "n1.db"
    await filled(storage := SqliteStorage(path), *singles(1, 1, 9))
    await storage.aclose()
    data = path.read_bytes()
    assert data.count(b"storestore") == data.count(b"CREATE TABLE store") == 1
    path.write_bytes(data.replace(b"storestore", name + b"store").replace(b"CREATE TABLE store", b"CREATE TABBY store"))
    with pytest.raises(StorageCorrupt, match=str(path)):
        await contents_of(path)
    with pytest.raises(StorageCorrupt, match=str(path)):
        inspect_store(path)


async def test_an_entry_that_is_not_of_the_term_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "n1.db"
    await filled(storage := SqliteStorage(path), *singles(1, 1, 9))
    await storage.aclose()
    for index in (5, 9):
        other = batch(index, 2, b"of another term")
        with sqlite3.connect(path) as connection:
            update = "UPDATE batches SET data = ?, size = ?, term = 2 WHERE first_index = ?"
            connection.execute(update, (other.data, other.size, index))
        connection.close()
        with pytest.raises(StorageCorrupt, match=r"not the one that was written|should not be"):
            await contents_of(path)


# --- what was moved to the database -------------------------------------------------------------------------


@pytest.fixture(params=["entries", "votes"])
def moved_store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Contents]:
    """What a crash left right after the write-ahead log was moved to the database, and before it was begun anew."""
    path = tmp_path / "moved" / "n1.db"
    path.parent.mkdir()

    async def fill() -> None:
        storage = SqliteStorage(path)
        await filled(storage, *singles(1, 1, 200, size=300))
        assert storage._session is not None
        move = storage._session.database._checkpoint
        await storage._session.thread.run(move)
        if request.param == "entries":
            await take_snapshot(storage, 100, 1, [b"s"])
            await settle(storage)
            await storage.write([append(*singles(201, 1, 100, size=300))])
        else:
            await storage.write([LogWrite(HardState(5, "n2"))])
            await storage.write([LogWrite(HardState(6, "n3"))])
            await storage.write([append(batch(201, 1, b"x"))])
        await storage._session.thread.run(move)
        _copy(path, tmp_path / "n1.db")
        await storage.aclose()

    trio.run(fill)
    return tmp_path / "n1.db", trio.run(contents_of, path)


def test_no_part_of_a_commit_is_taken_for_all_of_it(moved_store: tuple[Path, Contents], tmp_path: Path) -> None:
    """A damaged log ends too soon, and lays the older pages before the damage over newer ones in the database."""
    original, expected = moved_store
    (tmp_path / "damaged").mkdir()
    path = tmp_path / "damaged" / "n1.db"
    seen: Counter[str] = Counter()
    for position in range(100, _written_bytes(original.with_name("n1.db-wal")), 2000):
        _copy(original, path)
        flip(path.with_name("n1.db-wal"), position, 0)
        seen[_outcome(path, expected)] += 1
    assert set(seen) == {"corrupt", "intact"}


async def test_the_mark_knows_of_all_that_is_moved_to_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_IDLE_S", 3600)  # the mark follows by itself only after many commits
    path = tmp_path / "n1.db"
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    for index in (2, 3, 4):
        await storage.write([append(batch(index, 1, b"x"))])
    found = read_mark(path)
    assert found is not None
    assert found.commit_number < 4
    assert storage._session is not None
    await storage._session.thread.run(storage._session.database._checkpoint)
    assert read_mark(path) == MarkedCommit(found.store_id, 4, 1, 4)
    await storage.aclose()


def test_the_crashed_store_really_needs_its_log(crashed_store: tuple[Path, Contents], tmp_path: Path) -> None:
    original, _ = crashed_store
    _copy(original, tmp_path / "n1.db")
    (tmp_path / "n1.db-wal").unlink()
    with pytest.raises(StorageCorrupt):
        trio.run(contents_of, tmp_path / "n1.db")
