"""Looks into the store of a stopped node without changing it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from raft_actors.errors import StorageFailed
from raft_actors.persistence.abc import StoreIdentity
from raft_actors.persistence.log_state import LogState
from raft_actors.persistence.sqlite import schema
from raft_actors.persistence.sqlite.batches import LogRows
from raft_actors.persistence.sqlite.chunks import open_chunks, snapshot_file_bytes
from raft_actors.persistence.sqlite.errors import corrupt, storage_error
from raft_actors.persistence.sqlite.files import SYSTEM, followed
from raft_actors.persistence.sqlite.lock import ReadLock
from raft_actors.persistence.sqlite.mark import MarkedCommit, check_mark
from raft_actors.persistence.sqlite.migrations import check_version
from raft_actors.persistence.sqlite.segments import segment_bytes
from raft_actors.persistence.sqlite.store_row import StoreRow, load
from raft_actors.raft.entries import Entry, EntryBatch, EntryKind
from raft_actors.raft.persistent_state import HardState, SnapshotMetadata, TermRun
from raft_actors.records import define, frozen

_READ_BYTES = 4 * 1024 * 1024


@frozen
class KindCount:
    """How many entries of one kind a log holds, in how many batches."""

    entries: int = 0
    batches: int = 0


@frozen
class StoreSummary:
    """What a store holds, read and checked from end to end.

    Attributes:
        path: the file.
        identity: whose it is.
        schema_version: of its tables.
        hard_state: term and vote.
        snapshot: the last entry that the snapshot covers; None where there is no snapshot.
        snapshot_chunks: how many pieces the snapshot is stored in.
        snapshot_bytes: its size.
        first_index: the first entry kept.
        last_index: the last entry; `first_index - 1` where the log is empty.
        kinds: entries and batches of each kind that occurs.
        log_bytes: size of the encoded batches.
        term_runs: the term of every entry.
        commit_number: how many transactions changed term, vote or log since the store was made.
        database_bytes: size of the file.
        wal_bytes: size of the write-ahead log that a crash left beside it; 0 after a clean stop.
        segment_bytes: size of the files beside it that hold large batches, or will.
        snapshot_file_bytes: size of the files beside it that hold the snapshot, or one that is to be deleted.
    """

    path: Path
    identity: StoreIdentity
    schema_version: int
    hard_state: HardState
    snapshot: SnapshotMetadata | None
    snapshot_chunks: int
    snapshot_bytes: int
    first_index: int
    last_index: int
    kinds: Mapping[EntryKind, KindCount]
    log_bytes: int
    term_runs: tuple[TermRun, ...]
    commit_number: int
    database_bytes: int
    wal_bytes: int
    segment_bytes: int
    snapshot_file_bytes: int


def inspect_store(path: str | os.PathLike[str]) -> StoreSummary:
    """Read and check a whole store, and say what it holds. Takes time and I/O in proportion to its size.

    Raises:
        StorageLocked: its node runs; stop that first.
        StorageCorrupt: something in it is not what was written.
        StorageMismatch: the file is no store.
        StorageVersionError: a newer version of this library wrote it.
        StorageFailed: there is no such file, or it can't be read.
    """
    with _reading(path) as reader:
        reader.check_database()
        kinds: dict[EntryKind, KindCount] = {}
        log_bytes = 0
        for batch in reader.batches(reader.state.first_index):
            count = kinds.get(batch.kind, KindCount())
            kinds[batch.kind] = KindCount(count.entries + len(batch), count.batches + 1)
            log_bytes += batch.size
        row, state = reader.row, reader.state
        return StoreSummary(
            path=reader.path,
            identity=row.identity,
            schema_version=reader.schema_version,
            hard_state=state.hard_state,
            snapshot=state.snapshot,
            snapshot_chunks=row.snapshot_chunks,
            snapshot_bytes=reader.check_snapshot(),
            first_index=state.first_index,
            last_index=state.last_index,
            kinds=kinds,
            log_bytes=log_bytes,
            term_runs=state.term_runs,
            commit_number=reader.commit_number,
            database_bytes=_size(reader.path),
            wal_bytes=_size(_beside(reader.path, "-wal")),
            segment_bytes=segment_bytes(reader.path),
            snapshot_file_bytes=snapshot_file_bytes(reader.path),
        )


def stored_entries(path: str | os.PathLike[str], first_index: int | None = None) -> Iterator[Entry]:
    """The entries of a stopped node's store, from `first_index` (or the first one kept) on, read bit by bit.

    The store is closed when the iterator ends or is closed.

    Raises:
        KeyError: `first_index` is not in the log.
        StorageError: as `inspect_store`, from the first step on.
    """
    with _reading(path) as reader:
        state = reader.state
        start = state.first_index if first_index is None else first_index
        if first_index is not None and not state.first_index <= first_index <= state.last_index:
            raise KeyError(f"the log holds entries {state.first_index} to {state.last_index}, not {first_index}")
        for batch in reader.batches(start):
            yield from batch.entries()


@define(eq=False)
class _Reader:
    path: Path
    connection: sqlite3.Connection
    schema_version: int
    row: StoreRow
    log: LogRows
    state: LogState
    commit_number: int

    def batches(self, index: int) -> Iterator[EntryBatch]:
        while index <= self.state.last_index:
            found = self.log.read(self.state, index, self.state.last_index, _READ_BYTES)
            yield from found
            index = found[-1].last_index + 1

    def check_database(self) -> None:
        """Have SQLite check every page, used or free, and every table.

        Raises:
            StorageCorrupt: it found something.
        """
        found = [text for (text,) in self.connection.execute("PRAGMA integrity_check(3)").fetchall()]
        if found != ["ok"]:
            raise corrupt(self.path, f"SQLite's check of the file found: {'; '.join(map(str, found))}")

    def check_snapshot(self) -> int:
        """Read every chunk of the snapshot; returns their size in bytes."""
        if self.row.snapshot_id is None:
            return 0
        chunks = open_chunks(self.connection, self.path, SYSTEM, self.row.snapshot_id)
        return sum(len(chunks.read(number)) for number in range(self.row.snapshot_chunks))


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Generator[_Reader, None, None]:
    where = Path(path).absolute()
    try:
        where = followed(where)
        if not where.is_file():
            raise StorageFailed(f"{where}: there is no such file: name the store of a node, as given to SqliteStorage")
        with closing(ReadLock(where)), _connected(where) as connection:
            version = check_version(connection, where)
            row = load(connection, where)
            log = LogRows(connection, where, SYSTEM)
            state, commit_number = log.bounds(row)
            check_mark(where, MarkedCommit(row.store_id, commit_number, row.commit_number, state.last_index))
            yield _Reader(where, connection, version, row, log, state, commit_number)
    except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
        raise storage_error(where, "reading it", error) from error


@contextmanager
def _connected(path: Path) -> Generator[sqlite3.Connection, None, None]:
    """A connection that writes nothing, not even what a crash left to be moved from the write-ahead log."""
    shared_index = _beside(path, "-shm")
    had_index = shared_index.exists()
    uri = path.as_uri() + "?mode=ro"
    log = _beside(path, "-wal")
    # A store that was closed has no write-ahead log, and a running node's always has one. Where there is none (or an
    # empty one, in a folder that we may not write), SQLite need not lock, and make files for it, in vain.
    if not log.exists() or not (_size(log) or os.access(path.parent, os.W_OK)):
        uri += "&immutable=1"
    connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
    try:
        connection.text_factory = schema.decode_text
        yield connection
    finally:
        connection.close()
        if not had_index and shared_index.exists():
            shared_index.unlink()  # a reader that may not write leaves it behind


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
