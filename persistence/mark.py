"""A small file beside the database that remembers how far the store got.

SQLite ends its recovery of a write-ahead log at the first frame that fails its checksum. After a crash that is the
frame that was being written. But one flipped bit in an earlier one looks the same, and drops every commit from there on
without a word: acknowledged entries, or a vote. Likewise a database file that was emptied, or exchanged for an old
copy, looks just like what it then is.

So the number of the last commit is also kept outside of both. It is written after a commit is durable, and never synced
on its own: what the file says is at most what the store must still hold, never more. After a crash of the process it
is short by the last few commits under load, after a loss of power by what the system had not yet written (some
seconds). Two slots take turns, so that one is whole whenever the other is being written.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import attrs

from raft_actors.persistence.files import SYSTEM, Files
from raft_actors.persistence.sqlite_errors import corrupt

_SLOT = struct.Struct(">8s16sQ")
_CHECKSUM = struct.Struct(">I")
_MAGIC = b"raftmark"
_SLOT_OFFSETS = (0, 4096)  # never in one sector


def mark_path(path: Path) -> Path:
    """Where the mark of the store in `path` is."""
    return path.with_name(path.name + "-mark")


@attrs.frozen
class MarkedCommit:
    """What a mark says: this store made this commit durable."""

    store_id: str
    commit_number: int


class Mark:
    """The open mark of a store."""

    def __init__(self, path: Path, files: Files = SYSTEM) -> None:
        """Open the mark of the store in `path`, or make one.

        Raises:
            OSError: as it comes.
        """
        self._file = files.open(mark_path(path))
        self._next_slot = 0

    def write(self, commit: MarkedCommit) -> None:
        """Note that `commit` is durable.

        Raises:
            OSError: as it comes.
        """
        data = _SLOT.pack(_MAGIC, commit.store_id.encode(), commit.commit_number)
        self._file.write_at(_SLOT_OFFSETS[self._next_slot], data + _CHECKSUM.pack(zlib.crc32(data)))
        self._next_slot = 1 - self._next_slot

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def read_mark(path: Path, files: Files = SYSTEM) -> MarkedCommit | None:
    """What the mark of the store in `path` says, or None where there is none that can be read.

    Raises:
        OSError: as it comes; not where the file is missing.
    """
    data = files.read(mark_path(path)) or b""
    found = [slot for offset in _SLOT_OFFSETS if (slot := _read_slot(data, offset)) is not None]
    return max(found, key=lambda commit: commit.commit_number, default=None)


def check_mark(path: Path, store_id: str | None, commit_number: int, files: Files = SYSTEM) -> None:
    """Compare what a store holds with what its mark says it must.

    Args:
        path: the store's.
        store_id: the store's own id; None: its file is there, but empty.
        commit_number: the last commit that the store holds.
        files: where the mark is.

    Raises:
        StorageCorrupt: commits are missing.
        OSError: as it comes.
    """
    marked = read_mark(path, files)
    if marked is None or marked.commit_number <= commit_number or store_id not in (marked.store_id, None):
        return
    raise corrupt(
        path,
        f"commits {commit_number + 1} to {marked.commit_number}, which were durable, are missing: the file, or the "
        f"write-ahead log beside it, was damaged or replaced (to start from it as it is, delete {mark_path(path)})",
    )


def _read_slot(data: bytes, offset: int) -> MarkedCommit | None:
    slot = data[offset : offset + _SLOT.size + _CHECKSUM.size]
    if len(slot) < _SLOT.size + _CHECKSUM.size or _CHECKSUM.pack(zlib.crc32(slot[: _SLOT.size])) != slot[_SLOT.size :]:
        return None
    _, store_id, commit_number = _SLOT.unpack_from(slot)
    return MarkedCommit(store_id.decode(), commit_number)
