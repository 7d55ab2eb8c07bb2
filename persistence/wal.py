"""The length of SQLite's write-ahead log: when to move it to the database, and the room ahead of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import attrs

from raft_actors.persistence.files import Files
from raft_actors.persistence.schema import PAGE_SIZE

# Once so much has been written to the write-ahead log, it is moved to the database. Larger: fewer syncs, but a longer
# pause for each, and more to read after a crash.
_CHECKPOINT_BYTES = 8 * 1024 * 1024

# The write-ahead log is made longer ahead of need: a commit that does it waits for the file system's own journal.
# SQLite keeps the file after a checkpoint, so this is for the first round. Zeros behind the last commit are no frame.
_RESERVE_BYTES = 1024 * 1024


@attrs.define(eq=False)
class WriteAheadLog:
    """The write-ahead log of the store in `path`, as far as one process wrote it."""

    path: Path
    files: Files
    _bytes: int = attrs.field(default=0, init=False)
    _reserved_bytes: int = attrs.field(default=0, init=False)

    def grew(self, payload: int, rows: int) -> None:
        """Note a commit. An estimate: whole pages are written, at least the one that the row begins in."""
        self._bytes += payload + (1 + rows // 8) * PAGE_SIZE

    @property
    def is_long(self) -> bool:
        """Whether it should be moved."""
        return self._bytes >= _CHECKPOINT_BYTES

    @property
    def needs_room(self) -> bool:
        """Whether it should be made longer."""
        return bool(self._bytes) and self._bytes + _RESERVE_BYTES // 4 > self._reserved_bytes

    def make_room(self) -> None:
        """Make the file longer; raises OSError as it comes."""
        self._reserved_bytes = self._bytes + _RESERVE_BYTES
        self.files.lengthen(self.path.with_name(self.path.name + "-wal"), self._reserved_bytes)

    def move(self, connection: sqlite3.Connection) -> None:
        """Move it to the database; raises sqlite3.Error as it comes."""
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._bytes = 0
