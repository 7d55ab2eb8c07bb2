"""The chunks of a stored snapshot: where each lies, and reading them.

They lie one after the other in a plain file of the snapshot's own, and its row in `snapshots` has their sizes and
checksums. Up to schema version 4 they were rows of the table `chunks`; a snapshot from then is read from there until
the next one takes its place.
"""

from __future__ import annotations

import contextlib
import glob
import sqlite3
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from typing_extensions import override

from raft_actors.persistence.sqlite.errors import corrupt
from raft_actors.persistence.sqlite.files import Files
from raft_actors.records import frozen

_SUFFIX = "-snapshot-"
_CHUNK = struct.Struct(">II")  # size in bytes, checksum
_CHECKSUM = struct.Struct(">I")


def snapshot_path(path: Path, snapshot_id: int) -> Path:
    """Where the chunks of the snapshot of this id are, of the store in `path`."""
    return path.with_name(f"{path.name}{_SUFFIX}{snapshot_id}")


def snapshot_ids(path: Path, files: Files) -> list[int]:
    """The ids of all snapshots that have a file beside the store in `path`.

    Raises:
        OSError: as it comes.
    """
    names = files.names(path.parent, path.name + _SUFFIX)
    return [int(digits) for name in names if (digits := name.rpartition(_SUFFIX)[2]).isdecimal()]


def snapshot_file_bytes(path: Path) -> int:
    """Size of all files of snapshots of the store in `path`."""
    total = 0
    for file in path.parent.glob(f"{glob.escape(path.name)}{_SUFFIX}*"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            total += file.stat().st_size
    return total


def checksum(snapshot_id: int, sequence: int, data: bytes) -> int:
    """Of one chunk, which is then none of another snapshot or place."""
    return zlib.crc32(data, zlib.crc32((snapshot_id << 32 | sequence).to_bytes(8, "big")))


def pack_index(snapshot_id: int, chunks: Sequence[tuple[int, int]]) -> bytes:
    """What the row of a snapshot whose chunks are of these sizes and checksums says of them."""
    packed = b"".join([_CHUNK.pack(*chunk) for chunk in chunks])
    return packed + _CHECKSUM.pack(_index_checksum(snapshot_id, packed))


def _index_checksum(snapshot_id: int, packed: bytes) -> int:
    return zlib.crc32(packed, zlib.crc32(snapshot_id.to_bytes(8, "big")))


class StoredChunks(ABC):
    """The chunks of one snapshot."""

    @abstractmethod
    def read(self, sequence: int) -> bytes:
        """Read and check one chunk.

        Raises:
            StorageCorrupt: it is missing, or fails its checksum.
            OSError, sqlite3.Error: as they come.
        """

    def read_some(self, numbers: range, most_bytes: int) -> list[bytes]:
        """Read and check chunks of these numbers, at least one, until they have so many bytes.

        Raises what `read` does.
        """
        chunks: list[bytes] = []
        size = 0
        for sequence in numbers:
            chunks.append(self.read(sequence))
            size += len(chunks[-1])
            if size >= most_bytes:
                break
        return chunks


def open_chunks(connection: sqlite3.Connection, path: Path, files: Files, snapshot_id: int) -> StoredChunks:
    """The chunks of a snapshot of the store in `path`, of any schema version.

    Raises:
        StorageCorrupt: what says where they are is missing, or damaged.
        sqlite3.Error: as it comes.
    """
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(snapshots)").fetchall()]
    if "chunk_index" not in columns:
        return _ChunkRows(connection, path, snapshot_id)
    select = "SELECT chunk_index FROM snapshots WHERE snapshot_id = ?"
    found = connection.execute(select, (snapshot_id,)).fetchone()
    if found is None:
        raise corrupt(path, f"the row of snapshot {snapshot_id} is missing")
    (index,) = found
    if index is None:
        return _ChunkRows(connection, path, snapshot_id)
    packed = index[: -_CHECKSUM.size] if isinstance(index, bytes) else b""
    if index != packed + _CHECKSUM.pack(_index_checksum(snapshot_id, packed)) or len(packed) % _CHUNK.size:
        raise corrupt(path, f"the list of the chunks of snapshot {snapshot_id} fails its checksum")
    chunks = list(_CHUNK.iter_unpack(packed))
    offsets = list(accumulate((size for size, _ in chunks), initial=0))
    return _ChunkFile(path, files, snapshot_id, chunks, offsets)


@frozen
class _ChunkFile(StoredChunks):
    path: Path
    files: Files
    snapshot_id: int
    chunks: list[tuple[int, int]]
    offsets: list[int]

    @override
    def read(self, sequence: int) -> bytes:
        return self.read_some(range(sequence, sequence + 1), 1)[0]

    @override
    def read_some(self, numbers: range, most_bytes: int) -> list[bytes]:
        # All with one read: beside a thread that computes, each system call waits for a turn of the GIL.
        name, offsets = snapshot_path(self.path, self.snapshot_id), self.offsets
        if numbers[-1] >= len(self.chunks):
            raise corrupt(self.path, f"chunk {numbers[-1]} of snapshot {self.snapshot_id} is missing")
        first = numbers[0]
        last = next((number for number in numbers if offsets[number + 1] - offsets[first] >= most_bytes), numbers[-1])
        size = offsets[last + 1] - offsets[first]
        found = self.files.read_part(name, offsets[first], size)
        if found is None or len(found) != size:
            raise corrupt(self.path, f"{size:,} bytes of {name.name} at {offsets[first]:,} are missing")
        start = offsets[first]
        return [self._checked(number, name, found, offsets[number] - start) for number in range(first, last + 1)]

    def _checked(self, sequence: int, name: Path, found: bytes, start: int) -> bytes:
        size, expected = self.chunks[sequence]
        chunk = found[start : start + size]
        if checksum(self.snapshot_id, sequence, chunk) != expected:
            raise corrupt(self.path, f"chunk {sequence} in {name.name} fails its checksum")
        return chunk


@frozen
class _ChunkRows(StoredChunks):
    connection: sqlite3.Connection
    path: Path
    snapshot_id: int

    @override
    def read(self, sequence: int) -> bytes:
        select = "SELECT checksum, data FROM chunks WHERE chunk_id = ?"
        found = self.connection.execute(select, (self.snapshot_id << 32 | sequence,)).fetchone()
        if found is None:
            raise corrupt(self.path, f"chunk {sequence} of snapshot {self.snapshot_id} is missing")
        expected, data = found
        if not isinstance(data, bytes) or checksum(self.snapshot_id, sequence, data) != expected:
            raise corrupt(self.path, f"chunk {sequence} of snapshot {self.snapshot_id} fails its checksum")
        return data
