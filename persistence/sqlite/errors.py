"""Turns what the sqlite3 module raises into this library's errors, each naming the file and the remedy."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from raft_actors.errors import (
    InternalError,
    RaftError,
    StorageCorrupt,
    StorageError,
    StorageFailed,
    StorageFull,
    StorageMismatch,
    StorageReadOnly,
)
from raft_actors.persistence.sqlite.files import is_there, why_inaccessible
from raft_actors.persistence.sqlite.lock import locked

# An older store, or an empty one, under the same id would break what the node has promised, unless the others agree to
# take it for another member: see docs/guarantees.md.
_RESTORE = (
    "put this node's files back as they were when it last stopped (older ones have forgotten what it promised). Where "
    "they are lost, put what is left of them aside, and have it join again on an empty store, as a new member: remove "
    "it (raft-actors remove), and start it with --join; or start it with rejoin_if_wiped (--rejoin-if-wiped)"
)
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FORMAT}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_REFUSED = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN}
# Extended codes of SQLITE_IOERR that are about what the disk holds; not all builds of Python name them.
_IOERR_DATA = sqlite3.SQLITE_IOERR | (32 << 8)
_IOERR_CORRUPTFS = sqlite3.SQLITE_IOERR | (33 << 8)


def corrupt(path: Path, finding: str) -> StorageCorrupt:
    """The error for a store whose contents can't be what was written."""
    return StorageCorrupt(f"{path}: {finding}: {_RESTORE}")


def no_store(path: Path, what: str) -> StorageMismatch:
    """The error for a file that no version of this library made."""
    return StorageMismatch(f"{path} is no node's store, but {what}: name another file")


def read_only(path: Path, error: OSError | None = None) -> StorageReadOnly:
    """The error for a store, or a folder, that this process can't write. `error`: the system's, if it is known."""
    return StorageReadOnly(f"{path}: {why_inaccessible(*_places(path), error=error)}")


def full(path: Path) -> StorageFull:
    """The error for a disk or quota without room."""
    return StorageFull(f"{path}: the disk or a quota is full: free some room, then start the node again")


def storage_error(path: Path, doing: str, error: Exception) -> RaftError:
    """The error to raise for what the sqlite3 module (or the system) raised while `doing` something to `path`.

    Returns:
        A `StorageError` of the fitting kind; an `InternalError` where the statement itself was wrong.
    """
    if isinstance(error, OSError):
        return _os_error(path, doing, error)
    if isinstance(error, UnicodeDecodeError):  # in SQLite's own message, which quotes the damaged name of a table
        return corrupt(path, f"its tables have no readable names, met while {doing}")
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:  # the sqlite3 module's own complaint about how we use it
        return InternalError(f"{path}: {error!r} while {doing}")
    code = extended & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return _no_database(path)
    if code in _CORRUPT or extended in (_IOERR_DATA, _IOERR_CORRUPTFS):
        return corrupt(path, f"SQLite reports “{error}”, met while {doing}")
    if code in _REFUSED:
        # Our statements are constant: where one is refused, the tables are not the ones we made.
        return corrupt(path, f"its tables are not as this library makes them ({error}), met while {doing}")
    if code in _LOCKED:
        return locked(path)
    return _unwritable(path, extended) or _failed(
        path, doing, f"{error} ({getattr(error, 'sqlite_errorname', extended)})"
    )


def _no_database(path: Path) -> StorageError:
    if is_there(path.with_name(path.name + "-mark")):  # nobody else makes one
        return corrupt(path, "its header is damaged: it is no SQLite database any more")
    return no_store(path, "no SQLite database")


def _unwritable(path: Path, extended: int) -> StorageError | None:
    code = extended & 0xFF
    # A file that could only be opened for reading can't be locked for writing either.
    if (code in _READ_ONLY or extended == sqlite3.SQLITE_IOERR_LOCK) and not _writable(path):
        return read_only(path)
    if extended == sqlite3.SQLITE_READONLY:
        return corrupt(path, "by its header this version of SQLite may read it and not write it")
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_room(path)):
        return full(path)
    return None


def _os_error(path: Path, doing: str, error: OSError) -> StorageError:
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return read_only(path, error)
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return full(path)
    return _failed(path, doing, str(error))


def _failed(path: Path, doing: str, text: str) -> StorageFailed:
    return StorageFailed(f"{path}: {text}, met while {doing}: see the system's log about the disk, then start again")


def _no_room(path: Path) -> bool:
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except (OSError, AttributeError):  # gone, or a system without statvfs
        return False


def _writable(path: Path) -> bool:
    return all(os.access(place, os.W_OK) for place in _places(path) if is_there(place))


def _places(path: Path) -> tuple[Path, ...]:
    return (path.parent, path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-mark")))
