"""The schema's version, and the steps that bring an older store up to it.

A store says its version (`user_version` in the file's header), and is never guessed to be of one. When it is opened,
the steps that it lacks are taken one after the other, in one transaction: a crash leaves the store of the version
before, or the one of today. A store of a newer version is refused and left as it is; so is one that is newer than what
the operator goes back to: see docs/storage.md.

To change the schema: change the tables in `schema` (a new column goes to the end of its table), add a step here that
makes the same of a store of the version before, and put a store that the version before made into
`tests/persistence/old_stores`. A step may use nothing that a later version changes: not `StoreRow`, but the columns by
name (`store_row.read_columns`, `store_row.save`). It must not take long: a node's start waits for it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

from raft_actors.errors import StorageVersionError
from raft_actors.persistence.sqlite.errors import corrupt, no_store
from raft_actors.persistence.sqlite.store_row import read_columns, save

_logger = logging.getLogger(__name__)

#: "raft", in the file's header: tells a store from another application's database.
APPLICATION_ID = 0x72616674

Migration = Callable[[sqlite3.Connection, Path], None]


def _add_segments(connection: sqlite3.Connection, path: Path) -> None:
    """1 → 2: the log's large batches lie in segments."""
    connection.execute("CREATE TABLE segments (first_index INTEGER PRIMARY KEY, file INTEGER NOT NULL)")


def _add_initial_voters(connection: sqlite3.Connection, path: Path) -> None:
    """2 → 3: the store knows the voters that its cluster began with. The next opening names them."""
    columns = read_columns(connection, path)
    connection.execute("ALTER TABLE store ADD COLUMN initial_voters TEXT NOT NULL DEFAULT '[]'")
    save(connection, {**columns, "initial_voters": "[]"})


def _add_configurations(connection: sqlite3.Connection, path: Path) -> None:
    """3 → 4: the store knows the configurations in its log, of which no older version wrote any."""
    columns = read_columns(connection, path)
    connection.execute("ALTER TABLE store ADD COLUMN configurations TEXT NOT NULL DEFAULT '[]'")
    save(connection, {**columns, "configurations": "[]"})


def _put_snapshots_into_files(connection: sqlite3.Connection, path: Path) -> None:
    """4 → 5: a snapshot's chunks lie in a file. Those of the current one stay where they are: that would take long."""
    connection.execute("ALTER TABLE snapshots ADD COLUMN chunk_index BLOB")


#: What makes of a store of version 1 one of version 2, of that one of version 3, and so on.
MIGRATIONS: tuple[Migration, ...] = (
    _add_segments,
    _add_initial_voters,
    _add_configurations,
    _put_snapshots_into_files,
)

#: Of the tables that this version of the library makes: one more whenever a store could be misread by the one before.
SCHEMA_VERSION = 1 + len(MIGRATIONS)


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The store's schema version; reads the file's header only.

    Raises:
        StorageMismatch: the file is no store.
        StorageVersionError: a newer version of this library made it.
        StorageCorrupt: it says a version that none made.
        sqlite3.Error: as it comes.
    """
    if pragma(connection, "application_id") != APPLICATION_ID:
        raise no_store(path, "a SQLite database of another application")
    version = pragma(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise StorageVersionError(
            f"{path} has schema version {version}, and this version of raft_actors knows up to {SCHEMA_VERSION}: "
            "upgrade raft_actors on this node"
        )
    if version < 1:
        raise corrupt(path, f"its header says schema version {version}, which there never was")
    return version


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a store up to `SCHEMA_VERSION`, in one transaction. After an error, close the connection.

    Raises:
        StorageError: as `check_version`, or what a step found damaged; the store stays as it was.
        sqlite3.Error: as it comes.
    """
    version = check_version(connection, path)
    if version == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    for step in MIGRATIONS[version - 1 :]:
        step(connection, path)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    connection.execute("COMMIT")
    _logger.info("%s: migrated from schema version %d to %d", path, version, SCHEMA_VERSION)


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """A number that SQLite keeps."""
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
