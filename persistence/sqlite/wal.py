"""The length of SQLite's write-ahead log: when to move it to the database, and the room ahead of it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random

import attrs

from raft_actors.persistence.sqlite.files import Files
from raft_actors.persistence.sqlite.schema import PAGE_SIZE
from raft_actors.records import define

# Once about so much has been written to the write-ahead log, it is moved to the database. Larger: fewer syncs, but a
# longer pause for each, and more to read after a crash.
_CHECKPOINT_BYTES = 4 * 1024 * 1024

# By how much it differs, each time anew. All nodes of a cluster write the same: moved at the same size, all logs would
# be moved at the same time, and nothing committed meanwhile. While one node pauses, the others are a majority.
_SPREAD = 0.5, 1.5

# The write-ahead log is made longer ahead of need: a commit that does it waits for the file system's own journal.
# SQLite keeps the file after a checkpoint, so this is for the first round. Zeros behind the last commit are no frame.
_RESERVE_BYTES = 1024 * 1024


@define(eq=False)
class WriteAheadLog:
    """The write-ahead log of the store in `path`, as far as one process wrote it.

    `rng` must not be that of the cluster's other nodes.
    """

    path: Path
    files: Files
    rng: Random
    _most_bytes: float = attrs.field(init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _reserved_bytes: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._draw_most_bytes()

    def _draw_most_bytes(self) -> None:
        self._most_bytes = _CHECKPOINT_BYTES * self.rng.uniform(*_SPREAD)

    def grew(self, payload: int, rows: int) -> None:
        """Note a commit. An estimate: whole pages are written, at least the one that the row begins in."""
        self._bytes += payload + (1 + rows // 8) * PAGE_SIZE

    @property
    def is_long(self) -> bool:
        """Whether it should be moved."""
        return self._bytes >= self._most_bytes

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
        self._draw_most_bytes()
