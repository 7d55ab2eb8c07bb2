"""How the storage is set up for these tests: inline, and small, so that its rarer deeds are frequent."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from unittest import mock

from raft_actors.persistence.sqlite import database, segments, snapshots, wal
from raft_actors.persistence.sqlite import storage as sqlite
from tests.persistence.power.inline import InlineThread

_CHECKPOINT_BYTES = 64 * 1024
_COMMITS_PER_MARK = 5
_RESERVE_BYTES = 48 * 1024
_LARGE_BYTES = 1000
_SEGMENT_BYTES = 10_000
_MOST_FREE = 1
_SYNC_BYTES = 1000
_SLICE_BYTES = 5000


@contextmanager
def small_and_inline() -> Generator[None]:
    """Every `SqliteStorage` that is opened in here works inline, checkpoints often, writes its mark often,
    puts what is larger than most into segments, which are short, and syncs and deletes snapshots in small pieces."""
    with (
        mock.patch.object(sqlite, "WriterThread", InlineThread),
        mock.patch.object(wal, "_CHECKPOINT_BYTES", _CHECKPOINT_BYTES),
        mock.patch.object(database, "_COMMITS_PER_MARK", _COMMITS_PER_MARK),
        mock.patch.object(wal, "_RESERVE_BYTES", _RESERVE_BYTES),
        mock.patch.object(segments, "LARGE_BYTES", _LARGE_BYTES),
        mock.patch.object(segments, "_SEGMENT_BYTES", _SEGMENT_BYTES),
        mock.patch.object(segments, "_MOST_FREE", _MOST_FREE),
        mock.patch.object(snapshots, "_SYNC_BYTES", _SYNC_BYTES),
        mock.patch.object(snapshots, "_SLICE_BYTES", _SLICE_BYTES),
    ):
        yield
