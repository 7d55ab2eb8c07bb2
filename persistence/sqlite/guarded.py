"""How each piece of work on an open store is wrapped: errors become this library's, and the first failure is the last.

After a write or sync that failed, nothing says what is durable, and a retry could revive or lose what was told to have
failed. So nothing is written any more, and every call says so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from raft_actors.errors import StorageFailed
from raft_actors.persistence.sqlite.errors import storage_error


class Guarded:
    """An open store, as far as its failures go. Used on one thread.

    Attributes:
        path: the store's file.
        failed: the first write that failed; nothing is written after it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed: Exception | None = None
        self._unheard: Exception | None = None
        self._opened: sqlite3.Connection | None = None

    def _connection(self) -> sqlite3.Connection:
        if self._unheard is not None:
            error, self._unheard = self._unheard, None
            raise error
        if self.failed is not None:
            raise StorageFailed(
                f"{self.path} takes no more calls since a write failed ({self.failed}): start the node again"
            ) from self.failed
        if self._opened is None:
            raise StorageFailed(f"{self.path} is not open")
        return self._opened

    @contextmanager
    def _mapping(self, doing: str) -> Generator[None, None, None]:
        try:
            yield
        except (sqlite3.Error, OverflowError, UnicodeDecodeError, OSError) as error:
            raise storage_error(self.path, doing, error) from error

    @contextmanager
    def _writing(self, doing: str) -> Generator[sqlite3.Connection, None, None]:
        """What fails in here is the last thing tried: its outcome is unknown, and a retry could revive or lose it."""
        connection = self._connection()
        try:
            with self._mapping(doing):
                yield connection
        except BaseException as error:
            self.failed = error if isinstance(error, Exception) else StorageFailed(repr(error))
            raise

    def _upkeep(self, work: Callable[[], None]) -> None:
        # Nobody waits for it, so its failure is the next caller's to hear.
        try:
            work()
        except Exception as error:  # noqa: BLE001 - kept for the next caller
            self.failed = self._unheard = error
