"""Reading and cutting the log's rows, and what is checked about them.

Rows are fetched as one: `group_concat` joins the batches of a range inside SQLite, and they are taken apart here. A
fetch per row would let go of the GIL for each, and with a busy Trio thread a follower's catch-up would hold up the
commits behind it for seconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from raft_actors.entries import EntryBatch
from raft_actors.errors import StorageCorrupt
from raft_actors.persistence.log_state import LogState
from raft_actors.persistence.schema import StoreRow
from raft_actors.persistence.sqlite_errors import corrupt

# Rows looked at in one step: few at first, as rows may be large, then more, for logs of many small ones.
_FIRST_ROWS, _MOST_ROWS = 16, 1024

# Of the rows from the one that holds ?1 on: the first one's index, the last one's that still fits ?3 bytes, if any.
_FITTING = """
SELECT min(first_index), max(CASE WHEN total <= ?3 THEN first_index END) FROM (
    SELECT first_index, sum(size) OVER (ORDER BY first_index) AS total FROM (
        SELECT first_index, size FROM batches
        WHERE first_index >= (SELECT max(first_index) FROM batches WHERE first_index <= ?1) AND first_index <= ?2
        ORDER BY first_index LIMIT ?4))
"""

_FETCH = """
SELECT CAST(group_concat(data, '') AS BLOB), group_concat(size) FROM (
    SELECT data, size FROM batches WHERE first_index BETWEEN ? AND ? ORDER BY first_index)
"""

# Backwards from ?2: the lowest index that still fits ?3 bytes, if any, the lowest looked at, and what all of it takes.
_FITTING_BACKWARDS = """
SELECT min(CASE WHEN total <= ?3 THEN first_index END), min(first_index), sum(size), count(*) FROM (
    SELECT first_index, size, sum(size) OVER (ORDER BY first_index DESC) AS total FROM (
        SELECT first_index, size FROM batches
        WHERE first_index <= ?2 AND last_index >= ?1 ORDER BY first_index DESC LIMIT ?4))
"""

_LAST_ROW = "SELECT first_index, last_index, commit_number, data FROM batches ORDER BY first_index DESC LIMIT 1"


def bounds(connection: sqlite3.Connection, path: Path, row: StoreRow) -> tuple[LogState, int]:
    """The log's state, and the number of the last commit, from the store's row and the log's last one.

    Raises:
        StorageCorrupt: the two contradict each other.
    """
    last_index, commit_number = row.first_index - 1, row.commit_number
    found = connection.execute(_LAST_ROW).fetchone()
    if found is not None:
        batch = decode(path, found[3])
        if (batch.first_index, batch.last_index) != found[:2] or not isinstance(found[2], int):
            raise corrupt(path, f"the log's last batch, at index {batch.first_index}, is not where it belongs")
        commit_number = max(commit_number, found[2])
        if batch.last_index >= row.first_index:
            last_index = batch.last_index
            if not row.term_runs or row.term_runs[-1].term != batch.term:
                raise corrupt(path, f"the log's last batch is of term {batch.term}, and should not be")
            _check_first(connection, path, row.first_index)
    if last_index < row.last_index:
        raise corrupt(path, f"the log's end is missing: entries from index {last_index + 1} on")
    return LogState(row.hard_state, row.snapshot, row.first_index, last_index, row.term_runs), commit_number


def _check_first(connection: sqlite3.Connection, path: Path, first_index: int) -> None:
    select = "SELECT last_index FROM batches WHERE first_index <= ? ORDER BY first_index DESC LIMIT 1"
    found = connection.execute(select, (first_index,)).fetchone()
    if found is None or not isinstance(found[0], int) or found[0] < first_index:
        raise corrupt(path, f"the log's first entry, {first_index}, is missing")


def tail(connection: sqlite3.Connection, path: Path, state: LogState, max_bytes: int) -> list[EntryBatch]:
    """The log's last batches: those that fit `max_bytes`, at least one where there is one."""
    if state.last_index < state.first_index:
        return []
    (last_batch,) = connection.execute("SELECT max(first_index) FROM batches").fetchone()
    start, upper, budget, rows, more = last_batch, state.last_index, max_bytes, _FIRST_ROWS, True
    while more:
        window = (state.first_index, upper, budget, rows)
        fits, lowest, size, count = connection.execute(_FITTING_BACKWARDS, window).fetchone()
        if fits is not None:
            start, upper, budget = fits, fits - 1, budget - size
        more = fits is not None and fits == lowest and count == rows
        rows = min(4 * rows, _MOST_ROWS)
    start = max(start, state.first_index)
    return read(connection, path, state, start, state.last_index, max_bytes)


def read(
    connection: sqlite3.Connection, path: Path, state: LogState, first_index: int, last_index: int, max_bytes: int
) -> list[EntryBatch]:
    """Batches from exactly `first_index` on, which must be in the log; see `Storage.read_entries`."""
    found: list[EntryBatch] = []
    index, last_index, budget, rows = first_index, min(last_index, state.last_index), max_bytes, _FIRST_ROWS
    while index <= last_index:
        start, fits = connection.execute(_FITTING, (index, last_index, budget, rows)).fetchone()
        rows = min(4 * rows, _MOST_ROWS)
        if start is None:
            raise corrupt(path, f"entries from index {index} on are missing")
        if fits is None:
            if found:
                break
            fits = start
        for batch in _fetch(connection, path, start, fits):
            part = batch.since(max(index, state.first_index))
            if not part.first_index == index <= part.last_index or part.term != state.term_at(index):
                raise corrupt(path, f"entry {index} is missing, or not the one that was written")
            found.append(part.before(last_index + 1))
            index, budget = part.last_index + 1, budget - batch.size
    return found


def _fetch(connection: sqlite3.Connection, path: Path, first: int, last: int) -> list[EntryBatch]:
    joined, sizes = connection.execute(_FETCH, (first, last)).fetchone()
    try:
        ends = list(accumulate(map(int, sizes.split(",")), initial=0))
    except (ValueError, AttributeError):
        raise corrupt(path, f"the sizes of batches from index {first} on are damaged") from None
    if joined is None or ends[-1] != len(joined):
        raise corrupt(path, f"batches from index {first} on are not of the size that was written")
    return [decode(path, joined[a:b]) for a, b in pairwise(ends)]


def decode(path: Path, data: object) -> EntryBatch:
    """Check and open a stored batch."""
    try:
        if isinstance(data, bytes):
            return EntryBatch.decode(data)
    except ValueError as error:
        raise corrupt(path, str(error)) from error
    raise StorageCorrupt(f"{path}: a row of the log holds {type(data).__name__} instead of bytes")


def truncate(connection: sqlite3.Connection, path: Path, index: int, number: int) -> None:
    """Remove all entries from `index` on; a batch that begins below is cut."""
    select = "SELECT data FROM batches WHERE first_index < ? ORDER BY first_index DESC LIMIT 1"
    below = connection.execute(select, (index,)).fetchone()
    connection.execute("DELETE FROM batches WHERE first_index >= ?", (index,))
    if below is None:
        return
    batch = decode(path, below[0])
    kept = batch.before(index)
    if kept is not batch:
        update = "UPDATE batches SET last_index = ?, commit_number = ?, size = ?, data = ? WHERE first_index = ?"
        connection.execute(update, (kept.last_index, number, kept.size, kept.data, kept.first_index))


def delete_from(connection: sqlite3.Connection, index: int) -> None:
    """Remove every batch that holds `index` or a later one, whole."""
    connection.execute(
        "DELETE FROM batches WHERE last_index >= ?1 "
        "AND first_index >= coalesce((SELECT max(first_index) FROM batches WHERE first_index <= ?1), 0)",
        (index,),
    )


def parameters(entries: Sequence[EntryBatch], number: int) -> list[Any]:
    """The columns of some batches' rows, which commit `number` writes, one row after the other."""
    columns: list[Any] = []
    for batch in entries:
        data = batch.data
        columns += (batch.first_index, batch.last_index, batch.term, number, len(data), data)
    return columns
