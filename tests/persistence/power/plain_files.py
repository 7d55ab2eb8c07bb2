"""Plain files on a simulated disk: the mark, segments and snapshots."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Protocol

from typing_extensions import override

from raft_actors.persistence.sqlite.files import GrowingFile, PlainFile, SyncedFile
from tests.persistence.power.disk import Kind
from tests.persistence.power.disk_errors import DiskError


class DoingFiles(Protocol):
    """The file system that a file is in."""

    def do(self, kind: Kind, name: str, file: int = 0, number: int = 0, data: bytes = b"") -> None: ...


@contextmanager
def as_system() -> Generator[None]:
    """A disk's error comes out as the system's."""
    try:
        yield
    except DiskError as error:
        raise error.as_system() from error


class SimulatedPlainFile(PlainFile):
    """A file that the storage writes in place."""

    def __init__(self, files: DoingFiles, name: str, file: int) -> None:
        self._files, self._name, self._file = files, name, file

    @override
    def write_at(self, offset: int, data: bytes) -> None:
        with as_system():
            self._files.do(Kind.WRITE, self._name, self._file, offset, data)

    @override
    def close(self) -> None:
        pass


class SimulatedSyncedFile(SyncedFile):
    """A file that the storage writes durably."""

    def __init__(self, files: DoingFiles, name: str, file: int) -> None:
        self._files, self._name, self._file = files, name, file

    @override
    def write_at(self, offset: int, parts: Sequence[bytes]) -> None:
        with as_system():
            self._files.do(Kind.WRITE, self._name, self._file, offset, b"".join(parts))
            self._files.do(Kind.SYNC, self._name, self._file)

    @override
    def close(self) -> None:
        pass


class SimulatedGrowingFile(GrowingFile):
    """A file that the storage writes from front to back."""

    def __init__(self, files: DoingFiles, name: str, file: int) -> None:
        self._files, self._name, self._file = files, name, file
        self._end = 0

    @override
    def append(self, data: bytes) -> None:
        with as_system():
            self._files.do(Kind.WRITE, self._name, self._file, self._end, data)
        self._end += len(data)

    @override
    def sync(self) -> None:
        with as_system():
            self._files.do(Kind.SYNC, self._name, self._file)

    @override
    def close(self) -> None:
        pass
