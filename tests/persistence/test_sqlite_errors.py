"""Each kind of failure gets its own error, which names the file and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from raft_actors.errors import (
    InternalError,
    RaftError,
    StorageCorrupt,
    StorageFailed,
    StorageFull,
    StorageLocked,
    StorageMismatch,
    StorageReadOnly,
)
from raft_actors.persistence.sqlite.errors import storage_error


def sqlite_error(code: int, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    error = kind("as SQLite says")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "NAME"
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (sqlite_error(sqlite3.SQLITE_BUSY), StorageLocked),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), StorageLocked),
        (sqlite_error(sqlite3.SQLITE_LOCKED), StorageLocked),
        (sqlite_error(sqlite3.SQLITE_FULL), StorageFull),
        (sqlite_error(sqlite3.SQLITE_CORRUPT, sqlite3.DatabaseError), StorageCorrupt),
        (sqlite_error(sqlite3.SQLITE_CORRUPT_INDEX, sqlite3.DatabaseError), StorageCorrupt),
        (sqlite_error(sqlite3.SQLITE_NOTADB, sqlite3.DatabaseError), StorageMismatch),
        (sqlite_error(sqlite3.SQLITE_IOERR | 33 << 8), StorageCorrupt),
        (sqlite_error(sqlite3.SQLITE_ERROR), StorageCorrupt),
        (sqlite_error(sqlite3.SQLITE_READONLY), StorageCorrupt),  # of a file that may be written
        (sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED), StorageFailed),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), StorageFailed),
        (sqlite_error(sqlite3.SQLITE_IOERR_WRITE), StorageFailed),
        (sqlite_error(sqlite3.SQLITE_TOOBIG, sqlite3.DataError), StorageFailed),
        (OSError(errno.ENOSPC, "no room"), StorageFull),
        (OSError(errno.EROFS, "read-only"), StorageReadOnly),
        (PermissionError(errno.EPERM, "not you"), StorageReadOnly),
        (NotADirectoryError(errno.ENOTDIR, "a file"), StorageFailed),
        (sqlite3.ProgrammingError("misuse"), InternalError),
        (OverflowError("too large"), InternalError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or f"{value!r}{getattr(value, 'sqlite_errorcode', '')}",
)
def test_every_kind(tmp_path: Path, error: Exception, expected: type[RaftError]) -> None:
    path = tmp_path / "n1.db"
    found = storage_error(path, "trying", error)
    assert type(found) is expected
    assert str(path) in str(found)
    if expected is StorageFailed:
        assert "trying" in str(found)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_LOCK])
@pytest.mark.parametrize("which", ["n1.db", "n1.db-wal", "."])
def test_what_may_not_be_written_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, which: str
) -> None:
    for name in ("n1.db", "n1.db-wal"):
        (tmp_path / name).touch()
    monkeypatch.setattr(os, "access", lambda name, mode: name != tmp_path / which)
    error = storage_error(tmp_path / "n1.db", "trying", sqlite_error(code))
    assert type(error) is StorageReadOnly
    assert f" may not read and write {tmp_path / which}: change its owner or mode" in str(error)


def test_a_denied_permission_is_no_read_only_disk(tmp_path: Path) -> None:
    path = tmp_path / "n1.db"
    for number, said in (
        (errno.EACCES, "permission denied: "),
        (errno.EPERM, "permission denied: "),
        (errno.EROFS, f"the file system of {tmp_path} is read-only: mount it for writing"),
    ):
        error = storage_error(path, "trying", OSError(number, os.strerror(number)))
        assert type(error) is StorageReadOnly
        assert said in str(error)
        assert ("read-only" in str(error)) == (number == errno.EROFS)


def test_room_is_not_asked_for_where_that_is_not_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "statvfs")
    assert type(storage_error(tmp_path / "n1.db", "trying", sqlite_error(sqlite3.SQLITE_IOERR))) is StorageFailed
