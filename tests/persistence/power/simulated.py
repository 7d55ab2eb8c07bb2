"""The file system of one process on a simulated disk: what `SqliteStorage` is given in place of the real one.

SQLite reaches the disk through a VFS of APSW's. APSW brings an SQLite of its own, which Python's sqlite3 module knows
nothing of, so `SimulatedFiles.connect` returns a connection of APSW's that behaves like one of that module's, as far as
a store uses it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

import apsw
import attrs
from typing_extensions import override

from raft_actors.persistence.sqlite.files import Files, GrowingFile, PlainFile, SyncedFile
from raft_actors.persistence.sqlite.lock import StoreLock
from tests.persistence.power.disk import Disk, Event, Kind
from tests.persistence.power.disk_errors import DiskError, sqlite_error
from tests.persistence.power.plain_files import SimulatedGrowingFile, SimulatedPlainFile, SimulatedSyncedFile

_FOLDER = "/simulated"
_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
_serial = count()


class SimulatedFiles(Files):
    """One process's view of a disk, until it is killed. Hand it and its `path` to one `SqliteStorage`.

    Attributes:
        answered: called whenever a piece of work was done and whoever asked for it learns so.
    """

    def __init__(self, disk: Disk, answered: Callable[[], None] = lambda: None) -> None:
        self.disk = disk
        self.is_alive = True
        self.answered = answered
        serial = str(next(_serial))
        self.path = Path(_FOLDER, serial, "n1.db")
        self._connections: list[Connection] = []
        _VFS.processes[serial] = self

    def kill(self) -> None:
        """End the process: nothing that it does from here on reaches the disk."""
        self.is_alive = False
        for connection in self._connections:
            connection.close()

    def do(self, kind: Kind, name: str, file: int = 0, number: int = 0, data: bytes = b"") -> None:
        if self.is_alive:
            self.disk.do(Event(kind, name, file, number, data))

    def create(self, name: str) -> int:
        """The number of the file of that name, made where it is missing."""
        if name not in self.disk.shown.names:
            self.do(Kind.CREATE, name, self.disk.new_file())
        return self.disk.shown.names[name]

    def held(self, file: int) -> bytearray:
        return self.disk.shown.files[file]

    @override
    def lock(self, path: Path) -> StoreLock:
        return _NoLock()

    @override
    def connect(self, path: Path, vfs: str | None = None) -> sqlite3.Connection:
        try:
            connection = Connection(apsw.Connection(str(path), vfs=_VFS.vfs_name))
        except apsw.Error as error:
            raise _exception(error) from error
        self._connections.append(connection)
        return cast(sqlite3.Connection, connection)

    @override
    def exists(self, path: Path) -> bool:
        return path.name in self.disk.shown.names

    @override
    def remove(self, path: Path) -> None:
        if path.name not in self.disk.shown.names:
            return
        try:
            self.do(Kind.REMOVE, path.name)
        except DiskError as error:
            raise error.as_system() from error

    @override
    def read(self, path: Path) -> bytes | None:
        file = self.disk.shown.names.get(path.name)
        return None if file is None else bytes(self.held(file))

    @override
    def open(self, path: Path) -> PlainFile:
        try:
            return SimulatedPlainFile(self, path.name, self.create(path.name))
        except DiskError as error:
            raise error.as_system() from error

    @override
    def open_synced(self, path: Path) -> SyncedFile:
        try:
            return SimulatedSyncedFile(self, path.name, self.create(path.name))
        except DiskError as error:
            raise error.as_system() from error

    @override
    def open_growing(self, path: Path) -> GrowingFile:
        try:
            file = self.create(path.name)
            if self.held(file):
                self.do(Kind.TRUNCATE, path.name, file)
            return SimulatedGrowingFile(self, path.name, file)
        except DiskError as error:
            raise error.as_system() from error

    @override
    def remove_some(self, path: Path, most_bytes: int) -> bool:
        file = self.disk.shown.names.get(path.name)
        if file is not None and len(self.held(file)) > most_bytes:
            try:
                self.do(Kind.TRUNCATE, path.name, file, len(self.held(file)) - most_bytes)
            except DiskError as error:
                raise error.as_system() from error
            return False
        self.remove(path)
        return True

    @override
    def read_part(self, path: Path, offset: int, size: int) -> bytes | None:
        held = self.read(path)
        return None if held is None else held[offset : offset + size]

    @override
    def names(self, folder: Path, prefix: str) -> list[str]:
        return [name for name in self.disk.shown.names if name.startswith(prefix)]

    @override
    def make_durable(self, path: Path) -> None:
        file = self.disk.shown.names.get(path.name)
        if file is None or not self.held(file):
            return
        try:
            self.do(Kind.WRITE, path.name, file, 0, bytes(self.held(file)))
            self.do(Kind.SYNC, path.name, file)
        except DiskError as error:
            raise error.as_system() from error

    @override
    def lengthen(self, path: Path, size: int) -> None:
        file = self.disk.shown.names[path.name]
        before = len(self.held(file))
        if size <= before:
            return
        try:
            self.do(Kind.WRITE, path.name, file, before, bytes(size - before))
            self.do(Kind.SYNC, path.name, file)
        except DiskError as error:
            if not error.full:
                raise error.as_system() from error
            self.disk.happen(Event(Kind.TRUNCATE, path.name, file, before))

    @override
    def check_place(self, path: Path) -> None:
        pass  # the folder is there, and was synced

    @override
    def sync_folder(self, folder: Path) -> None:
        try:
            self.do(Kind.SYNC_FOLDER, "")
        except DiskError as error:
            raise error.as_system() from error


class _NoLock(StoreLock):
    """Nobody else is there."""

    def __init__(self) -> None:
        self.vfs = None

    @override
    def close(self) -> None:
        pass


# --- what stands for the sqlite3 module ------------------------------------------------------------------------------


def _exception(error: apsw.Error) -> sqlite3.Error:
    code = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
    kind = sqlite3.DatabaseError if code & 0xFF == apsw.SQLITE_NOTADB else sqlite3.OperationalError
    found = kind(str(error))
    found.sqlite_errorcode = code
    found.sqlite_errorname = str(apsw.mapping_extended_result_codes.get(code, code))
    return found


@attrs.define(eq=False)
class _Cursor:
    """A statement that has run to its end, and what it found."""

    rows: deque[Any]
    lastrowid: int
    rowcount: int

    def fetchone(self) -> Any:
        return self.rows.popleft() if self.rows else None

    def fetchall(self) -> list[Any]:
        found = list(self.rows)
        self.rows.clear()
        return found


class Connection:
    """A connection of APSW's as the sqlite3 module would have it."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.text_factory: object = str

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> _Cursor:
        connection = self._connection
        try:
            rows = deque(connection.execute(sql, tuple(parameters)))
        except apsw.Error as error:
            raise _exception(error) from error
        return _Cursor(rows, connection.last_insert_rowid(), connection.changes())

    def close(self) -> None:
        # SQLite closes in any case, and sqlite3 does not tell what went wrong; APSW does.
        with contextlib.suppress(apsw.Error):
            self._connection.close(True)


# --- what stands for the system, below SQLite ------------------------------------------------------------------------


class _File:
    """One file that SQLite has open."""

    def __init__(self, files: SimulatedFiles, name: str, file: int, *, is_journal: bool) -> None:
        self._files, self._name, self._file = files, name, file
        self._name_is_to_sync = is_journal

    def _do(self, kind: Kind, number: int = 0, data: bytes = b"") -> None:
        try:
            self._files.do(kind, self._name, self._file, number, data)
        except DiskError as error:
            raise error.as_sqlite() from error

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._files.held(self._file)[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._do(Kind.WRITE, offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._do(Kind.TRUNCATE, size)

    def xSync(self, _: int) -> None:  # noqa: N802
        self._do(Kind.SYNC)
        if self._name_is_to_sync:
            self._name_is_to_sync = False
            with contextlib.suppress(DiskError):  # SQLite does not look whether syncing a folder fails
                self._files.do(Kind.SYNC_NAME, self._name)

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._files.held(self._file))

    def xLock(self, _: int) -> None:  # noqa: N802
        if not self._files.is_alive:  # spares the work of closing what nobody sees again
            raise sqlite_error(apsw.BusyError, apsw.SQLITE_BUSY)

    def xUnlock(self, _: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, *_: object) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE  # as SQLite takes every disk for, where it is not told otherwise

    def xClose(self) -> None:  # noqa: N802
        pass


class _System(apsw.VFS):
    vfs_name = "raft-simulated"

    def __init__(self) -> None:
        super().__init__(self.vfs_name, base="")
        self.processes: weakref.WeakValueDictionary[str, SimulatedFiles] = weakref.WeakValueDictionary()

    def _find(self, path: str) -> tuple[SimulatedFiles, str]:
        _, _, serial, name = path.split("/")
        return self.processes[serial], name

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        files, name = self._find(path)
        flags[1] = flags[0]
        try:
            file = files.create(name)
        except DiskError as error:
            raise error.as_sqlite() from error
        return _File(files, name, file, is_journal=bool(flags[0] & _JOURNALS))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        files, name = self._find(filename)
        if name not in files.disk.shown.names:
            raise sqlite_error(apsw.IOError, apsw.SQLITE_IOERR_DELETE_NOENT)
        try:
            files.do(Kind.REMOVE, name)
        except DiskError as error:
            raise error.as_sqlite() from error

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        files, name = self._find(pathname)
        return name in files.disk.shown.names

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802
        return os.urandom(numbytes)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802
        return microseconds

    def xCurrentTime(self) -> float:  # noqa: N802
        return 2_460_000.5

    def xGetLastError(self) -> tuple[int, str]:  # noqa: N802
        return 0, ""

    def excepthook(self, etype: object, evalue: object, etraceback: object) -> bool:
        """Says that all is well: an error where SQLite asks for none is one that it ignores."""
        return True


_VFS = _System()
