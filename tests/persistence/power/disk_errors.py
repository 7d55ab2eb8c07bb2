"""Errors of a simulated disk, as its hook raises them, and as SQLite and the system tell of them."""

from __future__ import annotations

import errno
import os

import apsw

from tests.persistence.power.disk import Kind

_ERROR_CODES = {
    Kind.WRITE: apsw.SQLITE_IOERR_WRITE,
    Kind.SYNC: apsw.SQLITE_IOERR_FSYNC,
    Kind.TRUNCATE: apsw.SQLITE_IOERR_TRUNCATE,
    Kind.REMOVE: apsw.SQLITE_IOERR_DELETE,
}


class DiskError(Exception):
    """What the hook of a disk raises to have an event fail: for lack of room, or not."""

    def __init__(self, kind: Kind, *, full: bool = False) -> None:
        super().__init__(f"injected: {kind.value} failed{' (full)' if full else ''}")
        self.kind = kind
        self.full = full

    def as_sqlite(self) -> apsw.Error:
        if self.full:
            return sqlite_error(apsw.FullError, apsw.SQLITE_FULL, str(self))
        if self.kind is Kind.CREATE:
            return sqlite_error(apsw.CantOpenError, apsw.SQLITE_CANTOPEN, str(self))
        return sqlite_error(apsw.IOError, _ERROR_CODES[self.kind], str(self))

    def as_system(self) -> OSError:
        number = errno.ENOSPC if self.full else errno.EIO
        return OSError(number, os.strerror(number))


def sqlite_error(kind: type[apsw.Error], code: int, text: str = "") -> apsw.Error:
    """An error as APSW raises it, of this code."""
    error = kind(text)
    setattr(error, "extendedresult", code)  # noqa: B010 - APSW's type stubs know it as one to be read
    return error
