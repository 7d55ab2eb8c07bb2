"""Who may open a store: one storage of one process, for as long as it has it open.

SQLite's own locks do not suffice. They are POSIX locks, which belong to the process: when anything in it opens the
database and closes it again (a backup, a checksum, `inspect_store`), they are gone without a word. A second node then
opens the store, or a stranger's `sqlite3` does, moves the write-ahead log, and deletes it in front of the node that
goes on writing to it.

So two locks are held from before SQLite opens the database until after it has closed it; each belongs to a descriptor
of its own, and no other's close drops it:

- `flock` on the file `…-lock` beside the database. Other nodes look there first. Every system but Windows has it, where
  SQLite's own locks belong to a handle and need no help.
- On Linux, an *open file description lock* (`F_OFD_SETLK`) on the bytes of the database where every SQLite takes its
  locks. It meets POSIX locks as those meet each other, of this process too: a stranger gets "database is locked". It
  would meet those of our own connection as well, so that takes none (`vfs=unix-none`; with `locking_mode=EXCLUSIVE` it
  needs no index of the log in shared memory, the other thing that it would lock).

What each way keeps out once the process has read its own file: SQLite's locks alone, nobody; a second connection
of SQLite's in this process, nobody (it shares the locks that are lost); `vfs=unix-excl`, nobody (POSIX locks too);
`flock` alone, nodes but no strangers; both, every node and every SQLite that locks. What is left is who asks SQLite not
to lock (`immutable=1`, which only reads, or `unix-none` in exclusive mode), who removes files by hand, and outside of
Linux a stranger after an in-process read.

A child of `os.fork` shares the locks of its parent, and would keep them after it: there they are let go of.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
import weakref
from pathlib import Path

from raft_actors.errors import StorageLocked

if sys.platform != "win32":
    import fcntl

# Where every SQLite locks a database: its bytes "pending", "reserved", and 510 for those who share.
_FIRST_BYTE, _BYTES = 0x40000000, 512
_LOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, pid
_HELD_BY_OTHERS = {errno.EAGAIN, errno.EACCES}
_NO_SUCH_LOCKS = {errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


def lock_path(path: Path) -> Path:
    """Where the lock file of the store in `path` is, while somebody has it open."""
    return path.with_name(path.name + "-lock")


def locked(path: Path, process: int | None = None) -> StorageLocked:
    """The error for a store that somebody else has open: this process, if that is known."""
    if process == os.getpid():
        return StorageLocked(f"{path} is open by another node of this process: close that first")
    who = "" if process is None else f" ({process})"
    return StorageLocked(f"{path} is open in another process{who}, or by another node of this one: close that first")


class StoreLock:
    """A store that is taken: no other process, and no other storage of this one, opens it until `close`.

    Attributes:
        vfs: the file system layer that SQLite must be told to use for it; None: its own choice.
    """

    def __init__(self, path: Path) -> None:
        """Take the store in `path`; its file is made, empty, where it is missing.

        Raises:
            StorageLocked: somebody has it.
            OSError: as it comes.
        """
        self.vfs: str | None = None
        self._path = path
        self._file: int | None = None
        self._database: int | None = None
        try:
            self._file = _lock_file(path)
            if sys.platform == "linux":
                self._database = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                if _lock_database(path, self._database, fcntl.F_WRLCK):
                    self.vfs = "unix-none"
        except BaseException:
            self.close()
            raise
        _taken.add(self)

    def close(self) -> None:
        """Let others take it. May be called again."""
        file, self._file = self._file, None
        database, self._database = self._database, None
        if database is not None:
            os.close(database)
        if file is not None:
            with contextlib.suppress(OSError):
                if _is_at(file, lock_path(self._path)):
                    lock_path(self._path).unlink()  # before it is unlocked: whoever takes it looks again, see below
            os.close(file)

    def forget(self) -> None:
        """In a child of `os.fork`: let go of what is the parent's."""
        for descriptor in (self._file, self._database):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._database = None


class ReadLock:
    """A store that nobody opens while it is looked at. Makes no file and writes nothing."""

    def __init__(self, path: Path) -> None:
        """Keep the store in `path` from being opened, as far as the system can.

        Raises:
            StorageLocked: somebody has it open.
            OSError: as it comes.
        """
        self._descriptors: list[int] = []
        try:
            self._take(path)
        except BaseException:
            self.close()
            raise

    def _take(self, path: Path) -> None:
        if sys.platform == "win32":
            return
        # First the file beside it: where that is locked, to open and close the database could drop a node's own locks.
        with contextlib.suppress(FileNotFoundError):
            self._descriptors.append(file := os.open(lock_path(path), os.O_RDONLY))
            _flock(path, file, fcntl.LOCK_SH)
        if sys.platform == "linux":
            self._descriptors.append(database := os.open(path, os.O_RDONLY))
            _lock_database(path, database, fcntl.F_RDLCK)

    def close(self) -> None:
        """Let it be opened again. May be called again."""
        while self._descriptors:
            os.close(self._descriptors.pop())


if sys.platform == "win32":

    def _lock_file(path: Path) -> int | None:
        return None

else:

    def _lock_file(path: Path) -> int | None:
        """Make and lock the file beside the store; it says whose process has it."""
        name = lock_path(path)
        while True:
            file = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                _flock(path, file, fcntl.LOCK_EX)
                if _is_at(file, name):  # else whoever had it has just removed it, and ours is no lock at all
                    with contextlib.suppress(OSError):  # a full disk; it is said for people only
                        os.ftruncate(file, 0)
                        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _flock(path: Path, file: int, kind: int) -> None:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD_BY_OTHERS:
                raise locked(path, _holder(path)) from error
            raise

    def _holder(path: Path) -> int | None:
        try:
            return int(lock_path(path).read_text())
        except (OSError, ValueError):
            return None


if sys.platform == "linux":

    def _lock_database(path: Path, database: int, kind: int) -> bool:
        """Whether the system has such locks for this file."""
        try:
            fcntl.fcntl(database, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, _FIRST_BYTE, _BYTES, 0))
        except OSError as error:
            if error.errno in _HELD_BY_OTHERS:
                raise locked(path, _holder(path)) from error
            if error.errno in _NO_SUCH_LOCKS:
                return False
            raise
        return True


def _is_at(file: int, name: Path) -> bool:
    """Whether an open file is the one of this name."""
    try:
        return os.path.samestat(os.fstat(file), name.stat())
    except FileNotFoundError:
        return False


# By every fork of the process, so they must be found from here.
_taken: weakref.WeakSet[StoreLock] = weakref.WeakSet()


def _forget_taken() -> None:
    for lock in list(_taken):
        lock.forget()
    _taken.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_taken)
