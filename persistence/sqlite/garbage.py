"""The log's entries below its first index, deleted bit by bit.

A snapshot is committed by one small transaction that only moves the bounds. Deleting what then lies outside them takes
as long as there is much of it, so it is done in slices, each a short transaction of its own, between other work. A
crash just leaves the rest to the next run, which finds it from the bounds alone. Snapshots that were replaced go the
same way: see `snapshots`.
"""

from __future__ import annotations

import sqlite3

_SLICE_ROWS = 512
_SLICE_BYTES = 1024 * 1024

# (bytes, index, index): of the rows below the index, the last of the lowest that together fit the bytes, and the first
# of all in case not even that one does.
_SLICE = f"""
SELECT max(CASE WHEN total <= ? THEN first_index END), min(first_index) FROM (
    SELECT first_index, sum(held) OVER (ORDER BY first_index) AS total FROM (
        SELECT first_index, length(data) AS held FROM batches WHERE first_index < ? AND last_index < ?
        ORDER BY first_index LIMIT {_SLICE_ROWS}))
"""  # noqa: S608 - a number of ours


class LogGarbage:
    """What is to be deleted of the log. True while there may be something that can be."""

    def __init__(self, connection: sqlite3.Connection, first_index: int) -> None:
        self._connection = connection
        self._first_index = first_index
        self._is_clean = False  # a run before may have left some

    @property
    def first_index(self) -> int:
        """Entries below are garbage."""
        return self._first_index

    @first_index.setter
    def first_index(self, index: int) -> None:
        if index != self._first_index:
            self._first_index = index
            self._is_clean = False

    def __bool__(self) -> bool:
        return not self._is_clean

    def collect_slice(self) -> None:
        """Delete a bounded amount, in one transaction."""
        last, first = self._connection.execute(_SLICE, (_SLICE_BYTES, self._first_index, self._first_index)).fetchone()
        if first is None:
            self._is_clean = True
            return
        delete = "DELETE FROM batches WHERE first_index BETWEEN ? AND ?"
        self._connection.execute(delete, (first, first if last is None else last))
