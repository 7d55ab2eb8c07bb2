"""What only the SQLite storage promises: its statements, files, locks, upkeep, and what it does when the disk fails."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from raft_actors.errors import (
    StorageCorrupt,
    StorageError,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageMismatch,
    StorageReadOnly,
    StorageVersionError,
)
from raft_actors.messages import SnapshotMetadata
from raft_actors.persistence import (
    CommitSnapshot,
    HardState,
    LogWrite,
    SqliteStorage,
    StoreIdentity,
    inspect_store,
    stored_entries,
)
from raft_actors.persistence.database import MAX_ROWS
from raft_actors.persistence.schema import SCHEMA_VERSION
from tests.persistence.crashing import trace_statements
from tests.persistence.support import (
    EVERYTHING,
    IDENTITY,
    append,
    batch,
    contents_of,
    filled,
    singles,
    take_snapshot,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "n1.db"


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What SQLite is told, as it is told."""
    seen: list[str] = []
    monkeypatch.setattr(sqlite3, "connect", trace_statements(seen.append))
    return seen


@attrs.define
class Faults:
    """What goes wrong with the next statement that begins like this."""

    prefix: str = "never"
    act: Callable[[], None] = lambda: None


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    found = Faults()

    class FaultyConnection(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql.lstrip().startswith(found.prefix):
                found.act()
            return super().execute(sql, *arguments)

    connect = sqlite3.connect

    def faulty(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(*arguments, factory=FaultyConnection, **options)

    monkeypatch.setattr(sqlite3, "connect", faulty)
    return found


def failing(code: int) -> Callable[[], None]:
    def fail() -> None:
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorcode = code
        error.sqlite_errorname = "INJECTED"
        raise error

    return fail


async def _pragmas(storage: SqliteStorage, *names: str) -> list[object]:
    """Ask the storage's own connection, on its own thread."""
    session = storage._session
    assert session is not None
    database, thread = session.database, session.thread
    return [
        await thread.run(lambda name=name: database._connection().execute(f"PRAGMA {name}").fetchone()[0])  # type: ignore[misc]
        for name in names
    ]


async def _settle(storage: SqliteStorage) -> None:
    """Wait until the thread has nothing left to collect."""
    session = storage._session
    assert session is not None
    while session.database._idle_after_s(1.0) is not None:
        await trio.lowlevel.checkpoint()


# --- statements ----------------------------------------------------------------------------------------------


async def test_appending_is_one_statement(path: Path, statements: list[str]) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    await _settle(storage)
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
    assert await _pragmas(storage, *names) == ["wal", 2, "exclusive", 0, 8192, 1]
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
    await _settle(storage)
    statements.clear()
    assert len(await storage.read_entries(1, 3000, EVERYTHING)) == 3000
    assert len(statements) <= 14
    await storage.aclose()


# --- upkeep --------------------------------------------------------------------------------------------------


async def _rows(storage: SqliteStorage, table: str) -> int:
    session = storage._session
    assert session is not None
    select = f"SELECT count(*) FROM {table}"
    count: int = await session.thread.run(lambda: session.database._connection().execute(select).fetchone()[0])
    return count


async def test_committing_a_snapshot_deletes_nothing_itself(path: Path, statements: list[str]) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 5000))
    await _settle(storage)
    statements.clear()
    await take_snapshot(storage, 4990, 1, [b"chunk"], first_index=4981)
    commit = statements[: statements.index("COMMIT") + 1]
    assert not [statement for statement in commit if statement.startswith("DELETE")]
    await _settle(storage)
    slices = [statement for statement in statements if statement.startswith("DELETE FROM batches")]
    assert len(slices) >= 4980 // 512
    assert await _rows(storage, "batches") == 20
    await storage.aclose()


async def test_garbage_goes_also_when_the_storage_is_never_idle(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 5000))
    await take_snapshot(storage, 5000, 1, [b"old"] * 50)
    await take_snapshot(storage, 5000, 1, [b"new"])
    async with trio.open_nursery() as nursery:
        for index in range(5001, 5201):
            nursery.start_soon(storage.write, [append(batch(index, 1, b"x"))])
            await trio.testing.wait_all_tasks_blocked(0)
    assert await _rows(storage, "batches") == 200
    assert await _rows(storage, "chunks") == 1
    assert await _rows(storage, "snapshots") == 1
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
    await _settle(storage)
    assert [await _rows(storage, table) for table in ("batches", "chunks", "snapshots")] == [500, 2, 1]
    await storage.aclose()


async def test_what_a_reader_holds_is_collected_once_it_lets_go(path: Path) -> None:
    storage = SqliteStorage(path)
    await filled(storage, *singles(1, 1, 9))
    await take_snapshot(storage, 3, 1, [b"old"] * 10)
    reader = await storage.open_snapshot()
    assert reader is not None
    await take_snapshot(storage, 4, 1, [b"new"])
    await _settle(storage)
    assert await _rows(storage, "chunks") == 11
    reader.close()
    await storage.write([LogWrite()])
    await _settle(storage)
    assert await _rows(storage, "chunks") == 1
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
    await _settle(storage)
    assert await _rows(storage, "chunks") == 1
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
        await _settle(storage)
        sizes.append(path.stat().st_size)
        assert path.with_name("n1.db-wal").stat().st_size < 24 * 1024 * 1024
    assert sizes[-1] <= sizes[1] * 1.2
    await storage.aclose()
    assert not path.with_name("n1.db-wal").exists()


# --- opening -------------------------------------------------------------------------------------------------


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
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.count(f"{path} is open in another process") == 2
    with pytest.raises(StorageLocked, match="another node of this one"):
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
        synced.append((opened[descriptor], (folder / "n1.db").exists()))
        real_sync(descriptor)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "fsync", sync)
    storage = SqliteStorage(folder / "n1.db")
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    for name in (tmp_path, tmp_path / "a", folder):
        assert (str(name), False) in synced
    assert synced[-1] == (str(folder), True)
    synced.clear()
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    assert synced == []


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


# --- disks that fail -----------------------------------------------------------------------------------------


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
    await _pragmas(storage, "max_page_count=100")

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
    import errno

    number, expected = {
        "full": (errno.ENOSPC, StorageFull),
        "quota": (errno.EDQUOT, StorageFull),
        "read-only": (errno.EROFS, StorageReadOnly),
        "forbidden": (errno.EACCES, StorageReadOnly),
        "broken": (errno.EIO, StorageFailed),
    }[error]

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(expected, match=r"deep.n1\.db") as caught:
        await SqliteStorage(path.parent / "deep" / "n1.db").open(IDENTITY, tail_bytes=0)
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
    with pytest.raises(StorageReadOnly, match="make both writable"):
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
for name in ("n1.db", "new.db", "new/new.db"):
    try:
        trio.run(lambda: SqliteStorage({str(folder)!r} + "/" + name).open(IDENTITY, tail_bytes=0))
    except StorageReadOnly as error:
        print(error)
"""
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(folder), sys.executable, code]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "mount:" in run.stderr or "unshare:" in run.stderr:
        pytest.skip(f"can't mount here: {run.stderr}")
    assert run.stderr == ""
    assert run.stdout.startswith("1\n")
    assert run.stdout.count("is read-only") == 3


@pytest.mark.parametrize("statement", ["PRAGMA wal_checkpoint", "SELECT max(CASE"])
async def test_a_failure_that_nobody_waited_for_is_the_next_callers(path: Path, faults: Faults, statement: str) -> None:
    storage = SqliteStorage(path)
    await filled(storage, batch(1, 1, b"a"))
    await take_snapshot(storage, 1, 1, [b"s"])
    await _settle(storage)
    faults.prefix, faults.act = statement, failing(sqlite3.SQLITE_CORRUPT)
    snapshot_id = await storage.begin_snapshot(SnapshotMetadata(2, 1))

    async def work() -> None:
        await storage.write([append(batch(2, 1, *[b"x" * 1_000_000] * 9))])
        await storage.write([CommitSnapshot(snapshot_id, 3)])
        await _settle(storage)
        await storage.read_entries(10, 10, 1)

    with pytest.raises(StorageCorrupt, match="injected"):
        await work()
    with pytest.raises(StorageFailed, match="takes no more calls"):
        await storage.read_entries(10, 10, 1)
    faults.prefix = "never"
    await storage.aclose()


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
    from raft_actors.errors import InternalError

    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    with pytest.raises(InternalError, match="OverflowError"):
        await storage.write([LogWrite(HardState(1 << 63))])
    await storage.aclose()


# --- threads, cancellation, exit -----------------------------------------------------------------------------


@pytest.fixture
def hung(faults: Faults) -> Iterator[threading.Event]:
    """A disk that hangs in the next append until the event is set."""
    release = threading.Event()

    def hang() -> None:
        release.wait()

    faults.prefix, faults.act = "INSERT INTO batches", hang
    yield release
    release.set()


async def test_a_hung_disk_holds_up_no_cancellation(path: Path, hung: threading.Event, faults: Faults) -> None:
    storage = SqliteStorage(path)
    faults.prefix, prefix = "never", faults.prefix
    await filled(storage, batch(1, 1, b"a"))
    faults.prefix = prefix
    async with trio.open_nursery() as nursery:
        for call in (
            lambda: storage.write([append(batch(2, 1, b"b"))]),
            lambda: storage.write([append(batch(3, 1, b"c"))]),
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
from tests.persistence.support import IDENTITY, append, batch
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
        nursery.start_soon(storage.write, [append(batch(1, 1, b"a"))])
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


# --- inspection ----------------------------------------------------------------------------------------------


async def test_inspecting_a_store(path: Path) -> None:
    from raft_actors.entries import EntryKind
    from raft_actors.persistence import KindCount, TermRun

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
    from tests.persistence.test_sqlite_crash import start

    with start(path, 3, 30, "to-the-end") as process:
        process.communicate()
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert set(files) == {"n1.db", "n1.db-wal", "n1.db-mark"}
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
    with pytest.raises(StorageCorrupt):
        inspect_store(path)


async def test_inspecting_an_empty_store(path: Path) -> None:
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    await storage.aclose()
    summary = inspect_store(path)
    assert (summary.first_index, summary.last_index, summary.kinds, summary.snapshot_bytes) == (1, 0, {}, 0)
    assert list(stored_entries(path)) == []
