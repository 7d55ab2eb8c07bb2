"""The snapshots of an open store: one is the current one, others are being written, were replaced or given up.

A snapshot's chunks go to a file of its own beside the database, written from front to back and synced now and then;
SQLite would write them twice, and sync each. Only when all of it is durable, with its name, does the transaction that
makes it the current one say so. Before that, and after it was replaced, the file is garbage: its row in `snapshots`
was durable before there was a file, and goes after it, so that the next opening finds what a crash left behind. A name
that comes back with the loss of power, after its row has gone, is found by itself.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from pathlib import Path

import attrs

from raft_actors.errors import InternalError, StorageFailed
from raft_actors.persistence.sqlite.chunks import (
    StoredChunks,
    checksum,
    open_chunks,
    pack_index,
    snapshot_ids,
    snapshot_path,
)
from raft_actors.persistence.sqlite.files import Files, GrowingFile
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.records import define

# So much of a snapshot is written without a sync, at most: commits wait for the one that ends it. Less would sync more
# often for nothing: 4 MiB at a time go to disk as fast as all of it at once.
_SYNC_BYTES = 4 * 1024 * 1024

# So much of a file is removed at a time: the system takes 0.2 ms for each MiB, and commits wait meanwhile.
_SLICE_BYTES = 32 * 1024 * 1024

_CHUNK_ROWS_IN_SLICE = 4


@define(eq=False)
class _Growing:
    """A snapshot that is being written: its file, the size and checksum of each chunk, and what is not synced yet."""

    file: GrowingFile | None = None
    chunks: list[tuple[int, int]] = attrs.field(factory=list[tuple[int, int]])
    unsynced_bytes: int = 0


class Snapshots:
    """See the module's text. Every method raises sqlite3.Error and OSError as they come."""

    def __init__(self, connection: sqlite3.Connection, path: Path, files: Files, current: int | None) -> None:
        """Find what a run before has left: every snapshot but the current one was replaced, or never finished."""
        self._connection = connection
        self._path = path
        self._files = files
        self._growing: dict[int, _Growing] = {}
        self._stored: dict[int, StoredChunks] = {}
        self._pins: dict[object, int] = {}
        rows = [snapshot_id for (snapshot_id,) in connection.execute("SELECT snapshot_id FROM snapshots").fetchall()]
        self._garbage = deque(snapshot_id for snapshot_id in rows if snapshot_id != current)
        # Without a row, nothing keeps the id from being given out again: such a file must go at once.
        for snapshot_id in set(snapshot_ids(path, files)).difference(rows, [current]):
            files.remove(snapshot_path(path, snapshot_id))

    # --- writing -------------------------------------------------------------------------------------------------

    def begin(self, metadata: SnapshotMetadata) -> int:
        """Give out an id, in a row that lets the next open find what a crash leaves of this snapshot.

        Raises:
            StorageFailed: SQLite has none.
        """
        insert = "INSERT INTO snapshots (last_index, last_term) VALUES (?, ?)"
        snapshot_id = self._connection.execute(insert, (metadata.index, metadata.term)).lastrowid
        if snapshot_id is None:
            raise StorageFailed(f"{self._path}: SQLite gave no id to a snapshot")
        self._growing[snapshot_id] = _Growing()
        return snapshot_id

    def write(self, snapshot_id: int, sequence: int, data: bytes) -> None:
        """Add a chunk to a snapshot that was begun. It need not be durable yet."""
        growing = self._growing[snapshot_id]
        if sequence != len(growing.chunks):
            raise InternalError(f"chunk {sequence} of snapshot {snapshot_id} came when {len(growing.chunks)} was due")
        if growing.file is None:
            growing.file = self._files.open_growing(snapshot_path(self._path, snapshot_id))
        growing.file.append(data)
        growing.chunks.append((len(data), checksum(snapshot_id, sequence, data)))
        growing.unsynced_bytes += len(data)
        if growing.unsynced_bytes >= _SYNC_BYTES:
            growing.file.sync()
            growing.unsynced_bytes = 0

    def finish(self, snapshot_id: int) -> None:
        """Make all chunks durable, with the name of the file that they are in."""
        file = self._growing[snapshot_id].file
        if file is not None:
            file.sync()
            self._files.sync_folder(self._path.parent)

    def save(self, snapshot_id: int) -> None:
        """Within the transaction that makes it the current one: note where its chunks are."""
        index = pack_index(snapshot_id, self._growing[snapshot_id].chunks)
        update = "UPDATE snapshots SET chunk_index = ? WHERE snapshot_id = ?"
        self._connection.execute(update, (index, snapshot_id))

    def saved(self, snapshot_id: int, *, is_current: bool) -> None:
        """That transaction is durable; another snapshot in it may have taken this one's place already."""
        self._end(snapshot_id)
        if not is_current:
            self.discard(snapshot_id)

    def discard(self, snapshot_id: int) -> None:
        """Have a snapshot that was given up, or replaced, deleted by and by, once nobody reads it."""
        self._end(snapshot_id)
        self._garbage.append(snapshot_id)

    def _end(self, snapshot_id: int) -> None:
        growing = self._growing.pop(snapshot_id, None)
        if growing is not None and growing.file is not None:
            growing.file.close()

    def close(self) -> None:
        """Let go of the files."""
        for snapshot_id in list(self._growing):
            self._end(snapshot_id)

    # --- reading -------------------------------------------------------------------------------------------------

    def pin(self, snapshot_id: int, reader: object) -> None:
        """`reader` reads this snapshot."""
        self._pins[reader] = snapshot_id

    def unpin(self, reader: object) -> None:
        """`reader` has read enough, or never came to read."""
        self._pins.pop(reader, None)

    def read_chunks(self, snapshot_id: int, numbers: range, most_bytes: int) -> list[bytes]:
        """Read and check chunks of these numbers, at least one, until they have so many bytes. The snapshot is pinned.

        Raises:
            StorageCorrupt: one is missing, or fails its checksum.
        """
        if snapshot_id not in self._stored:
            self._stored[snapshot_id] = open_chunks(self._connection, self._path, self._files, snapshot_id)
        return self._stored[snapshot_id].read_some(numbers, most_bytes)

    # --- deleting ------------------------------------------------------------------------------------------------

    @property
    def have_garbage(self) -> bool:
        """Whether there is something that can be deleted."""
        return self._deletable() is not None

    def _deletable(self) -> int | None:
        pinned = self._pins.values()
        return next((snapshot_id for snapshot_id in self._garbage if snapshot_id not in pinned), None)

    def collect_slice(self) -> None:
        """Delete a bounded amount: first the file, or what an older version put into rows; then the row."""
        snapshot_id = self._deletable()
        if snapshot_id is None or not self._files.remove_some(snapshot_path(self._path, snapshot_id), _SLICE_BYTES):
            return
        lowest, highest = snapshot_id << 32, (snapshot_id + 1 << 32) - 1
        deleted = self._connection.execute(
            "DELETE FROM chunks WHERE chunk_id IN (SELECT chunk_id FROM chunks WHERE chunk_id BETWEEN ? AND ? "  # noqa: S608
            f"ORDER BY chunk_id LIMIT {_CHUNK_ROWS_IN_SLICE})",
            (lowest, highest),
        ).rowcount
        if deleted < _CHUNK_ROWS_IN_SLICE:
            self._connection.execute("DELETE FROM snapshots WHERE snapshot_id = ?", (snapshot_id,))
            self._garbage.remove(snapshot_id)
            self._stored.pop(snapshot_id, None)
