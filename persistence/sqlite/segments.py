"""Large batches, in files beside the database: written once, where SQLite would write them twice.

SQLite puts what is committed into its write-ahead log, and later into the database: all bytes are copied and written
twice. For a batch of some size that costs more than a second sync. So such a batch is appended to a *segment*, a file
of its own, synced, and only then committed to the database, as a reference that says where it lies.

A segment holds the large batches of a range of the log: from its first index up to the next segment's. The table
`segments` says which there are. What a batch was written to is not written again while the batch may be read: only once
the log begins behind a segment, or was cut before it, and that is durable, is its file free for another one, which is
written over what it held (that is cheaper than making a file longer).
"""

from __future__ import annotations

import contextlib
import glob
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

from raft_actors.persistence.sqlite.errors import corrupt
from raft_actors.persistence.sqlite.files import Files, SyncedFile
from raft_actors.raft.entries import EntryBatch
from raft_actors.records import frozen

#: Batches of at least so many bytes go to a segment.
LARGE_BYTES = 64 * 1024

# A segment of this size is followed by another one.
_SEGMENT_BYTES = 32 * 1024 * 1024

# Files that are kept for segments to come.
_MOST_FREE = 4

# Each write begins with a page of the system's, which then need not be read first.
_ALIGNMENT = 4096

_REFERENCE = struct.Struct(">IQ")  # shorter than any batch, which is how the two are told apart
_SUFFIX = "-segment-"


def segment_path(path: Path, file: int) -> Path:
    """Where the segment file of this number is, of the store in `path`."""
    return path.with_name(f"{path.name}{_SUFFIX}{file}")


def segment_bytes(path: Path) -> int:
    """Size of all segment files of the store in `path`."""
    total = 0
    for file in path.parent.glob(f"{glob.escape(path.name)}{_SUFFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            total += file.stat().st_size
    return total


def resolve(path: Path, files: Files, data: object, size: object) -> object:
    """What a row of the log stands for: its `data`, or the `size` bytes of a segment that it refers to.

    Raises:
        StorageCorrupt: these bytes are not there.
        OSError: as it comes.
    """
    if not isinstance(data, bytes) or len(data) == size:
        return data
    if len(data) != _REFERENCE.size or not isinstance(size, int) or size < len(data):
        raise corrupt(path, f"a batch of {size} bytes takes {len(data)}")
    file, position = _REFERENCE.unpack(data)
    segment = segment_path(path, file)
    found = files.read_part(segment, position, size)
    if found is None or len(found) != size:
        raise corrupt(path, f"{size:,} bytes of the log at {position:,} of {segment.name} are missing")
    return found


@frozen
class Segment:
    """One segment.

    Attributes:
        first_index: of the log, where it begins.
        file: the number of its file.
    """

    first_index: int
    file: int


class Segments:
    """The segments of one open store. What is changed here counts once `save` and a commit have made it durable."""

    def __init__(self, connection: sqlite3.Connection, path: Path, files: Files) -> None:
        """Read which segments there are, and find the files that hold none.

        Raises:
            StorageCorrupt: the table is damaged.
            OSError, sqlite3.Error: as they come.
        """
        self._path = path
        self._files = files
        rows = connection.execute("SELECT first_index, file FROM segments ORDER BY first_index").fetchall()
        if any(type(value) is not int for row in rows for value in row):
            raise corrupt(path, "the table of its segments is damaged")
        self._segments = [Segment(*row) for row in rows]
        used = {segment.file for segment in self._segments}
        found = {number for name in files.names(path.parent, path.name + _SUFFIX) if (number := _number(name))}
        self._last_file = max(used | found, default=0)
        self._free = sorted(found - used, reverse=True)
        self._leaving: list[int] = []
        self._current: SyncedFile | None = None
        self._position = 0
        self.changed: bool = False

    def put(self, batches: Sequence[EntryBatch]) -> list[bytes]:
        """What the rows of these batches are to hold. Large ones are written, and durable, before this returns.

        Raises:
            OSError: as it comes.
        """
        large = [batch.data for batch in batches if len(batch.data) >= LARGE_BYTES]
        if not large:
            return [batch.data for batch in batches]
        current = self._current
        if current is None or self._position >= _SEGMENT_BYTES:
            current = self._begin(next(batch.first_index for batch in batches if len(batch.data) >= LARGE_BYTES))
        file, position = self._segments[-1].file, self._position
        current.write_at(position, large)
        held: list[bytes] = []
        for batch in batches:
            if len(batch.data) < LARGE_BYTES:
                held.append(batch.data)
            else:
                held.append(_REFERENCE.pack(file, position))
                position += len(batch.data)
        self._position = -(-position // _ALIGNMENT) * _ALIGNMENT
        return held

    def _begin(self, first_index: int) -> SyncedFile:
        self._end_current()
        is_new = not self._free
        self._last_file += is_new
        file = self._last_file if is_new else self._free.pop()
        current = self._current = self._files.open_synced(segment_path(self._path, file))
        if is_new:
            self._files.sync_folder(self._path.parent)
        self._segments.append(Segment(first_index, file))
        self.changed = True
        return current

    def cut(self, from_index: int) -> None:
        """The log's entries from `from_index` on were removed."""
        while self._segments and self._segments[-1].first_index >= from_index:
            self._end_current()
            self._leave(self._segments.pop())

    def compact(self, first_index: int) -> None:
        """The log's entries below `first_index` are no longer needed."""
        while len(self._segments) > 1 and self._segments[1].first_index <= first_index:
            self._leave(self._segments.pop(0))

    def _leave(self, segment: Segment) -> None:
        self._leaving.append(segment.file)
        self.changed = True

    def _end_current(self) -> None:
        current, self._current = self._current, None
        self._position = 0
        if current is not None:
            current.close()

    def save(self, connection: sqlite3.Connection) -> None:
        """Within the transaction that changes the log: note which segments there are now."""
        if self.changed:
            connection.execute("DELETE FROM segments")
            for segment in self._segments:
                connection.execute("INSERT INTO segments VALUES (?, ?)", (segment.first_index, segment.file))

    def saved(self) -> None:
        """That transaction is durable."""
        self._free += self._leaving
        self._leaving.clear()
        self.changed = False

    @property
    def has_surplus(self) -> bool:
        """Whether there are more free files than should be kept."""
        return len(self._free) > _MOST_FREE

    def remove_one(self) -> None:
        """Remove one of the free files.

        Raises:
            OSError: as it comes.
        """
        self._files.remove(segment_path(self._path, self._free.pop()))

    def close(self) -> None:
        """Let go of the files."""
        self._end_current()


def _number(name: str) -> int | None:
    """The number of a segment's file; None where the name is of another kind."""
    digits = name.rpartition(_SUFFIX)[2]
    return int(digits) if digits.isdecimal() else None
