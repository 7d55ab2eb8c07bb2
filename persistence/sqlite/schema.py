"""The tables of a SQLite store, the settings they need, and the one row that says what the store is.

    store      one row: identity, term and vote, the log's first index and term runs, the current snapshot. A checksum
               covers all of it.
    batches    the log, a row per batch: `data` is the batch verbatim, with the checksum of its own, or where it is
               shorter than `size` says where in a segment the batch lies; the other columns repeat what finding a row
               takes.
    segments   the files that hold large batches, each with the log's index where it begins (see `segments`).
    snapshots  a row per snapshot that was begun. Complete is only the one that `store.snapshot_id` names.
    chunks     their chunks, each with a checksum; `chunk_id` is `snapshot_id << 32 | sequence`, which keeps a
               snapshot's chunks together and makes a single integer key of the pair.

Appending entries inserts into `batches` and touches nothing else: the log's last index and term are found in its last
row. A row of the log says in `commit_number` which commit wrote it, and the store's row which one changed it last; as
of that one is its `last_index`, below which the log can't end.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import attrs

from raft_actors.errors import StorageFailed, StorageMismatch, StorageVersionError
from raft_actors.persistence.abc import HardState, StoreIdentity, TermRun
from raft_actors.persistence.sqlite.errors import corrupt
from raft_actors.persistence.sqlite.files import Files
from raft_actors.raft.messages import SnapshotMetadata

#: Raised whenever a store that this version writes could be misread by the version before.
SCHEMA_VERSION = 2

#: "raft", in the file's header: tells a store from another application's database.
APPLICATION_ID = 0x72616674

# Measured (single rows of 1, 64 and 512 entries of 128 bytes): 8 KiB commits 4-15% faster than SQLite's own 4 KiB at
# each size; larger pages write more for small rows and fill worse (a 9 KiB row leaves half of a 16 KiB page empty).
PAGE_SIZE = 8192

# Set before anything is read, so that the index of the write-ahead log lives in memory, without a -shm file; keeps
# every other process (and connection) out until the store is closed. SQLite up to 3.51.2 can corrupt a write-ahead log
# that two connections write.
_LOCKING = "PRAGMA locking_mode=EXCLUSIVE"

_SETTINGS = (
    f"PRAGMA page_size={PAGE_SIZE}",
    # No page is ever moved or given back: the log shrinks at each snapshot and grows again, so freed pages are wanted
    # soon, and either kind of auto_vacuum makes every commit pay for pointer maps.
    "PRAGMA auto_vacuum=NONE",
    "PRAGMA secure_delete=OFF",  # some builds overwrite deleted rows with zeros: a second write of the whole log
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # one fsync per commit; NORMAL loses acknowledged commits with the power
    "PRAGMA fullfsync=ON",  # macOS: fsync alone stops at the drive's cache there
    "PRAGMA checkpoint_fullfsync=ON",
    # We checkpoint between commits, where errors are seen and nobody waits. This is only a bound beyond ours.
    "PRAGMA wal_autocheckpoint=8000",
    "PRAGMA journal_size_limit=16777216",
    "PRAGMA cell_size_check=ON",  # find some damage of a page when it is read, not when it is written over
    "PRAGMA trusted_schema=OFF",
)

_SEGMENTS_TABLE = """
CREATE TABLE segments (
    first_index INTEGER PRIMARY KEY,
    file INTEGER NOT NULL
);
"""

_TABLES = """
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    cluster_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    store_id TEXT NOT NULL,
    term INTEGER NOT NULL,
    voted_for TEXT,
    first_index INTEGER NOT NULL,
    last_index INTEGER NOT NULL,
    term_runs TEXT NOT NULL,
    snapshot_id INTEGER,
    snapshot_index INTEGER NOT NULL,
    snapshot_term INTEGER NOT NULL,
    snapshot_chunks INTEGER NOT NULL,
    snapshot_bytes INTEGER NOT NULL,
    commit_number INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TABLE batches (
    first_index INTEGER PRIMARY KEY,
    last_index INTEGER NOT NULL,
    term INTEGER NOT NULL,
    commit_number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE snapshots (
    snapshot_id INTEGER PRIMARY KEY AUTOINCREMENT,
    last_index INTEGER NOT NULL,
    last_term INTEGER NOT NULL
);
CREATE TABLE chunks (
    chunk_id INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    data BLOB NOT NULL
);
"""
BATCH_COLUMNS = 6


@attrs.frozen
class StoreRow:
    """The row of `store`: all that is known of a store without reading its log."""

    identity: StoreIdentity
    store_id: str
    hard_state: HardState = attrs.field(factory=HardState)
    first_index: int = 1
    last_index: int = 0
    term_runs: tuple[TermRun, ...] = ()
    snapshot_id: int | None = None
    snapshot: SnapshotMetadata | None = None
    snapshot_chunks: int = 0
    snapshot_bytes: int = 0
    commit_number: int = 0

    def parameters(self) -> tuple[Any, ...]:
        """The columns from `cluster_id` on."""
        snapshot = self.snapshot or SnapshotMetadata(0, 0)
        columns = (
            self.identity.cluster_id,
            self.identity.node_id,
            self.store_id,
            self.hard_state.term,
            self.hard_state.voted_for,
            self.first_index,
            self.last_index,
            json.dumps([[run.term, run.first_index] for run in self.term_runs]),
            self.snapshot_id,
            snapshot.index,
            snapshot.term,
            self.snapshot_chunks,
            self.snapshot_bytes,
            self.commit_number,
        )
        return (*columns, row_checksum(columns))


def row_checksum(columns: tuple[Any, ...]) -> int:
    """crc32 over columns, each with its type and its length."""
    return zlib.crc32(json.dumps(columns).encode())


SAVE_STORE = f"INSERT OR REPLACE INTO store VALUES (1{', ?' * 15})"


def connect(path: Path, files: Files) -> sqlite3.Connection:
    """Open the file, or create it empty, with the settings of a store, and lock it.

    Raises:
        sqlite3.Error: as it comes.
        StorageMismatch, StorageVersionError: the file is not ours to touch; it was not changed.
        StorageFailed: the file system can't do what a store needs.
    """
    connection = files.connect(path)
    try:
        connection.text_factory = decode_text
        connection.execute(_LOCKING).fetchone()
        if not is_empty(connection):
            check_version(connection, path)
        for setting in _SETTINGS:
            answer = connection.execute(setting).fetchone()
            if setting.endswith("=WAL") and answer != ("wal",):
                raise StorageFailed(
                    f"{path}: SQLite can't keep a write-ahead log here (it answered {answer}): use a local file system"
                )
        connection.execute("BEGIN IMMEDIATE").fetchone()  # takes the lock that locking_mode=EXCLUSIVE then keeps
        connection.execute("COMMIT").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def decode_text(data: bytes) -> str:
    """For `text_factory`: damaged text must reach the checksum, not fail on its way there."""
    return data.decode("utf-8", "surrogateescape")


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the database holds nothing yet: new, or its creation was cut short."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return tables == 0 and _pragma(connection, "application_id") == 0


def create(connection: sqlite3.Connection, row: StoreRow) -> None:
    """Make the tables and the store's row, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";")[:-1]:
        connection.execute(statement)
    connection.execute(_SEGMENTS_TABLE)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute(SAVE_STORE, row.parameters())
    connection.execute("COMMIT")


def upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a store that an older version of this library made up to this one's schema, in one transaction."""
    if check_version(connection, path) == 1:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_SEGMENTS_TABLE)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        connection.execute("COMMIT")


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Refuse what is no store, or one from the future; returns the schema's version."""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise StorageMismatch(f"{path} is a SQLite database of another application: choose another file name")
    version = _pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise StorageVersionError(
            f"{path} has schema version {version}, and this version of raft_actors knows up to {SCHEMA_VERSION}: "
            "upgrade raft_actors on this node"
        )
    return version


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def load(connection: sqlite3.Connection, path: Path) -> StoreRow:
    """Read and check the store's row.

    Raises:
        StorageCorrupt: it is missing, or fails its checksum.
    """
    rows = connection.execute("SELECT * FROM store").fetchall()
    if len(rows) != 1:
        raise corrupt(path, f"its table “store” holds {len(rows)} rows instead of one")
    _, *columns, checksum = rows[0]
    if any(isinstance(value, bytes) for value in columns) or row_checksum(tuple(columns)) != checksum:
        raise corrupt(path, "the row with its term, vote and log bounds fails its checksum")
    cluster_id, node_id, store_id, term, voted_for, first_index, last_index, term_runs, *rest = columns
    snapshot_id, snapshot_index, snapshot_term, snapshot_chunks, snapshot_bytes, commit_number = rest
    return StoreRow(
        identity=StoreIdentity(cluster_id, node_id),
        store_id=store_id,
        hard_state=HardState(term, voted_for),
        first_index=first_index,
        last_index=last_index,
        term_runs=tuple(TermRun(term, first) for term, first in json.loads(term_runs)),
        snapshot_id=snapshot_id,
        snapshot=None if snapshot_id is None else SnapshotMetadata(snapshot_index, snapshot_term),
        snapshot_chunks=snapshot_chunks,
        snapshot_bytes=snapshot_bytes,
        commit_number=commit_number,
    )
