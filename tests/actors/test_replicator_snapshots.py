"""A replicator whose follower needs entries that are compacted away (§7).

But for the last tests, one chunk may be under way at a time, so that each is seen.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

from raft_actors.raft.effects import Beat, Resume, WakeReplicators
from raft_actors.raft.messages import InstallSnapshot, InstallSnapshotReply
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.progress import ProgressState
from tests.actors.replication import TERM, Stage, accepted, append, quiet, rejected, running
from tests.actors.stores import store_snapshot
from tests.unit.builders import batches

SNAPSHOT = SnapshotMetadata(3, 2)
NEWER = SnapshotMetadata(4, 2)
CHUNKS = (b"one", b"two", b"three")


def chunk(sequence: int, snapshot: SnapshotMetadata = SNAPSHOT) -> InstallSnapshot:
    """A chunk as it should be sent."""
    return InstallSnapshot(TERM, snapshot, sequence, CHUNKS[sequence], done=sequence == 2)


def wants(sequence: int, snapshot: SnapshotMetadata = SNAPSHOT) -> InstallSnapshotReply:
    """The follower's answer to a chunk."""
    return InstallSnapshotReply(TERM, snapshot, sequence, installed=False)


def installed(snapshot: SnapshotMetadata = SNAPSHOT) -> InstallSnapshotReply:
    """The follower's answer to the whole."""
    return InstallSnapshotReply(TERM, snapshot, 3, installed=True)


async def compact(stage: Stage, snapshot: SnapshotMetadata) -> None:
    """The leader has taken a snapshot, and it is durable."""
    stage.state.log.compact(snapshot, snapshot.index + 1)
    await store_snapshot(stage.storage, snapshot, *CHUNKS, first_index=snapshot.index + 1)


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_actors.raft.chunk_window.MOST_CHUNKS", 1)


@asynccontextmanager
async def sending() -> AsyncGenerator[Stage, None]:
    """A replicator that has sent the first of three chunks."""
    async with running([1, 1, 2, 2, 2]) as stage:
        await compact(stage, SNAPSHOT)
        stage.outbox.take()
        assert await stage.tell(rejected(5, None, 1)) == [chunk(0)]
        yield stage


async def test_sends_each_chunk_after_the_answer_to_the_one_before() -> None:
    async with sending() as stage:
        assert await stage.tell(WakeReplicators()) == []
        assert await stage.tell(wants(1)) == [chunk(1)]
        assert await stage.tell(wants(2)) == [chunk(2)]


async def test_replicates_from_the_snapshots_end_once_it_is_installed() -> None:
    async with sending() as stage:
        await stage.tell(wants(1), wants(2))
        assert await stage.tell(installed()) == [append(3, 2)]
        assert await stage.tell(accepted(3)) == [append(3, 2, *batches(4, [2, 2]))]
        assert stage.storage.readers[0].closed


async def test_a_chunk_that_the_follower_has_missed_is_sent_again_once() -> None:
    """It says so of what came after it: once for each, or a duplicate of the answer comes."""
    async with sending() as stage:
        await stage.tell(wants(1))
        assert await stage.tell(wants(1)) == [chunk(1)]
        assert await stage.tell(wants(1), wants(1)) == []
        assert await stage.tell(wants(2)) == [chunk(2)]


async def test_a_follower_that_has_lost_the_beginning_gets_it_again() -> None:
    async with sending() as stage:
        await stage.tell(wants(1))
        await stage.tell(wants(2))
        assert await stage.tell(wants(0)) == [chunk(0)]


async def test_a_chunk_that_the_snapshot_does_not_have_is_not_sent() -> None:
    async with sending() as stage:
        await stage.tell(wants(1))
        assert await stage.tell(wants(3), wants(99), wants(-1)) == []


async def test_answers_about_another_snapshot_do_not_count() -> None:
    async with sending() as stage:
        assert await stage.tell(wants(1, SnapshotMetadata(2, 1))) == []


async def test_a_chunk_without_an_answer_is_sent_again_after_a_while_and_not_before() -> None:
    async with sending() as stage:
        for _ in range(7):
            assert chunk(0) not in await stage.tell(Beat())
        assert chunk(0) in await stage.tell(Beat())
        for _ in range(7):
            assert chunk(0) not in await stage.tell(Beat())


async def test_a_chunk_without_an_answer_is_sent_again_sooner_where_later_heartbeats_are_answered() -> None:
    """It was lost, or its answer: the follower hears what came after it."""
    async with sending() as stage:
        for _ in range(2):
            for _ in range(3):
                assert await stage.tell(Beat()) == [append(0, 0)]
                assert await stage.tell(accepted(0)) == []
            assert await stage.tell(accepted(0)) == [chunk(0)]


async def test_answers_to_heartbeats_before_a_chunk_do_not_shorten_its_wait() -> None:
    async with sending() as stage:
        await stage.tell(accepted(0), accepted(0), accepted(0), wants(1))
        for _ in range(3):
            assert await stage.tell(accepted(0)) == []
        assert await stage.tell(accepted(0)) == [chunk(1)]


async def test_heartbeats_before_the_snapshot_do_not_shorten_that_wait() -> None:
    async with running([1, 1, 2, 2, 2]) as stage:
        for _ in range(7):
            await stage.tell(Beat())
        await compact(stage, SNAPSHOT)
        await stage.tell(rejected(5, None, 1))
        for _ in range(7):
            assert chunk(0) not in await stage.tell(Beat())


async def test_each_answer_starts_the_wait_anew() -> None:
    async with sending() as stage:
        for _ in range(7):
            await stage.tell(Beat())
        await stage.tell(wants(1))
        for _ in range(7):
            assert chunk(1) not in await stage.tell(Beat())


async def test_a_chunk_that_the_transport_refuses_is_sent_again_with_the_next_heartbeat() -> None:
    async with sending() as stage:
        stage.outbox.accepts = False
        await stage.tell(wants(1))
        stage.outbox.accepts = True
        assert chunk(1) in await stage.tell(Beat())


async def test_a_chunk_that_the_transport_refused_is_sent_as_soon_as_there_is_a_connection() -> None:
    async with sending() as stage:
        stage.outbox.accepts = False
        await stage.tell(wants(1))
        stage.outbox.accepts = True
        assert await stage.tell(WakeReplicators()) == []
        assert await stage.tell(Resume("n2")) == [chunk(1), append(0, 0)]


async def test_heartbeats_of_a_leader_that_sends_a_snapshot_claim_nothing_of_the_followers_log() -> None:
    async with sending() as stage:
        assert await stage.tell(Beat()) == [append(0, 0)]
        assert await stage.tell(WakeReplicators()) == []


async def test_heartbeats_go_on_while_a_chunk_is_read() -> None:
    async with sending() as stage:
        stage.storage.shut()
        assert await stage.tell(wants(1)) == []
        assert await stage.tell(Beat()) == [append(0, 0)]
        stage.storage.gate.set()
        assert await stage.tell() == [chunk(1)]


async def test_a_log_that_was_compacted_under_its_feet_needs_the_snapshot_for_the_probe() -> None:
    async with running([1, 1, 2, 2, 2]) as stage:
        stage.outbox.take()
        await stage.tell(rejected(5, None, 2))
        await compact(stage, SNAPSHOT)
        assert await stage.tell(Beat()) == [chunk(0), append(0, 0)]


async def test_a_log_that_was_compacted_under_its_feet_needs_the_snapshot_for_the_entries() -> None:
    async with running([1, 1, 2, 2, 2], max_inflight_appends=1, max_append_bytes=1) as stage:
        await stage.tell(rejected(5, None, 1), accepted(0))
        await compact(stage, SNAPSHOT)
        assert await stage.tell(accepted(1)) == [chunk(0)]
        assert stage.progress.state is ProgressState.SNAPSHOT


async def test_a_follower_that_went_with_a_full_window_needs_the_snapshot_though_it_never_answers() -> None:
    async with running([1, 1, 2, 2, 2], max_inflight_appends=1, max_append_bytes=1) as stage:
        await stage.tell(rejected(5, None, 1), accepted(0))
        await compact(stage, SNAPSHOT)
        assert await stage.tell(Beat()) == [chunk(0), append(0, 0)]


async def test_entries_after_one_that_is_compacted_away_need_no_snapshot() -> None:
    """Its term is all that is needed of it."""
    async with running([1, 1, 2, 2, 2], max_inflight_appends=1, max_append_bytes=1) as stage:
        await stage.tell(rejected(5, None, 1), accepted(0))
        stage.state.log.compact(SNAPSHOT, 2)
        await store_snapshot(stage.storage, SNAPSHOT, *CHUNKS, first_index=2)
        assert await stage.tell(accepted(1)) == [append(1, 1, *batches(2, [1]))]


async def test_the_next_snapshot_begins_with_its_first_chunk() -> None:
    async with sending() as stage:
        await stage.tell(wants(1))
        await stage.tell(installed())
        await compact(stage, SnapshotMetadata(5, 2))
        assert await stage.tell(Beat()) == [chunk(0, SnapshotMetadata(5, 2)), append(0, 0)]


async def test_a_snapshot_that_is_not_on_disk_yet_is_looked_for_at_the_next_heartbeat() -> None:
    async with running([1, 1, 2, 2, 2]) as stage:
        stage.outbox.take()
        stage.state.log.compact(SNAPSHOT, 4)
        assert await stage.tell(rejected(5, None, 1)) == []
        assert await stage.tell(WakeReplicators(), WakeReplicators()) == []
        assert stage.storage.opens == 1
        await store_snapshot(stage.storage, SNAPSHOT, *CHUNKS, first_index=4)
        assert chunk(0) in await stage.tell(Beat())


async def test_a_follower_that_never_answered_gets_the_newest_snapshot() -> None:
    async with sending() as stage:
        await compact(stage, NEWER)
        for _ in range(7):
            await stage.tell(Beat())
        assert chunk(0, NEWER) in await stage.tell(Beat())
        assert stage.storage.readers[0].closed


async def test_a_snapshot_under_way_is_finished_though_a_newer_one_is_there() -> None:
    async with sending() as stage:
        await stage.tell(wants(1))
        await compact(stage, NEWER)
        assert await stage.tell(wants(2)) == [chunk(2)]


async def test_word_that_the_follower_has_what_the_snapshot_holds_ends_it() -> None:
    """An append that was given up for lost arrived after all: what follows it is in the log."""
    async with sending() as stage:
        assert await stage.tell(accepted(4)) == [append(4, 2, *batches(5, [2]))]
        assert stage.storage.readers[0].closed
        assert await stage.tell(wants(1), installed()) == []
        assert stage.progress.match_index == 4


async def test_heartbeats_after_a_snapshot_was_given_up_tell_what_is_committed() -> None:
    async with sending() as stage:
        await stage.tell(accepted(5))
        stage.state.commit(5)
        assert await stage.tell(Beat()) == [quiet(5, 2, commit=5)]


async def test_what_the_follower_has_but_the_log_does_not_continue_is_sent_as_a_snapshot_all_the_same() -> None:
    async with sending() as stage:
        assert await stage.tell(accepted(2)) == []
        assert await stage.tell(wants(1)) == [chunk(1)]


async def test_late_word_of_an_installed_snapshot_changes_nothing() -> None:
    async with sending() as stage:
        await stage.tell(installed())
        await stage.tell(accepted(5))
        assert await stage.tell(installed()) == []
        assert stage.progress.state is ProgressState.REPLICATE


async def test_the_reader_is_closed_when_the_leadership_ends() -> None:
    async with sending() as stage:
        pass
    assert stage.storage.readers[0].closed


# --- pipelined ------------------------------------------------------------------------------------------------


@pytest.fixture
def many_at_a_time(one_at_a_time: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()


@asynccontextmanager
async def sending_all() -> AsyncGenerator[Stage, None]:
    """A replicator that has sent all three chunks."""
    async with running([1, 1, 2, 2, 2]) as stage:
        await compact(stage, SNAPSHOT)
        stage.outbox.take()
        assert await stage.tell(rejected(5, None, 1)) == [chunk(0), chunk(1), chunk(2)]
        yield stage


@pytest.mark.usefixtures("many_at_a_time")
async def test_sends_chunks_without_waiting_for_answers() -> None:
    async with sending_all() as stage:
        assert stage.storage.readings == [(0, 3)]
        assert await stage.tell(wants(1), wants(2), installed()) == [append(3, 2)]


@pytest.mark.usefixtures("many_at_a_time")
async def test_others_have_their_turns_between_two_chunks_that_were_read_together() -> None:
    async with running([1, 1, 2, 2, 2]) as stage:
        await compact(stage, SNAPSHOT)
        stage.outbox.take()
        stage.replicator.tell(rejected(5, None, 1))
        sent: list[int] = []
        while len(sent) < 20:
            await trio.lowlevel.checkpoint()
            sent.append(len(stage.outbox.messages))
        assert {1, 2} & {*sent}, "two tasks run in either order, so one of these may go unseen"


@pytest.mark.usefixtures("many_at_a_time")
async def test_what_was_not_acknowledged_is_sent_again_from_the_chunk_that_is_missing() -> None:
    async with sending_all() as stage:
        await stage.tell(wants(1))
        assert await stage.tell(wants(1)) == [chunk(1), chunk(2)]


@pytest.mark.usefixtures("many_at_a_time")
async def test_what_was_not_acknowledged_is_sent_again_after_a_while() -> None:
    async with sending_all() as stage:
        await stage.tell(wants(1))
        for _ in range(7):
            await stage.tell(Beat())
        assert await stage.tell(Beat()) == [chunk(1), chunk(2), append(0, 0)]


@pytest.mark.usefixtures("many_at_a_time")
async def test_what_went_down_with_a_connection_is_sent_again_over_the_next_one() -> None:
    async with sending_all() as stage:
        await stage.tell(wants(1))
        assert await stage.tell(Resume("n2")) == [chunk(1), chunk(2), append(0, 0)]


@pytest.mark.usefixtures("many_at_a_time")
async def test_a_follower_that_begins_anew_gets_all_again_once() -> None:
    """It restarted: whatever was under way is no use to it, and it says so of each."""
    async with sending_all() as stage:
        await stage.tell(wants(2))
        assert await stage.tell(wants(0), wants(0), wants(0)) == [chunk(0), chunk(1), chunk(2)]
