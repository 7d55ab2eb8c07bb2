"""Reading and cutting the log's rows, and what is checked about them.

A row holds its batch, or says where in a segment it lies (see `segments`).

Rows are fetched as one: `group_concat` joins the batches of a range inside SQLite, and they are taken apart here. A
fetch per row would let go of the GIL for each, and with a busy Trio thread a follower's catch-up would hold up the
commits behind it for seconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from raft_actors.errors import StorageCorrupt
from raft_actors.persistence.log_state import LogState
from raft_actors.persistence.sqlite.errors import corrupt
from raft_actors.persistence.sqlite.files import Files
from raft_actors.persistence.sqlite.schema import BATCH_COLUMNS
from raft_actors.persistence.sqlite.segments import resolve
from raft_actors.persistence.sqlite.store_row import StoreRow
from raft_actors.raft.entries import EntryBatch
from raft_actors.records import frozen

#: Batches in one INSERT statement; bounds the memory of prepared statements. SQLite before 3.32 takes 999 variables.
MAX_ROWS = 999 // BATCH_COLUMNS

# Rows looked at in one step: few at first, as rows may be large, then more, for logs of many small ones.
_FIRST_ROWS, _MOST_ROWS = 16, 1024

# Numbered placeholders (?1) are none for a sequence: Python 3.12.0 to 3.12.3 take them for named ones and warn (CPython
# gh-117995). So a value that occurs twice is given twice.

# (bytes, index, last index, rows): of the rows from the one that holds the index on, the first one's index, and the
# last one's that still fits the bytes, if any.
_FITTING = """
SELECT min(first_index), max(CASE WHEN total <= ? THEN first_index END) FROM (
    SELECT first_index, sum(size) OVER (ORDER BY first_index) AS total FROM (
        SELECT first_index, size FROM batches
        WHERE first_index >= (SELECT max(first_index) FROM batches WHERE first_index <= ?) AND first_index <= ?
        ORDER BY first_index LIMIT ?))
"""

_FETCH = """
SELECT CAST(group_concat(data, '') AS BLOB), group_concat(length(data)), group_concat(size) FROM (
    SELECT data, size FROM batches WHERE first_index BETWEEN ? AND ? ORDER BY first_index)
"""

# (bytes, last index, first index, rows): backwards, the lowest index that still fits the bytes, if any, the lowest
# looked at, and what all of it takes.
_FITTING_BACKWARDS = """
SELECT min(CASE WHEN total <= ? THEN first_index END), min(first_index), sum(size), count(*) FROM (
    SELECT first_index, size, sum(size) OVER (ORDER BY first_index DESC) AS total FROM (
        SELECT first_index, size FROM batches
        WHERE first_index <= ? AND last_index >= ? ORDER BY first_index DESC LIMIT ?))
"""

_LAST_ROW = """
SELECT data, size, first_index, last_index, commit_number FROM batches ORDER BY first_index DESC LIMIT 1
"""

# Of the one index, twice: the row that begins below it and reaches it.
_ROW_ACROSS = """
SELECT data, size FROM (
    SELECT data, size, last_index FROM batches WHERE first_index < ? ORDER BY first_index DESC LIMIT 1)
WHERE last_index >= ?
"""


@cache
def _insert(rows: int) -> str:
    row = f"(?{', ?' * (BATCH_COLUMNS - 1)})"
    return f"INSERT INTO batches VALUES {', '.join([row] * rows)}"  # noqa: S608 - placeholders only


def _refers_to_what_was_removed(found: tuple[Any, ...], first_index: int) -> bool:
    """Whether a row (of `_LAST_ROW`) is of a batch below the log that lay in a segment, which others may have now."""
    data, size, _, last_index, _ = found
    return type(last_index) is int and last_index < first_index and isinstance(data, bytes) and len(data) != size


@frozen
class LogRows:
    """The log of one store, as its rows have it.

    Attributes:
        connection: to the store.
        path: the store's.
        files: where its segments are.
    """

    connection: sqlite3.Connection
    path: Path
    files: Files

    # --- opening -------------------------------------------------------------------------------------------------

    def bounds(self, row: StoreRow) -> tuple[LogState, int]:
        """The log's state, and the number of the last commit, from the store's row and the log's last one.

        Raises:
            StorageCorrupt: the two contradict each other.
        """
        last_index, commit_number = row.first_index - 1, row.commit_number
        found = self.connection.execute(_LAST_ROW).fetchone()
        if found is not None and not _refers_to_what_was_removed(found, row.first_index):
            data, size, *says, number = found
            batch = self._decode(data, size)
            if [batch.first_index, batch.last_index] != says or not isinstance(number, int):
                raise corrupt(self.path, f"the log's last batch, at index {batch.first_index}, is not where it belongs")
            commit_number = max(commit_number, number)
            if batch.last_index >= row.first_index:
                last_index = batch.last_index
                if not row.term_runs or row.term_runs[-1].term != batch.term:
                    raise corrupt(self.path, f"the log's last batch is of term {batch.term}, and should not be")
                self._check_first(row.first_index)
        if last_index < row.last_index:
            raise corrupt(self.path, f"the log's end is missing: entries from index {last_index + 1} on")
        state = LogState(
            row.hard_state,
            row.snapshot,
            row.first_index,
            last_index,
            row.term_runs,
            configurations=row.configurations,
        )
        return state, commit_number

    def _check_first(self, first_index: int) -> None:
        select = "SELECT last_index FROM batches WHERE first_index <= ? ORDER BY first_index DESC LIMIT 1"
        found = self.connection.execute(select, (first_index,)).fetchone()
        if found is None or not isinstance(found[0], int) or found[0] < first_index:
            raise corrupt(self.path, f"the log's first entry, {first_index}, is missing")

    def tail(self, state: LogState, max_bytes: int) -> list[EntryBatch]:
        """The log's last batches: those that fit `max_bytes`, at least one where there is one."""
        if state.last_index < state.first_index:
            return []
        execute = self.connection.execute
        (last_batch,) = execute("SELECT max(first_index) FROM batches").fetchone()
        start, upper, budget, rows, more = last_batch, state.last_index, max_bytes, _FIRST_ROWS, True
        while more:
            window = (budget, upper, state.first_index, rows)
            fits, lowest, size, count = execute(_FITTING_BACKWARDS, window).fetchone()
            if fits is not None:
                start, upper, budget = fits, fits - 1, budget - size
            more = fits is not None and fits == lowest and count == rows
            rows = min(4 * rows, _MOST_ROWS)
        return self.read(state, max(start, state.first_index), state.last_index, max_bytes)

    # --- reading -------------------------------------------------------------------------------------------------

    def read(self, state: LogState, first_index: int, last_index: int, max_bytes: int) -> list[EntryBatch]:
        """Batches from exactly `first_index` on, which must be in the log; see `Storage.read_entries`."""
        found: list[EntryBatch] = []
        index, last_index, budget, rows = first_index, min(last_index, state.last_index), max_bytes, _FIRST_ROWS
        while index <= last_index:
            start, fits = self.connection.execute(_FITTING, (budget, index, last_index, rows)).fetchone()
            rows = min(4 * rows, _MOST_ROWS)
            if start is None:
                raise corrupt(self.path, f"entries from index {index} on are missing")
            if fits is None:
                if found:
                    break
                fits = start
            for batch in self._fetch(start, fits):
                part = batch.since(max(index, state.first_index))
                if not part.first_index == index <= part.last_index or part.term != state.term_at(index):
                    raise corrupt(self.path, f"entry {index} is missing, or not the one that was written")
                found.append(part.before(last_index + 1))
                index, budget = part.last_index + 1, budget - batch.size
        return found

    def _fetch(self, first: int, last: int) -> list[EntryBatch]:
        joined, lengths, sizes = self.connection.execute(_FETCH, (first, last)).fetchone()
        try:
            ends = list(accumulate(map(int, lengths.split(",")), initial=0))
            written = list(map(int, sizes.split(",")))
        except (ValueError, AttributeError):
            raise corrupt(self.path, f"the sizes of batches from index {first} on are damaged") from None
        if joined is None or ends[-1] != len(joined) or len(written) != len(ends) - 1:
            raise corrupt(self.path, f"batches from index {first} on are not of the size that was written")
        return [self._decode(joined[a:b], size) for (a, b), size in zip(pairwise(ends), written, strict=True)]

    def _decode(self, data: object, size: object) -> EntryBatch:
        """Check and open a stored batch."""
        found = resolve(self.path, self.files, data, size)
        try:
            if isinstance(found, bytes):
                return EntryBatch.decode(found)
        except ValueError as error:
            raise corrupt(self.path, str(error)) from error
        raise StorageCorrupt(f"{self.path}: a row of the log holds {type(data).__name__} instead of bytes")

    # --- writing -------------------------------------------------------------------------------------------------

    def insert(self, entries: Sequence[EntryBatch], held: Sequence[bytes], number: int) -> None:
        """Add up to `MAX_ROWS` batches, which are of commit `number`, in one statement.

        `held` is what their rows hold: the batches, or where they lie.
        """
        parameters: list[Any] = []
        for batch, data in zip(entries, held, strict=True):
            parameters += (batch.first_index, batch.last_index, batch.term, number, len(batch.data), data)
        self.connection.execute(_insert(len(entries)), parameters)

    def truncate(self, index: int, number: int) -> None:
        """Remove all entries from `index` on; a batch that begins below is cut, and then is of commit `number`."""
        across = self.connection.execute(_ROW_ACROSS, (index, index)).fetchone()
        self.connection.execute("DELETE FROM batches WHERE first_index >= ?", (index,))
        if across is not None:
            kept = self._decode(*across).before(index)
            update = "UPDATE batches SET last_index = ?, commit_number = ?, size = ?, data = ? WHERE first_index = ?"
            self.connection.execute(update, (kept.last_index, number, kept.size, kept.data, kept.first_index))

    def delete_from(self, index: int) -> None:
        """Remove every batch that holds `index` or a later one, whole."""
        self.connection.execute(
            "DELETE FROM batches WHERE last_index >= ? "
            "AND first_index >= coalesce((SELECT max(first_index) FROM batches WHERE first_index <= ?), 0)",
            (index, index),
        )
