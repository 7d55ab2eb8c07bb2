"""The starts of a store, and those of others that its node has met: see `raft.starts`.

They stand in a table of their own, of one row with a checksum, that is made where it is missing. So it is no part of
the schema's version: a version of this library that does not know the table leaves it alone, opens the store and goes
on without counting.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import attrs

from raft_actors.persistence.sqlite.errors import corrupt
from raft_actors.persistence.sqlite.store_row import row_checksum
from raft_actors.raft.starts import Met, Renewed, Start, Starts
from raft_actors.records import frozen

_TABLE = """
CREATE TABLE IF NOT EXISTS starts (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last INTEGER NOT NULL,
    nonces BLOB NOT NULL,
    met TEXT NOT NULL,
    renewed INTEGER NOT NULL,
    checksum INTEGER NOT NULL
)
"""


@frozen
class StartsRow:
    """The row of `starts`; what each is says `Recovered`."""

    starts: Starts = attrs.field(factory=Starts)
    met: Mapping[str, Met] = attrs.field(factory=dict[str, Met])
    renewed: Renewed = Renewed.NO


def count_start(connection: sqlite3.Connection, path: Path, nonce: str) -> StartsRow:
    """Note that the store is opened, in one transaction; returns the row with this start.

    Raises:
        StorageCorrupt: the row fails its checksum.
        sqlite3.Error: as it comes.
    """
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_TABLE)
    row = _load(connection, path)
    row = attrs.evolve(row, starts=row.starts.with_next(nonce))
    save(connection, row)
    connection.execute("COMMIT")
    return row


def save(connection: sqlite3.Connection, row: StartsRow) -> None:
    """Write the row."""
    met = {peer: [one.incarnation, one.start.number, one.start.nonce] for peer, one in row.met.items()}
    columns = (row.starts.last, row.starts.nonces, json.dumps(met), int(row.renewed))
    connection.execute("INSERT OR REPLACE INTO starts VALUES (1, ?, ?, ?, ?, ?)", (*columns, _checksum(*columns)))


def _load(connection: sqlite3.Connection, path: Path) -> StartsRow:
    found = connection.execute("SELECT last, nonces, met, renewed, checksum FROM starts").fetchall()
    if not found:
        return StartsRow()
    last, nonces, met, renewed, checksum = found[0]
    if type(nonces) is not bytes or type(met) is not str or _checksum(last, nonces, met, renewed) != checksum:
        raise corrupt(path, "the row with its starts fails its checksum")
    return StartsRow(
        Starts(last, nonces),
        {
            peer: Met(incarnation, Start(number, nonce))
            for peer, (incarnation, number, nonce) in json.loads(met).items()
        },
        Renewed(renewed),
    )


def _checksum(last: int, nonces: bytes, met: str, renewed: int) -> int:
    return row_checksum((last, nonces.hex(), met, renewed))
