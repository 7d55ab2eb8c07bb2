"""The tables of a SQLite store, and the settings they need. `migrations` makes them of older ones.

    store      one row: identity, term and vote, the log's first index and term runs, the current snapshot, the voters
               that the cluster began with, and every configuration in the log: [[index, hexadecimal], …]. A checksum
               covers all of it.
    batches    the log, a row per batch: `data` is the batch verbatim, with the checksum of its own, or where it is
               shorter than `size` says where in a segment the batch lies; the other columns repeat what finding a row
               takes.
    segments   the files that hold large batches, each with the log's index where it begins (see `segments`).
    snapshots  a row per snapshot that was begun. Complete is only the one that `store.snapshot_id` names: its
               `chunk_index` has the size and the checksum of each chunk in its file (see `chunks`).
    chunks     those of a snapshot that a store had when it was of schema version 4 or older, each with a checksum;
               `chunk_id` is `snapshot_id << 32 | sequence`.

Appending entries inserts into `batches` and touches nothing else: the log's last index and term are found in its last
row. A row of the log says in `commit_number` which commit wrote it, and the store's row which one changed it last; as
of that one is its `last_index`, below which the log can't end.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from raft_actors.errors import StorageFailed
from raft_actors.persistence.sqlite.files import Files
from raft_actors.persistence.sqlite.migrations import APPLICATION_ID, SCHEMA_VERSION, check_version, pragma
from raft_actors.persistence.sqlite.store_row import StoreRow, save

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
    checksum INTEGER NOT NULL,
    initial_voters TEXT NOT NULL DEFAULT '[]',
    configurations TEXT NOT NULL DEFAULT '[]'
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
    last_term INTEGER NOT NULL,
    chunk_index BLOB
);
CREATE TABLE chunks (
    chunk_id INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE segments (
    first_index INTEGER PRIMARY KEY,
    file INTEGER NOT NULL
);
"""
BATCH_COLUMNS = 6


def connect(path: Path, files: Files, vfs: str | None = None) -> sqlite3.Connection:
    """Open the file of a store that is taken (see `lock`), which may be empty, with the settings of a store.

    Raises:
        sqlite3.Error: as it comes.
        StorageMismatch, StorageVersionError: the file is not ours to touch; it was not changed.
        StorageFailed: the file system can't do what a store needs.
    """
    connection = files.connect(path, vfs)
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
    return tables == 0 and pragma(connection, "application_id") == 0


def create(connection: sqlite3.Connection, row: StoreRow) -> None:
    """Make the tables and the store's row, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";")[:-1]:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    save(connection, row.columns())
    connection.execute("COMMIT")
