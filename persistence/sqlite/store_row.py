"""The one row that says what a store is: whose, term and vote, the log's bounds, the current snapshot.

A checksum covers all of its columns, in the order of the table, whichever schema version that is of. So a row can be
checked before it is known what its columns mean, and a migration can add one and seal the row again.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import attrs

from raft_actors.errors import StorageMismatch
from raft_actors.persistence.abc import StoreIdentity
from raft_actors.persistence.log_state import LogState
from raft_actors.persistence.sqlite.errors import corrupt
from raft_actors.raft.persistent_state import HardState, SnapshotMetadata, StoredConfiguration, TermRun
from raft_actors.records import frozen


@frozen
class StoreRow:
    """The row of `store`: all that is known of a store without reading its log."""

    identity: StoreIdentity
    store_id: str
    hard_state: HardState = attrs.field(factory=HardState)
    first_index: int = 1
    last_index: int = 0
    term_runs: tuple[TermRun, ...] = ()
    snapshot_id: int | None = None
    snapshot: SnapshotMetadata | None = None
    snapshot_chunks: int = 0
    snapshot_bytes: int = 0
    commit_number: int = 0
    configurations: tuple[StoredConfiguration, ...] = ()

    def after(self, state: LogState) -> StoreRow:
        """The row once the log is in this state. What it says of the snapshot stays."""
        return attrs.evolve(
            self,
            hard_state=state.hard_state,
            first_index=state.first_index,
            last_index=state.last_index,
            term_runs=state.term_runs,
            configurations=state.configurations,
        )

    def columns(self) -> dict[str, object]:
        """Its columns by name, in the order of the table, without the id and the checksum."""
        snapshot = self.snapshot or SnapshotMetadata(0, 0)
        return {
            "cluster_id": self.identity.cluster_id,
            "node_id": self.identity.node_id,
            "store_id": self.store_id,
            "term": self.hard_state.term,
            "voted_for": self.hard_state.voted_for,
            "first_index": self.first_index,
            "last_index": self.last_index,
            "term_runs": json.dumps([[run.term, run.first_index] for run in self.term_runs]),
            "snapshot_id": self.snapshot_id,
            "snapshot_index": snapshot.index,
            "snapshot_term": snapshot.term,
            "snapshot_chunks": self.snapshot_chunks,
            "snapshot_bytes": self.snapshot_bytes,
            "commit_number": self.commit_number,
            "initial_voters": json.dumps(self.identity.initial_voters),
            "configurations": json.dumps([[held.index, held.data.hex()] for held in self.configurations]),
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> StoreRow:
        """The row of these columns, whose checksum was checked.

        A column that came with a migration is to be read with `get`: `inspect_store` reads older stores as they are.

        Raises:
            KeyError: one is missing.
            ValueError: one holds what this library never writes.
        """
        snapshot_id = columns["snapshot_id"]
        snapshot = SnapshotMetadata(_number(columns["snapshot_index"]), _number(columns["snapshot_term"]))
        voters = _items(columns.get("initial_voters", "[]"))
        configurations = _items(columns.get("configurations", "[]"))
        return cls(
            identity=StoreIdentity(_text(columns["cluster_id"]), _text(columns["node_id"]), tuple(map(_text, voters))),
            store_id=_text(columns["store_id"]),
            hard_state=HardState(
                _number(columns["term"]), None if columns["voted_for"] is None else _text(columns["voted_for"])
            ),
            first_index=_number(columns["first_index"]),
            last_index=_number(columns["last_index"]),
            term_runs=tuple(
                TermRun(_number(term), _number(first)) for term, first in map(_pair, _items(columns["term_runs"]))
            ),
            snapshot_id=None if snapshot_id is None else _number(snapshot_id),
            snapshot=None if snapshot_id is None else snapshot,
            snapshot_chunks=_number(columns["snapshot_chunks"]),
            snapshot_bytes=_number(columns["snapshot_bytes"]),
            commit_number=_number(columns["commit_number"]),
            configurations=tuple(
                StoredConfiguration(_number(index), bytes.fromhex(_text(data)))
                for index, data in map(_pair, configurations)
            ),
        )


# A column's declared type binds SQLite to nothing, and JSON may be anything.


def _number(value: object) -> int:
    if type(value) is not int or value < 0:  # `type() is`, because a bool is an int to isinstance
        raise ValueError(f"{value!r:.50} where a number belongs")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.50} where a text belongs")
    return value


def _items(text: object) -> list[object]:
    try:
        items: object = json.loads(_text(text))
    except RecursionError as error:
        raise ValueError("lists within lists without end") from error
    if not isinstance(items, list):
        raise ValueError(f"{items!r:.50} where a list belongs")
    return cast("list[object]", items)


def _pair(value: object) -> tuple[object, object]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.50} where a pair belongs")
    first, second = cast("list[object]", value)
    return first, second


def row_checksum(values: Iterable[object]) -> int:
    """crc32 over the columns' values, each with its type and its length."""
    return zlib.crc32(json.dumps(list(values)).encode())


def read_columns(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """The row's columns by name, of any schema version, without the id and the checksum, which is checked.

    Raises:
        StorageCorrupt: the row is missing, or fails its checksum.
        sqlite3.Error: as it comes.
    """
    names = [name for _, name, *_ in connection.execute("PRAGMA table_info(store)").fetchall()]
    rows = connection.execute("SELECT * FROM store").fetchall()
    if len(rows) != 1:
        raise corrupt(path, f"its table “store” holds {len(rows)} rows instead of one")
    columns = dict(zip(names, rows[0], strict=True))
    columns.pop("id", None)
    checksum = columns.pop("checksum", None)
    if any(isinstance(value, bytes) for value in columns.values()) or row_checksum(columns.values()) != checksum:
        raise corrupt(path, "the row with its term, vote and log bounds fails its checksum")
    return columns


def load(connection: sqlite3.Connection, path: Path) -> StoreRow:
    """Read and check the row.

    Raises:
        StorageCorrupt: as `read_columns`; or its columns are not those that this library makes.
        sqlite3.Error: as it comes.
    """
    return row_of(read_columns(connection, path), path)


def row_of(columns: Mapping[str, Any], path: Path) -> StoreRow:
    """The row of these columns, whose checksum was checked.

    Raises:
        StorageCorrupt: they are not those that this library makes, or hold what it never writes.
    """
    with _all_columns_there(path):
        try:
            return StoreRow.from_columns(columns)
        except ValueError as error:
            raise corrupt(path, f"the row with its term, vote and log bounds makes no sense ({error})") from error


def check_identity(connection: sqlite3.Connection, path: Path, identity: StoreIdentity) -> None:
    """Make sure whose store it is. The two columns that say so are the same in every schema version.

    Raises:
        StorageMismatch: another node's.
        StorageCorrupt: as `read_columns`.
        sqlite3.Error: as it comes.
    """
    columns = read_columns(connection, path)
    with _all_columns_there(path):
        found = StoreIdentity(columns["cluster_id"], columns["node_id"])
    if found != identity:
        raise StorageMismatch(
            f"{path} belongs to node {found.node_id!r} of cluster {found.cluster_id!r}, not to node "
            f"{identity.node_id!r} of cluster {identity.cluster_id!r}: give each node a file of its own"
        )


def adopt_voters(connection: sqlite3.Connection, row: StoreRow, identity: StoreIdentity) -> StoreRow:
    """Note the cluster's initial voters where the row names none yet: an older version of this library made it.

    Raises:
        sqlite3.Error: as it comes.
    """
    if row.identity.initial_voters or not identity.initial_voters:
        return row
    adopted = attrs.evolve(row, identity=identity)
    save(connection, adopted.columns())
    return adopted


@contextmanager
def _all_columns_there(path: Path) -> Generator[None]:
    try:
        yield
    except KeyError as error:
        raise corrupt(path, f"its table “store” has no column {error}") from error


def save(connection: sqlite3.Connection, columns: Mapping[str, object]) -> None:
    """Write the row, with its checksum. `columns` are all of the table's, in its order, but the id and the checksum."""
    names = ", ".join(columns)
    values = (*columns.values(), row_checksum(columns.values()))
    connection.execute(
        f"INSERT OR REPLACE INTO store (id, {names}, checksum) VALUES (1{', ?' * len(values)})",  # noqa: S608 - our names
        values,
    )
