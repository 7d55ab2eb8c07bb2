"""The chunks of a snapshot: how one is read and checked."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

from raft_actors.persistence.sqlite_errors import corrupt


def read(connection: sqlite3.Connection, path: Path, snapshot_id: int, sequence: int) -> bytes:
    """Read and check one chunk."""
    chunk_id = snapshot_id << 32 | sequence
    found = connection.execute("SELECT checksum, data FROM chunks WHERE chunk_id = ?", (chunk_id,)).fetchone()
    if found is None:
        raise corrupt(path, f"chunk {sequence} of snapshot {snapshot_id} is missing")
    stored, data = found
    if not isinstance(data, bytes) or checksum(chunk_id, data) != stored:
        raise corrupt(path, f"chunk {sequence} of snapshot {snapshot_id} fails its checksum")
    return data


def checksum(chunk_id: int, data: bytes) -> int:
    """Covers where the chunk belongs, too."""
    return zlib.crc32(data, zlib.crc32(chunk_id.to_bytes(8, "big")))
