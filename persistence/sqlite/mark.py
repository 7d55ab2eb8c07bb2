"""A small file beside the database that remembers how far the store got.

SQLite ends its recovery of a write-ahead log at the first frame that fails its checksum. After a crash that is the
frame that was being written. But one flipped bit in an earlier one looks the same, and drops every commit from there on
without a word: acknowledged entries, or a vote. Likewise a database file that was emptied, or exchanged for an old
copy, looks just like what it then is.

And a log that was moved to the database, but not yet begun anew, lays older pages over newer ones if it ends too soon:
parts of one commit, parts of another.

So the number of the last commit is also kept outside of both, with what tells a part of it from the whole: which commit
changed the store's row last, and where the log ends. It is written after a commit is durable, and never synced on its
own: what the file says is at most what the store must still hold, never more. After a crash of the process it is short
by the last few commits under load, but by none of those in the database itself; after a loss of power by what the
system had not yet written (some seconds). Two slots take turns, so that one is whole whenever the other is being
written.

Beside that number stands how far the log was committed, as far as the node knew when it asked for that commit (or for
an earlier one). It speaks of entries that this commit, or one before, made durable, so it holds for every store that
`check_mark` lets pass: one that ends with this commit or a later one. Written before the commit was durable, it could
speak of entries that a leader had replaced in memory while the disk still held the old ones.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from raft_actors.persistence.sqlite.errors import corrupt
from raft_actors.persistence.sqlite.files import SYSTEM, Files
from raft_actors.records import frozen

_SLOT = struct.Struct(">8s16sQQQQ")
_CHECKSUM = struct.Struct(">I")
_MAGIC = b"raftmrk2"
_SLOT_OFFSETS = (0, 4096)  # never in one sector


def mark_path(path: Path) -> Path:
    """Where the mark of the store in `path` is."""
    return path.with_name(path.name + "-mark")


@frozen
class MarkedCommit:
    """What a mark says: this store made this commit durable.

    Attributes:
        store_id: the store's own.
        commit_number: the commit's.
        row_number: of the last commit so far that changed the store's row (term, vote, a cut log or a snapshot).
        last_index: where the log ends since this commit.
        commit_index: entries up to here are committed in Raft's sense; 0 where nothing is known of that.
    """

    store_id: str
    commit_number: int
    row_number: int
    last_index: int
    commit_index: int = 0


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
        numbers = commit.commit_number, commit.row_number, commit.last_index, commit.commit_index
        data = _SLOT.pack(_MAGIC, commit.store_id.encode(), *numbers)
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
    return max(found, key=lambda commit: (commit.commit_number, commit.commit_index), default=None)


def forget_removed(path: Path, files: Files) -> None:
    """Before a store is made where there is none: remove the mark of one that somebody removed, durably, lest it come
    back after a crash, and speak against the new one.

    Raises:
        OSError: as it comes.
    """
    files.remove(mark_path(path))
    files.sync_folder(path.parent)


def check_mark(path: Path, held: MarkedCommit | None, files: Files = SYSTEM) -> int:
    """Compare what a store holds with what its mark says it must; returns the commit index that the mark tells, 0 where
    there is none, or it is another store's.

    Args:
        path: the store's.
        held: its last commit; None: its file is there, but empty.
        files: where the mark is.

    Raises:
        StorageCorrupt: commits, or parts of them, are missing.
        OSError: as it comes.
    """
    marked = read_mark(path, files)
    if marked is None or (held is not None and held.store_id != marked.store_id):
        return 0
    number = 0 if held is None else held.commit_number
    if number < marked.commit_number:
        missing = f"commits {number + 1} to {marked.commit_number}, which were durable, are missing"
    elif held is not None and (
        held.row_number < marked.row_number or (number == marked.commit_number and held.last_index != marked.last_index)
    ):
        missing = f"of commits up to {marked.commit_number}, which were durable, parts are missing"
    else:
        return marked.commit_index
    raise corrupt(
        path,
        f"{missing} (says {mark_path(path).name}): the file, or the write-ahead log beside it, was damaged or replaced",
    )


def _read_slot(data: bytes, offset: int) -> MarkedCommit | None:
    slot, checksum = data[offset:][: _SLOT.size], data[offset + _SLOT.size :][: _CHECKSUM.size]
    if not slot.startswith(_MAGIC) or len(slot) < _SLOT.size or _CHECKSUM.pack(zlib.crc32(slot)) != checksum:
        return None
    _, store_id, *numbers = _SLOT.unpack(slot)
    try:
        return MarkedCommit(store_id.decode(), *numbers)
    except UnicodeDecodeError:  # nothing of ours, though its checksum is right
        return None
