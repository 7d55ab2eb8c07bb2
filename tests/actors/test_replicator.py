"""The replicator: probe, replicate, snapshot; what is lost is sent again, and the leader is never silent."""

from __future__ import annotations

import pytest
from trio.testing import wait_all_tasks_blocked

from raft_actors.actors.actor import ActorStopped
from raft_actors.node.replicator import ReplicatorMessage
from raft_actors.raft.effects import Beat, Resume, WakeReplicators
from raft_actors.raft.entries import BATCH_OVERHEAD
from raft_actors.raft.messages import AppendEntriesAccepted, InstallSnapshot
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.progress import ProgressState
from tests.actors.replication import TERM, accepted, append, quiet, rejected, running
from tests.actors.stores import store_snapshot
from tests.unit.builders import batch, batches

# --- probing and replicating ----------------------------------------------------------------------------------


async def test_its_first_word_is_a_heartbeat_that_probes_the_end_of_the_log() -> None:
    async with running([1, 2]) as stage:
        assert stage.outbox.take() == [append(2, 2)]
        assert stage.progress.state is ProgressState.PROBE


async def test_sends_nothing_more_until_the_probe_is_answered() -> None:
    async with running([1, 2]) as stage:
        stage.outbox.take()
        assert await stage.append(5, 5) == []


async def test_replicates_once_the_probe_is_accepted() -> None:
    async with running([1, 2]) as stage:
        stage.outbox.take()
        await stage.append(5)
        assert await stage.tell(accepted(2)) == [append(2, 2, batch(3, 5))]


async def test_backs_up_by_whole_terms_and_sends_what_differs() -> None:
    async with running([1, 1, 1, 4, 4]) as stage:
        stage.outbox.take()
        assert await stage.tell(rejected(5, 2, 3)) == [append(2, 1)]
        assert await stage.tell(accepted(2)) == [append(2, 1, *batches(3, [1, 4, 4]))]


async def test_sends_the_commit_index_as_it_is_when_it_sends() -> None:
    async with running([1, 2]) as stage:
        stage.outbox.take()
        stage.state.commit_index = 2
        assert await stage.tell(Beat()) == [append(2, 2, commit=2)]


async def test_pipelines_appends_without_waiting_for_answers_up_to_its_window() -> None:
    async with running([1], max_inflight_appends=2) as stage:
        stage.outbox.take()
        await stage.tell(accepted(1))
        assert await stage.append(5) == [append(1, 1, batch(2, 5))]
        assert await stage.append(5) == [append(2, 5, batch(3, 5))]
        assert await stage.append(5) == []
        assert await stage.tell(accepted(2)) == [append(3, 5, batch(4, 5))]


async def test_keeps_within_its_window_in_bytes() -> None:
    async with running([1], max_inflight_bytes=1) as stage:
        stage.outbox.take()
        await stage.tell(accepted(1))
        assert len(await stage.append(5)) == 1
        assert await stage.append(5) == []


async def test_splits_what_is_too_much_for_one_message() -> None:
    size = batch(1, 1).size
    async with running([1], max_append_bytes=2 * size) as stage:
        stage.outbox.take()
        for entry in batches(2, [5, 5, 5]):
            stage.state.log.append(entry)
        assert await stage.tell(accepted(1)) == [
            append(1, 1, *batches(2, [5, 5])),
            append(3, 5, batch(4, 5)),
        ]


async def test_an_append_is_a_heartbeat_too() -> None:
    async with running([1]) as stage:
        stage.outbox.take()
        await stage.tell(accepted(1))
        stage.state.log.append(batch(2, 5))
        assert await stage.tell(Beat()) == [append(1, 1, batch(2, 5))]


async def test_an_idle_leader_beats() -> None:
    async with running([1]) as stage:
        stage.outbox.take()
        assert await stage.tell(accepted(1)) == []
        assert await stage.tell(Beat()) == [quiet(1, 1)]
        assert await stage.tell(Beat()) == [quiet(1, 1)]


async def test_asks_a_silent_follower_for_an_answer() -> None:
    async with running([1]) as stage:
        stage.outbox.take()
        await stage.tell(accepted(1))
        assert await stage.tell(Beat(frozenset({"n2", "n3"}))) == [append(1, 1)]
        assert await stage.tell(Beat(frozenset({"n3"}))) == [quiet(1, 1)]


async def test_asks_with_each_beat_while_something_was_not_acknowledged() -> None:
    async with running([1]) as stage:
        await stage.tell(accepted(1))
        stage.outbox.take()
        await stage.append(5, 5)
        assert await stage.tell(accepted(2), Beat()) == [append(3, 5)]
        assert await stage.tell(accepted(3), Beat()) == [quiet(3, 5)]


async def test_takes_no_turn_for_a_beat_when_all_was_sent() -> None:
    async with running([1]) as stage:
        await stage.tell(accepted(1))
        stage.outbox.take()
        taken: list[ReplicatorMessage] = []
        stage.replicator._handlers[Beat] = taken.append
        stage.replicator.notify(Beat())
        assert stage.outbox.take() == [quiet(1, 1)]
        await wait_all_tasks_blocked()
        assert taken == []
        stage.state.log.append(batch(2, 5))
        assert await stage.tell(Beat()) == [append(1, 1, batch(2, 5))]
        assert taken == [Beat()]


async def test_takes_no_turn_for_an_answer_after_which_there_is_nothing_to_send() -> None:
    async with running([1], max_inflight_appends=1) as stage:
        await stage.tell(accepted(1))
        taken: list[ReplicatorMessage] = []
        stage.replicator._handlers[AppendEntriesAccepted] = taken.append
        await stage.append(5)
        stage.replicator.notify(accepted(2))
        assert stage.progress.match_index == 2
        await wait_all_tasks_blocked()
        assert taken == []
        await stage.append(5)
        await stage.append(5)
        assert await stage.tell(accepted(3)) == [append(3, 5, batch(4, 5))]
        assert taken == [accepted(3)]


async def test_takes_no_turn_to_send_what_is_in_memory() -> None:
    async with running([1], max_inflight_appends=2) as stage:
        await stage.tell(accepted(1))
        stage.outbox.take()
        taken: list[ReplicatorMessage] = []
        stage.replicator._handlers[WakeReplicators] = taken.append
        for entry in batches(2, [5, 5, 5]):
            stage.state.log.append(entry)
            stage.replicator.notify(WakeReplicators())
        assert stage.outbox.take() == [append(1, 1, batch(2, 5)), append(2, 5, batch(3, 5))]
        await wait_all_tasks_blocked()
        assert taken == []


async def test_takes_no_turn_for_entries_that_nobody_takes() -> None:
    async with running([1]) as stage:
        await stage.tell(accepted(1))
        stage.outbox.accepts = False
        taken: list[ReplicatorMessage] = []
        stage.replicator._handlers[WakeReplicators] = taken.append
        await stage.append(5)
        await stage.append(5)
        assert stage.outbox.refused == 1
        assert taken == []
        stage.outbox.accepts = True
        assert await stage.tell(Beat()) == [append(1, 1, *batches(2, [5, 5]))]


async def test_an_answer_changes_nothing_while_the_store_is_read() -> None:
    async with running([1, 1, 2], in_memory=False, max_append_bytes=1) as stage:
        await stage.tell(rejected(3, None, 1))
        stage.outbox.take()
        stage.storage.shut()
        await stage.tell(accepted(0))
        await stage.tell(accepted(2))
        assert stage.progress.next_index == 1
        stage.storage.gate.set()
        await wait_all_tasks_blocked()
        assert stage.outbox.take() == [append(0, 0, batch(1, 1)), append(1, 1, batch(2, 1)), append(2, 1, batch(3, 2))]


async def test_an_answer_that_ends_probing_is_news() -> None:
    async with running([1]) as stage:
        stage.progress.match_index = 1
        await stage.tell(accepted(1))
        assert stage.progress.state is ProgressState.REPLICATE


async def test_a_lost_probe_is_sent_again_with_the_next_heartbeat() -> None:
    async with running([1, 2]) as stage:
        stage.outbox.take()
        assert await stage.tell(Beat()) == [append(2, 2)]


async def test_a_lost_append_is_sent_again_after_the_heartbeat_that_shows_it() -> None:
    async with running([1]) as stage:
        stage.outbox.take()
        await stage.tell(accepted(1))
        await stage.append(5)
        assert await stage.tell(Beat()) == [append(2, 5)]
        assert await stage.tell(rejected(2, None, 2)) == [append(1, 1)]
        assert await stage.tell(accepted(1)) == [append(1, 1, batch(2, 5))]


# --- a transport that takes nothing ---------------------------------------------------------------------------


async def test_tells_once_of_a_follower_that_has_lost_what_it_had(caplog: pytest.LogCaptureFixture) -> None:
    async with running([1, 1, 2]) as stage:
        await stage.tell(accepted(3))
        for _ in range(4):
            assert await stage.tell(Beat()) == [quiet(3, 2)]
            assert await stage.tell(rejected(3, None, 1)) == []
        await stage.append(2)
        assert await stage.tell(rejected(4, None, 1)) == [append(3, 2)]
        for told in [[], [], [], [], [], *[[30]] * 4]:
            assert await stage.tell(rejected(3, None, 1)) == []
            assert [record.levelno for record in caplog.records] == told
            assert await stage.tell(Beat()) == [append(3, 2)]
    assert "n2 has lost entries" in caplog.text
    assert "up to 3" in caplog.text
    assert "raft-actors remove" in caplog.text


async def test_late_rejections_are_no_loss(caplog: pytest.LogCaptureFixture) -> None:
    async with running([1, 1, 2]) as stage:
        await stage.tell(accepted(3))
        for _ in range(30):
            await stage.tell(*[rejected(3, None, 1)] * 9, accepted(3))
    assert caplog.records == []


@pytest.mark.parametrize("sign", [Beat(), Resume("n2")])
async def test_what_the_transport_refuses_is_sent_again_with_the_next_heartbeat_or_connection(
    sign: Beat | Resume,
) -> None:
    async with running([1]) as stage:
        stage.outbox.take()
        await stage.tell(accepted(1))
        stage.outbox.accepts = False
        await stage.append(5)
        stage.outbox.accepts = True
        assert await stage.tell(WakeReplicators()) == []
        assert await stage.tell(sign) == [append(1, 1, batch(2, 5))]


async def test_what_went_down_with_a_connection_is_found_out_over_the_next_one() -> None:
    async with running([1]) as stage:
        stage.outbox.take()
        await stage.tell(accepted(1))
        await stage.append(5)
        assert await stage.tell(Resume("n2")) == [append(2, 5)]
        await stage.tell(rejected(2, None, 2))
        assert await stage.tell(Resume("n2")) == [append(1, 1)], "a probe may be lost, too"


async def test_nothing_is_fetched_for_a_follower_that_can_not_be_reached() -> None:
    async with running([1, 1, 2], in_memory=False) as stage:
        stage.outbox.take()
        stage.outbox.accepts = False
        await stage.tell(rejected(3, None, 1), accepted(0))
        reads = stage.storage.reads
        for _ in range(10):
            await stage.tell(WakeReplicators())
        assert stage.storage.reads == reads


async def test_a_probe_that_the_transport_refuses_counts_as_not_sent() -> None:
    async with running([1]) as stage:
        stage.outbox.take()
        stage.outbox.accepts = False
        await stage.tell(Beat())
        assert not stage.progress.probe_sent


async def test_a_full_mailbox_loses_what_is_told_but_not_the_entries() -> None:
    async with running([1], max_inflight_appends=1) as stage:
        stage.outbox.take()
        for _ in range(1000):
            stage.replicator.notify(WakeReplicators())
        stage.replicator.notify(accepted(1))
        await wait_all_tasks_blocked()
        assert stage.replicator.mailbox.statistics().refused
        assert await stage.tell(Beat(), accepted(1)) == [quiet(1, 1)]


# --- entries that only the store has --------------------------------------------------------------------------


async def test_old_entries_come_from_the_store() -> None:
    async with running([1, 1, 2], in_memory=False) as stage:
        stage.outbox.take()
        await stage.tell(rejected(3, None, 1))
        assert await stage.tell(accepted(0)) == [append(0, 0, *batches(1, [1, 1, 2]))]
        assert stage.progress.next_index == 4


async def test_it_reads_no_more_than_the_store_has() -> None:
    async with running([1, 1, 2], in_memory=False) as stage:
        stage.outbox.take()
        stage.state.log.append(batch(4, 5))
        await stage.tell(rejected(3, None, 1))
        messages = await stage.tell(accepted(0))
        assert messages == [append(0, 0, *batches(1, [1, 1, 2])), append(3, 2, batch(4, 5))]


async def test_heartbeats_go_on_while_the_store_is_slow() -> None:
    async with running([1, 1, 2], in_memory=False) as stage:
        await stage.tell(rejected(3, None, 1))
        stage.storage.shut()
        assert await stage.tell(accepted(0)) == []
        assert await stage.tell(Beat()) == [quiet(0, 0)]
        assert await stage.tell(Beat()) == [quiet(0, 0)]
        stage.storage.gate.set()
        assert await stage.tell() == [append(0, 0, *batches(1, [1, 1, 2]))]


async def test_entries_that_are_compacted_while_they_are_read_need_the_snapshot() -> None:
    async with running([1, 1, 2], in_memory=False) as stage:
        await stage.tell(rejected(3, None, 1))
        stage.storage.shut()
        await stage.tell(accepted(0))
        stage.state.log.compact(SnapshotMetadata(2, 1), 3)
        await store_snapshot(stage.storage, SnapshotMetadata(2, 1), b"state", first_index=3)
        stage.storage.gate.set()
        [message] = await stage.tell()
        assert message == InstallSnapshot(TERM, SnapshotMetadata(2, 1), 0, b"state", done=True)


async def test_entries_that_the_store_has_compacted_already_need_the_snapshot() -> None:
    async with running([1, 1, 2], in_memory=False) as stage:
        await stage.tell(rejected(3, None, 1))
        await store_snapshot(stage.storage, SnapshotMetadata(2, 1), b"state", first_index=3)
        [message] = await stage.tell(accepted(0))
        assert isinstance(message, InstallSnapshot)


async def test_a_follower_may_be_sent_no_more_than_one_message_past_its_window() -> None:
    async with running([1] * 6, in_memory=False, max_inflight_appends=2, max_append_bytes=1) as stage:
        await stage.tell(rejected(6, None, 1))
        messages = await stage.tell(accepted(0))
        assert messages == [append(0, 0, batch(1, 1)), append(1, 1, batch(2, 1))]
        assert batch(1, 1).size == BATCH_OVERHEAD + 4 + 1


async def test_ends_with_its_nursery() -> None:
    async with running([1]) as stage:
        pass
    with pytest.raises(ActorStopped):
        stage.replicator.tell(Beat())
