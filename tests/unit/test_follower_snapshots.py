"""InstallSnapshot on a follower (Figure 13, §7), and snapshots of its own state: one rule a test."""

from __future__ import annotations

from raft_actors.raft.effects import AnnounceSnapshot, Apply, DiscardSnapshot, RestoreSnapshot, Send, StoreChunk
from raft_actors.raft.inputs import ChunkStored, SnapshotReceived, SnapshotWritten
from raft_actors.raft.messages import AppendEntriesAccepted, InstallSnapshot, InstallSnapshotReply
from raft_actors.raft.persistent_state import CommitSnapshot, SnapshotMetadata
from tests.unit.builders import append, held_back, log_terms, make_durable, make_follower, of, receive, sent

SNAPSHOT = SnapshotMetadata(5, 2)


def chunk(term: int, snapshot: SnapshotMetadata = SNAPSHOT, sequence: int = 0) -> InstallSnapshot:
    """A chunk from the leader of that term."""
    return InstallSnapshot(term, snapshot, sequence, b"data", done=False)


def complete(term: int, snapshot: SnapshotMetadata = SNAPSHOT) -> SnapshotReceived:
    """The last chunk is written."""
    return SnapshotReceived(term, "n2", snapshot, snapshot_id=7, chunks=3)


def installed(term: int, snapshot: SnapshotMetadata = SNAPSHOT, next_sequence: int = 3) -> InstallSnapshotReply:
    """The word that the leader waits for."""
    return InstallSnapshotReply(term, snapshot, next_sequence, installed=True)


# --- chunks ---------------------------------------------------------------------------------------------------


def test_refuses_a_chunk_of_an_older_term() -> None:
    follower = make_follower(term=3)
    assert sent(receive(follower, "n2", chunk(2))) == [("n2", InstallSnapshotReply(3, SNAPSHOT, 0, installed=False))]


def test_has_chunks_written_and_knows_the_leader_by_them() -> None:
    follower = make_follower(term=3)
    message = chunk(3)
    assert receive(follower, "n2", message, now=0.3) == [StoreChunk("n2", message)]
    assert follower.state.leader == "n2"
    assert follower.deadline >= 0.7


def test_needs_no_snapshot_of_what_is_committed_here() -> None:
    """But the entries before may still be on their way to disk, and the leader will count on them."""
    follower = make_follower([1, 1, 2, 2, 2], term=3, commit_index=5)
    effects = receive(follower, "n2", chunk(3, sequence=1))
    assert sent(effects) == []
    assert held_back(effects) == [("n2", installed(3, next_sequence=2))]


def test_takes_no_chunk_while_its_disk_is_too_far_behind() -> None:
    follower = make_follower(term=3, max_uncommitted_bytes=10, max_command_bytes=10)
    effects = receive(follower, "n2", append(0, 0, [1], term=3))
    assert receive(follower, "n2", chunk(3)) == []
    make_durable(follower, effects)
    assert receive(follower, "n2", chunk(3)) == [StoreChunk("n2", chunk(3))]


def test_asks_for_the_next_chunk_when_one_is_written() -> None:
    follower = make_follower(term=3)
    reply = InstallSnapshotReply(3, SNAPSHOT, 1, installed=False)
    assert sent(follower.handle(ChunkStored(3, Send("n2", reply)), 0.0)) == [("n2", reply)]


def test_asks_for_nothing_in_a_term_that_is_over() -> None:
    follower = make_follower(term=4)
    assert follower.handle(ChunkStored(3, Send("n2", InstallSnapshotReply(3, SNAPSHOT, 1, installed=False))), 0.0) == []


# --- a whole snapshot -----------------------------------------------------------------------------------------


def test_a_snapshot_beyond_the_log_replaces_all_of_it() -> None:
    follower = make_follower([1, 1], term=3)
    [effect] = follower.handle(complete(3), 0.0)
    log = follower.state.log
    assert effect == follower.state.persist_snapshot(
        CommitSnapshot(7, 6, discard_log=True), RestoreSnapshot(SNAPSHOT), Send("n2", installed(3))
    )
    assert (log.first_index, log.last_index, log.last_term, follower.state.commit_index) == (6, 5, 2, 5)


def test_a_snapshot_that_the_log_contradicts_replaces_all_of_it() -> None:
    follower = make_follower([1] * 8, term=3)
    [effect] = follower.handle(complete(3), 0.0)
    assert getattr(effect, "write", None) == CommitSnapshot(7, 6, discard_log=True)
    assert log_terms(follower.state.log) == []


def test_a_snapshot_that_the_log_agrees_with_leaves_what_comes_after_it() -> None:
    follower = make_follower([1, 1, 2, 2, 2, 2, 3], term=3)
    [effect] = follower.handle(complete(3), 0.0)
    assert getattr(effect, "write", None) == CommitSnapshot(7, 6, discard_log=False)
    assert log_terms(follower.state.log) == [2, 3]
    assert follower.state.log.durable_index == 7


def test_tells_the_leader_and_restores_the_state_machine_once_the_snapshot_is_durable() -> None:
    follower = make_follower([1], term=3)
    effects = follower.handle(complete(3), 0.0)
    assert sent(effects) == []
    assert make_durable(follower, effects) == [RestoreSnapshot(SNAPSHOT), Send("n2", installed(3))]
    assert follower.state.log.durable_index == 5


def test_restores_the_state_machine_also_where_the_term_has_changed_meanwhile() -> None:
    follower = make_follower([1], term=3)
    effects = follower.handle(complete(3), 0.0)
    receive(follower, "n3", append(0, 0, term=4))
    assert make_durable(follower, effects) == [RestoreSnapshot(SNAPSHOT)]


def test_installs_what_a_leader_finished_sending_as_its_term_ended() -> None:
    """All of it was committed: to throw it away would let a slow follower start over with each election."""
    follower = make_follower([1, 1], term=4)
    effects = follower.handle(complete(3), 0.0)
    assert make_durable(follower, effects) == [RestoreSnapshot(SNAPSHOT), Send("n2", installed(4))]
    assert follower.state.commit_index == 5


def test_nothing_counts_as_durable_until_the_snapshot_is() -> None:
    follower = make_follower([1, 1], term=3)
    effects = follower.handle(complete(3), 0.0)
    assert sent(receive(follower, "n2", append(5, 2, term=3))) == [("n2", AppendEntriesAccepted(3, 0))]
    make_durable(follower, effects)
    assert sent(receive(follower, "n2", append(5, 2, term=3))) == [("n2", AppendEntriesAccepted(3, 5))]


def test_entries_follow_a_snapshot_that_is_not_durable_yet() -> None:
    follower = make_follower([1, 1], term=3)
    first = follower.handle(complete(3), 0.0)
    second = receive(follower, "n2", append(5, 2, [3], term=3, commit=6))
    assert make_durable(follower, first + second)[-2:] == [Send("n2", AppendEntriesAccepted(3, 6)), Apply(6)]
    assert follower.state.commit_index == 6


def test_discards_a_snapshot_that_was_overtaken_by_entries_and_says_that_it_is_here() -> None:
    follower = make_follower([1, 1, 2, 2, 2], term=3, commit_index=5)
    effects = follower.handle(complete(3), 0.0)
    assert of(DiscardSnapshot, effects) == [DiscardSnapshot(7)]
    assert (sent(effects), held_back(effects)) == ([], [("n2", installed(3))])


# --- snapshots of its own state -------------------------------------------------------------------------------


def test_its_own_snapshot_replaces_the_log_but_for_the_trailing_entries() -> None:
    follower = make_follower([1] * 10, term=1, commit_index=9, trailing_entries=3)
    snapshot = SnapshotMetadata(8, 1)
    effects = follower.handle(SnapshotWritten(snapshot, 7), 0.0)
    assert [getattr(effect, "write", None) for effect in effects] == [CommitSnapshot(7, 6)]
    assert make_durable(follower, effects) == [AnnounceSnapshot(snapshot)]
    assert (follower.state.log.first_index, follower.state.log.snapshot) == (6, snapshot)


def test_its_own_snapshot_keeps_the_whole_log_where_that_is_short() -> None:
    follower = make_follower([1] * 10, term=1, commit_index=9, trailing_entries=30)
    effects = follower.handle(SnapshotWritten(SnapshotMetadata(8, 1), 7), 0.0)
    assert [getattr(effect, "write", None) for effect in effects] == [CommitSnapshot(7, 1)]


def test_gives_its_own_snapshot_up_for_a_newer_one_of_the_leader() -> None:
    newer = SnapshotMetadata(9, 2)
    follower = make_follower(term=2, after=newer)
    effects = follower.handle(SnapshotWritten(SnapshotMetadata(9, 2), 7), 0.0)
    assert effects == [DiscardSnapshot(7), AnnounceSnapshot(newer, taken=False)]
