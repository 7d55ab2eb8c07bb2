"""What snapshots leave behind (entries below the log's first index, chunks of old snapshots), deleted bit by bit.

A snapshot is committed by one small transaction that only moves the bounds. Deleting what then lies outside them takes
as long as there is much of it, so it is done in slices, each a short transaction of its own, between other work. A
crash just leaves the rest to the next run, which finds it from the bounds alone.
"""

from __future__ import annotations

import sqlite3
from collections import deque

_SLICE_ROWS = 512
_SLICE_BYTES = 1024 * 1024

# (bytes, index, index): of the rows below the index, the last of the lowest that together fit the bytes, and the first
# of all in case not even that one does.
_SLICE = f"""
SELECT max(CASE WHEN total <= ? THEN first_index END), min(first_index) FROM (
    SELECT first_index, sum(held) OVER (ORDER BY first_index) AS total FROM (
        SELECT first_index, length(data) AS held FROM batches WHERE first_index < ? AND last_index < ?
        ORDER BY first_index LIMIT {_SLICE_ROWS}))
"""
_CHUNKS_IN_SLICE = 4


class Garbage:
    """What is to be deleted. True while there may be something that can be."""

    def __init__(self, connection: sqlite3.Connection, first_index: int) -> None:
        self._connection = connection
        self._snapshots: deque[int] = deque()
        self._pins: dict[object, int] = {}
        self._first_index = first_index
        self._log_is_clean = False  # a run before may have left some

    @property
    def first_index(self) -> int:
        """Entries below are garbage."""
        return self._first_index

    @first_index.setter
    def first_index(self, index: int) -> None:
        if index != self._first_index:
            self._first_index = index
            self._log_is_clean = False

    def __bool__(self) -> bool:
        return not self._log_is_clean or self._deletable() is not None

    def find_snapshots(self, keep: int | None) -> None:
        """After opening: every snapshot but the current one was replaced, or never finished."""
        found = self._connection.execute("SELECT snapshot_id FROM snapshots WHERE snapshot_id IS NOT ?", (keep,))
        self._snapshots.extend(snapshot_id for (snapshot_id,) in found.fetchall())

    def add_snapshot(self, snapshot_id: int) -> None:
        """Delete this snapshot once nobody reads it."""
        self._snapshots.append(snapshot_id)

    def pin(self, snapshot_id: int, reader: object) -> None:
        """`reader` reads this snapshot."""
        self._pins[reader] = snapshot_id

    def unpin(self, reader: object) -> None:
        """`reader` has read enough, or never came to read."""
        self._pins.pop(reader, None)

    def collect_slice(self) -> int:
        """Delete a bounded amount, in one transaction; returns about how many bytes that wrote to disk."""
        if not self._log_is_clean:
            self._collect_log()
            return _SLICE_BYTES // 8
        snapshot_id = self._deletable()
        if snapshot_id is not None:
            self._collect_chunks(snapshot_id)
        return _SLICE_BYTES // 8

    def _deletable(self) -> int | None:
        pinned = self._pins.values()
        return next((snapshot_id for snapshot_id in self._snapshots if snapshot_id not in pinned), None)

    def _collect_log(self) -> None:
        last, first = self._connection.execute(_SLICE, (_SLICE_BYTES, self._first_index, self._first_index)).fetchone()
        if first is None:
            self._log_is_clean = True
            return
        delete = "DELETE FROM batches WHERE first_index BETWEEN ? AND ?"
        self._connection.execute(delete, (first, first if last is None else last))

    def _collect_chunks(self, snapshot_id: int) -> None:
        lowest, highest = snapshot_id << 32, (snapshot_id + 1 << 32) - 1
        deleted = self._connection.execute(
            "DELETE FROM chunks WHERE chunk_id IN "
            f"(SELECT chunk_id FROM chunks WHERE chunk_id BETWEEN ? AND ? ORDER BY chunk_id LIMIT {_CHUNKS_IN_SLICE})",
            (lowest, highest),
        ).rowcount
        if deleted < _CHUNKS_IN_SLICE:
            self._connection.execute("DELETE FROM snapshots WHERE snapshot_id = ?", (snapshot_id,))
            self._snapshots.remove(snapshot_id)
