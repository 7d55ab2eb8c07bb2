"""Bugs that other engines had, on single actors (docs/museum.md says whose). Tests are named after what holds here."""

from __future__ import annotations

import pytest

from raft_actors.raft.effects import Beat
from raft_actors.raft.progress import ProgressState
from tests.actors.replication import accepted, append
from tests.actors.test_replicator_snapshots import chunk, installed, sending, wants
from tests.unit.builders import batches


async def test_a_snapshot_that_begins_anew_takes_back_nothing_of_what_is_sent_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raft_actors.raft.chunk_window.MOST_CHUNKS", 1)
    async with sending() as stage:
        await stage.tell(accepted(1), wants(1))
        for _ in range(3):
            assert chunk(0) in await stage.tell(wants(0))
            await stage.tell(wants(1), *[Beat()] * 10)
            progress = stage.progress
            assert (progress.state, progress.match_index, progress.next_index) == (ProgressState.SNAPSHOT, 1, 2)
        assert await stage.tell(installed()) == [append(3, 2)]
        assert await stage.tell(accepted(3)) == [append(3, 2, *batches(4, [2, 2]))]
