"""The follower's commit index: how it learns it, notes it and has it applied (§5.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.errors import InternalError
from raft_actors.raft.effects import Apply, Send
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.inputs import SnapshotReceived
from raft_actors.raft.messages import AppendEntries, AppendEntriesAccepted, InstallSnapshot
from raft_actors.raft.persistent_state import HardState, LogWrite, SnapshotMetadata
from tests.unit.builders import append, batch, command, make_durable, make_follower, of, receive, sent, written


def test_commits_what_the_leader_says_up_to_what_it_knows_to_match() -> None:
    follower = make_follower([1, 1, 1], term=2)
    assert of(Apply, receive(follower, "n2", append(1, 1, term=2, commit=3))) == [Apply(1)]
    assert of(Apply, receive(follower, "n2", append(3, 1, term=2, commit=2))) == [Apply(2)]
    assert of(Apply, receive(follower, "n2", append(3, 1, term=2, commit=2))) == []


def test_tells_its_storage_what_is_committed_with_the_entries_that_come_with_it() -> None:
    follower = make_follower([1, 1, 1], term=2)
    effects = receive(follower, "n2", append(3, 1, [2], commit=3))
    assert written(effects) == [LogWrite(entries=(batch(4, 2),), commit_index=3)]
    effects = receive(follower, "n2", append(4, 2, [2], commit=5))
    assert written(effects) == [LogWrite(entries=(batch(5, 2),), commit_index=5)]


def test_applies_what_is_committed_after_the_answer_to_the_entries_that_come_with_it() -> None:
    """The leader's proposers wait for the answer, nobody for this."""
    follower = make_follower([1, 1, 1], term=2)
    effects = receive(follower, "n2", append(3, 1, [2], commit=4))
    assert of(Apply, effects) == []
    assert follower.state.commit_index == 4
    assert make_durable(follower, effects) == [Send("n2", AppendEntriesAccepted(2, 4)), Apply(4)]


def test_applies_what_is_committed_though_the_term_of_the_entries_that_came_with_it_is_over() -> None:
    follower = make_follower([1, 1, 1], term=2)
    effects = receive(follower, "n2", append(3, 1, [2], commit=4))
    receive(follower, "n3", append(4, 2, term=3))
    assert of(Apply, make_durable(follower, effects)) == [Apply(4)]


def test_a_disk_that_hangs_keeps_nothing_from_being_applied_that_later_heartbeats_commit() -> None:
    follower = make_follower([1, 1, 1], term=2)
    receive(follower, "n2", append(3, 1, [2], commit=3))
    assert of(Apply, receive(follower, "n2", append(4, 2, commit=4))) == [Apply(4)]


def test_tells_its_storage_of_a_commit_that_a_heartbeat_brings_once_nothing_is_under_way() -> None:
    follower = make_follower([1, 1, 1], term=2)
    effects = receive(follower, "n2", append(3, 1, [2], commit=2))
    assert written(receive(follower, "n2", append(4, 2, commit=4))) == []
    make_durable(follower, effects)
    assert written(receive(follower, "n2", append(4, 2, commit=4))) == [LogWrite(commit_index=4)]
    assert written(receive(follower, "n2", append(4, 2, commit=4))) == []


def test_what_replaces_entries_tells_of_no_commit_among_them() -> None:
    """They may be committed in memory while the disk still holds the old ones: the word of it follows them."""
    follower = make_follower([1, 2, 2], term=2, commit_index=1)
    replaced = receive(follower, "n3", append(1, 1, [3, 3], term=3, commit=1))
    assert written(replaced) == [LogWrite(HardState(3), 2, (batch(2, 3), batch(3, 3)), commit_index=1)]
    assert written(receive(follower, "n3", append(3, 3, term=3, commit=3))) == []
    more = receive(follower, "n3", append(3, 3, [3], term=3, commit=3))
    assert written(more) == [LogWrite(entries=(batch(4, 3),), commit_index=3)]


def test_does_not_go_back_in_what_is_committed() -> None:
    follower = make_follower([1, 1], term=1, commit_index=2)
    assert of(Apply, receive(follower, "n2", append(2, 1, commit=1))) == []
    assert follower.state.commit_index == 2


def test_accepts_entries_from_before_its_commit_index_without_looking() -> None:
    follower = make_follower([1, 1, 1], term=2, commit_index=3)
    effects = receive(follower, "n2", append(0, 0, [1, 1], term=2))
    assert sent(effects) == [("n2", AppendEntriesAccepted(2, 2))]


def test_a_leader_that_contradicts_a_committed_entry_is_our_bug() -> None:
    follower = make_follower([1, 1], term=3, commit_index=2)
    with pytest.raises(InternalError, match="where an entry of term 1 is committed"):
        receive(follower, "n2", append(2, 2, term=3))
    with pytest.raises(
        InternalError, match="sends an entry 2 of term 2, where this node 'n1' has committed another one"
    ):
        receive(follower, "n2", AppendEntries(3, 0, 0, 0, (batch(1, 1), batch(2, 2, count=2))))


@pytest.mark.parametrize(
    "entries",
    [
        (batch(1, 2), batch(2, 2)),
        (batch(1, 1), batch(2, 2)),
        (batch(1, 2, count=3),),
        (batch(1, 1), EntryBatch.encode(2, 1, EntryKind.COMMAND, [b"another"])),
        (EntryBatch.encode(1, 1, EntryKind.COMMAND, [command(1), b"another"]),),
        (EntryBatch.encode(1, 1, EntryKind.COMMAND, [command(1), command(2), b"another", b"more"]),),
    ],
    ids=["terms", "the last term", "a longer batch", "bytes", "bytes in a batch", "bytes of a longer batch"],
)
def test_entries_that_are_not_those_committed_here_are_not_acknowledged(entries: tuple[EntryBatch, ...]) -> None:
    """A majority lost its files: the leader would count the answer, and commit what this node has applied otherwise."""
    follower = make_follower([1, 1, 1], term=3, commit_index=3)
    with pytest.raises(InternalError, match="has committed another one"):
        receive(follower, "n2", AppendEntries(3, 0, 0, 0, entries))


def test_entries_below_the_log_are_held_against_the_snapshots_end() -> None:
    follower = make_follower([1, 1, 1], term=3, commit_index=3)
    follower.state.log.compact(SnapshotMetadata(2, 1), 3)
    with pytest.raises(InternalError, match="sends an entry 2 of term 2"):
        receive(follower, "n2", AppendEntries(3, 0, 0, 0, (batch(1, 2, count=2),)))
    assert sent(receive(follower, "n2", AppendEntries(3, 0, 0, 0, (batch(1, 1, count=2),)))) == [
        ("n2", AppendEntriesAccepted(3, 2))
    ]


@given(st.lists(st.integers(1, 4), min_size=6, max_size=6), st.lists(st.integers(1, 3), min_size=1, max_size=6))
def test_the_same_entries_cut_otherwise_are_no_contradiction(kept: list[int], cuts: list[int]) -> None:
    """However a leader cuts them, and however the log holds them."""
    follower = make_follower(term=3)
    log = follower.state.log
    for count in kept:
        log.append(batch(log.last_index + 1, 1, count))
    follower.state.commit(log.last_index)
    index = 1
    for count in cuts:
        again = batch(index, 1, count).before(log.last_index + 1)
        assert log.contradiction(again) is None
        index += count
        if index > log.last_index:
            break


def test_a_snapshot_that_ends_with_another_entry_than_the_committed_one_is_not_acknowledged() -> None:
    follower = make_follower([1, 1, 1], term=3, commit_index=3)
    with pytest.raises(InternalError, match="ends with an entry 2 of term 2, where this node 'n1' has committed"):
        receive(follower, "n2", InstallSnapshot(3, SnapshotMetadata(2, 2), 0, b"", done=True))
    with pytest.raises(InternalError, match="ends with an entry 2 of term 2, where this node 'n1' has committed"):
        follower.handle(SnapshotReceived(3, "n2", SnapshotMetadata(2, 2), 1, 1), 0.0)
