"""All that a store does to the file system: the one place to put another file system in its stead.

SQLite's part goes through the connection that `Files.connect` makes. The rest is little: the store's folder must be
there and synced, and the mark, segments and snapshots (see there) are plain files. Tests that cut the power hand
`SqliteStorage` a subclass.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from raft_actors.errors import StorageFailed
from raft_actors.persistence.sqlite.lock import StoreLock

if sys.platform == "darwin":
    import fcntl

#: The numbers of the errors that say that a disk or a quota is full.
NO_ROOM: set[int] = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}

_PIECE_BYTES = 1024 * 1024

_WRITE_THROUGH = getattr(os, "RWF_DSYNC", 0)  # Linux
_NO_SUCH_FLAG = {errno.EOPNOTSUPP, errno.ENOSYS}
_MOST_PARTS = 1000  # of one write; systems take 1024


class PlainFile:
    """An open file that is written in place and never synced."""

    def __init__(self, path: Path) -> None:
        """Open the file `path`, or make an empty one.

        Raises:
            OSError: as it comes.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)

    def write_at(self, offset: int, data: bytes) -> None:
        """Write `data` from byte `offset` on.

        Raises:
            OSError: as it comes.
        """
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        os.write(self._descriptor, data)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class SyncedFile:
    """An open file of which all that is written is durable when the call returns."""

    def __init__(self, path: Path) -> None:
        """Open the file `path`, or make an empty one, whose name is not durable yet.

        Raises:
            OSError: as it comes.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        self._write_through = _WRITE_THROUGH

    def write_at(self, offset: int, parts: Sequence[bytes]) -> None:
        """Write the parts, one after the other, from byte `offset` on.

        Raises:
            OSError: as it comes; what is written then is unknown.
        """
        size = sum(map(len, parts))
        if self._write_through and len(parts) <= _MOST_PARTS:
            try:
                # One system call, one turn of the GIL.
                if os.pwritev(self._descriptor, parts, offset, self._write_through) == size:
                    return
            except OSError as error:
                if error.errno not in _NO_SUCH_FLAG:
                    raise
                self._write_through = 0  # this file system knows no such thing
        self._write_all(offset, memoryview(b"".join(parts)))
        _sync(self._descriptor)

    def _write_all(self, offset: int, data: memoryview) -> None:
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class GrowingFile:
    """A new file that is written from front to back, and durable as far as it was synced. Others may not read it."""

    def __init__(self, path: Path) -> None:
        """Make the file `path`, whose name is not durable yet; what was in it is gone.

        Raises:
            OSError: as it comes.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o600)

    def append(self, data: bytes) -> None:
        """Write `data` behind what was written before.

        Raises:
            OSError: as it comes.
        """
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def sync(self) -> None:
        """Make durable what was written.

        Raises:
            OSError: as it comes; what is durable then is unknown.
        """
        _sync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync alone stops at the drive's cache there
    elif hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder, as far as this process may know."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def why_inaccessible(*paths: Path, error: OSError | None = None) -> str:
    """Why files or folders can't be read and written, and the remedy. Those that are missing are passed over.

    Args:
        paths: a folder before what it holds.
        error: what the system said, if it said anything.
    """
    there = [path for path in paths if is_there(path)]
    mounted = [path for path in there if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY]
    if mounted or (error is not None and error.errno == errno.EROFS):
        return f"the file system of {(mounted or there or paths)[0]} is read-only: mount it for writing"
    user = f"user {os.geteuid()}" if hasattr(os, "geteuid") else "this user"
    denied = next((path for path in there if not _may_use(path)), None)
    what = "it" if denied is None else str(denied)  # None: a folder above, an attribute, or a rule of the system's
    return f"permission denied: {user} may not read and write {what}: change its owner or mode, or the user"


def _may_use(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0))


def followed(path: Path) -> Path:
    """The file itself, where `path` is a symbolic link: SQLite's log lies beside that, and so must all the rest.

    Raises:
        StorageFailed: the link leads round and round.
    """
    try:
        if not path.is_symlink():
            return path
        path.stat()
    except FileNotFoundError:
        pass  # the target is still to be made
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StorageFailed(f"{path} is a symbolic link that leads back to itself: name a file") from error
        return path  # whoever opens it meets the same, and says what it is
    return Path(os.path.realpath(path))


class Files:
    """The file system as it is. Every method raises OSError as it comes, `connect` sqlite3.Error."""

    def lock(self, path: Path) -> StoreLock:
        """Take the store in `path`, whose file is made where it is missing, and keep everybody else out.

        Raises:
            StorageLocked: somebody has it.
        """
        return StoreLock(path)

    def connect(self, path: Path, vfs: str | None = None) -> sqlite3.Connection:
        """Open the database `path` by one of SQLite's layers; it commits nothing on its own and waits for no lock."""
        name = path.as_uri() + (f"?vfs={vfs}" if vfs else "")
        return sqlite3.connect(name, uri=True, timeout=0, isolation_level=None)

    def exists(self, path: Path) -> bool:
        """Whether there is such a file."""
        return path.exists()

    def remove(self, path: Path) -> None:
        """Delete a file, if it is there."""
        path.unlink(missing_ok=True)

    def remove_some(self, path: Path, most_bytes: int) -> bool:
        """Delete a file, if it is there; of a longer one that many bytes from its end. Returns whether it is gone."""
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return True
        if size > most_bytes:
            os.truncate(path, size - most_bytes)
            return False
        self.remove(path)
        return True

    def read(self, path: Path) -> bytes | None:
        """All that is in a file, None where there is none."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def open(self, path: Path) -> PlainFile:
        """Open a file for writing in place; makes it where it is missing."""
        return PlainFile(path)

    def open_synced(self, path: Path) -> SyncedFile:
        """Open a file for writing that is durable at once; makes it where it is missing."""
        return SyncedFile(path)

    def open_growing(self, path: Path) -> GrowingFile:
        """Make an empty file that is to be written from front to back."""
        return GrowingFile(path)

    def read_part(self, path: Path, offset: int, size: int) -> bytes | None:
        """The `size` bytes of a file from `offset` on, fewer where it ends; None where there is no such file."""
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            return None

    def names(self, folder: Path, prefix: str) -> list[str]:
        """The files of a folder whose names begin thus."""
        return [file.name for file in folder.iterdir() if file.name.startswith(prefix)]

    def lengthen(self, path: Path, size: int) -> None:
        """Make a file at least `size` bytes long, with zeros, and sync it. Without room for it, it stays as it was."""
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        try:
            before = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                # Written, not only allocated: what was never written costs the file system more at the first write.
                left = size - before
                while left > 0:
                    left -= os.write(descriptor, bytes(left))
                os.fsync(descriptor)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                os.ftruncate(descriptor, before)
        finally:
            os.close(descriptor)

    def make_durable(self, path: Path) -> None:
        """Make durable all that a file shows, where there is one.

        Syncing does not suffice: after a sync that failed, systems may take the data for written, and show it until the
        next boot, though it never reached the disk. So it is written once more.
        """
        if not self.exists(path) or path.stat().st_size == 0:
            return
        with path.open("r+b", buffering=0) as file:
            offset = 0
            while data := file.read(_PIECE_BYTES):
                file.seek(offset)
                offset += file.write(data)
            os.fsync(file.fileno())

    def check_place(self, path: Path) -> None:
        """Make sure that a file could be made there. Missing folders are not made: a typo, or a disk that is not
        mounted, must not become an empty node that votes under an old id.

        Raises:
            StorageFailed: there is no such folder, or `path` is one.
        """
        if path.is_dir():
            raise StorageFailed(f"{path} is a folder: name a file in it, such as {path / 'node.db'}")
        missing = [folder for folder in path.parents if not folder.is_dir()]
        if missing:
            kind = "no folder" if missing[-1].exists() else "missing"
            raise StorageFailed(
                f"{path}: {missing[-1]} is {kind}: is the disk mounted, the name right? Make the folder for a new node"
            )

    def make_folder(self, folder: Path) -> None:
        """Make a folder and its missing parents durable: a folder is safe once its parent is synced."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        self.sync_folder(folder.parent)
        self.sync_folder(folder)

    def sync_folder(self, folder: Path) -> None:
        """Make durable which files a folder holds."""
        if os.name == "nt":  # folders can't be opened there, and need no sync
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


SYSTEM = Files()
