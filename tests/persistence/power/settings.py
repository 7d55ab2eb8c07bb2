"""How the storage is set up for these tests: inline, and small, so that its rarer deeds are frequent."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from unittest import mock

from raft_actors.persistence import database, sqlite
from tests.persistence.power.inline import InlineThread

_CHECKPOINT_BYTES = 64 * 1024
_COMMITS_PER_MARK = 5
_RESERVE_BYTES = 48 * 1024


@contextmanager
def small_and_inline() -> Generator[None]:
    """Every `SqliteStorage` that is opened in here works inline, checkpoints often, and writes its mark often."""
    with (
        mock.patch.object(sqlite, "WriterThread", InlineThread),
        mock.patch.object(database, "_CHECKPOINT_BYTES", _CHECKPOINT_BYTES),
        mock.patch.object(database, "_COMMITS_PER_MARK", _COMMITS_PER_MARK),
        mock.patch.object(database, "_RESERVE_BYTES", _RESERVE_BYTES),
    ):
        yield
