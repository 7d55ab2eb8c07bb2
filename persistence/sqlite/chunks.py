"""The rows of snapshots: one for each snapshot that was begun, and its chunks, each with a checksum."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

from raft_actors.errors import StorageFailed
from raft_actors.persistence.sqlite.errors import corrupt
from raft_actors.raft.persistent_state import SnapshotMetadata


def insert_snapshot(connection: sqlite3.Connection, path: Path, metadata: SnapshotMetadata) -> int:
    """Give out a snapshot's id.

    Raises:
        StorageFailed: SQLite has none.
        sqlite3.Error: as it comes.
    """
    insert = "INSERT INTO snapshots (last_index, last_term) VALUES (?, ?)"
    snapshot_id = connection.execute(insert, (metadata.index, metadata.term)).lastrowid
    if snapshot_id is None:
        raise StorageFailed(f"{path}: SQLite gave no id to a snapshot")
    return snapshot_id


def insert_chunk(connection: sqlite3.Connection, snapshot_id: int, sequence: int, data: bytes) -> None:
    """Add a chunk to a snapshot; raises sqlite3.Error as it comes."""
    chunk_id = snapshot_id << 32 | sequence
    connection.execute("INSERT INTO chunks VALUES (?, ?, ?)", (chunk_id, _checksum(chunk_id, data), data))


def read_chunk(connection: sqlite3.Connection, path: Path, snapshot_id: int, sequence: int) -> bytes:
    """Read and check one chunk.

    Raises:
        StorageCorrupt: it is missing, or fails its checksum.
        sqlite3.Error: as it comes.
    """
    chunk_id = snapshot_id << 32 | sequence
    found = connection.execute("SELECT checksum, data FROM chunks WHERE chunk_id = ?", (chunk_id,)).fetchone()
    if found is None:
        raise corrupt(path, f"chunk {sequence} of snapshot {snapshot_id} is missing")
    checksum, data = found
    if not isinstance(data, bytes) or _checksum(chunk_id, data) != checksum:
        raise corrupt(path, f"chunk {sequence} of snapshot {snapshot_id} fails its checksum")
    return data


def _checksum(chunk_id: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(chunk_id.to_bytes(8, "big")))
