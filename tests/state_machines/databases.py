"""Databases in memory, for machines that nobody closes: they are made and dropped by the hundred."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any


class _Closing(sqlite3.Connection):
    """Closes itself when it is dropped; from Python 3.13 on a connection warns where that is left to it."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # in another thread than its own, which only it may close
            self.close()


def in_memory(**options: Any) -> sqlite3.Connection:
    """An empty one, in autocommit mode."""
    return sqlite3.connect(":memory:", isolation_level=None, factory=_Closing, **options)
