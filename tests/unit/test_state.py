"""What a node carries from role to role: term, vote, what is written and what is durable."""

from __future__ import annotations

from typing import Any

import pytest

from raft_actors.errors import InternalError
from raft_actors.raft.effects import Persist, Send
from raft_actors.raft.messages import RequestVoteReply
from raft_actors.raft.persistent_state import CommitSnapshot, HardState, LogWrite, SnapshotMetadata
from raft_actors.raft.roles import Follower
from tests.unit.builders import batch, make_state

REPLY = RequestVoteReply(2, granted=True)


def test_knows_its_peers_in_order() -> None:
    assert make_state(voters=4).peers == ("n2", "n3", "n4")


def test_a_new_term_has_no_vote_and_no_leader() -> None:
    state = make_state(term=1, voted_for="n2")
    state.follow("n2")
    state.adopt_term(2)
    assert (state.term, state.voted_for, state.leader) == (2, None, None)


@pytest.mark.parametrize("term", [1, 2])
def test_terms_only_grow(term: int) -> None:
    with pytest.raises(InternalError, match="terms only grow"):
        make_state(term=2).adopt_term(term)


def test_the_vote_of_a_term_goes_to_one_candidate() -> None:
    state = make_state(term=1)
    state.vote_for("n2")
    state.vote_for("n2")
    with pytest.raises(InternalError, match="went to 'n2', not to 'n3'"):
        state.vote_for("n3")


def test_a_term_has_one_leader() -> None:
    state = make_state(term=1)
    state.follow("n2")
    state.follow("n2")
    with pytest.raises(InternalError, match="two leaders in term 1: 'n2' and 'n3'"):
        state.follow("n3")


@pytest.mark.parametrize("index", [0, 4])
def test_the_commit_index_does_not_fall_and_stays_within_the_log(index: int) -> None:
    state = make_state([1, 1, 1], commit_index=1)
    state.commit(3)
    with pytest.raises(InternalError, match="can't go from 3"):
        state.commit(index)


# --- writing --------------------------------------------------------------------------------------------------


def test_persist_writes_term_and_vote_only_where_they_changed() -> None:
    state = make_state(term=1)
    state.vote_for("n2")
    assert state.persist().write == LogWrite(HardState(1, "n2"))
    assert state.persist().write is None


def test_persist_tells_what_is_committed_once() -> None:
    state = make_state([1, 1, 1], commit_index=1)
    assert state.persist().write is None
    state.commit(2)
    assert state.persist().write == LogWrite(commit_index=2)
    assert state.persist().write is None


def test_a_commit_is_noted_when_no_write_is_under_way() -> None:
    state = make_state([1, 1, 1], commit_index=1)
    assert state.note_commit() == []
    under_way = state.persist()
    state.commit(3)
    assert state.note_commit() == []
    state.mark_durable(under_way)
    assert [persist.write for persist in state.note_commit()] == [LogWrite(commit_index=3)]
    assert state.note_commit() == []


def test_persist_is_stamped_with_what_it_leaves_behind() -> None:
    state = make_state([1, 1, 1])
    state.log.truncate(3)
    state.log.append(batch(3, 2))
    persist = state.persist(truncate_from=3, entries=(batch(3, 2),))
    assert persist.write == LogWrite(None, 3, (batch(3, 2),))
    assert (persist.hard_state, persist.epoch, persist.last_index) == (HardState(1, None), 1, 3)
    assert persist.size == batch(3, 2).size


def test_bytes_count_as_unsynced_until_they_are_durable() -> None:
    state = make_state()
    state.log.append(batch(1, 1))
    persist = state.persist(entries=(batch(1, 1),))
    assert state.unsynced_bytes == batch(1, 1).size
    state.mark_durable(persist)
    assert state.unsynced_bytes == 0
    assert state.log.durable_index == 1


def test_its_disk_is_behind_by_bytes_or_by_number_of_writes() -> None:
    state = make_state(max_uncommitted_bytes=100, max_command_bytes=1)
    behind = []
    for size in (100, 101, 0):
        state.unsynced_bytes = size
        behind.append(state.disk_is_behind)
    persists = [state.persist() for _ in range(100_000)]
    behind.append(state.disk_is_behind)
    for persist in persists:
        state.mark_durable(persist)
    behind.append(state.disk_is_behind)
    assert behind == [False, True, False, True, False]


def test_a_snapshot_is_written_as_it_is() -> None:
    state = make_state([1, 1])
    commit = CommitSnapshot(7, 2)
    persist = state.persist_snapshot(commit)
    assert (persist.write, persist.size, persist.last_index) == (commit, 0, 2)


# --- replying -------------------------------------------------------------------------------------------------


def test_a_reply_goes_at_once_where_term_and_vote_are_durable() -> None:
    assert make_state(term=2, voted_for="n2").reply("n2", REPLY) == Send("n2", REPLY)


def test_a_reply_waits_for_a_term_or_vote_that_is_not_durable() -> None:
    state = make_state(term=1)
    state.adopt_term(2)
    term = state.reply("n2", REPLY)
    assert isinstance(term, Persist)
    state.mark_durable(term)
    state.vote_for("n2")
    vote = state.reply("n2", REPLY)
    assert isinstance(vote, Persist)
    assert vote.then == (Send("n2", REPLY),)
    state.mark_durable(vote)
    assert state.reply("n2", REPLY) == Send("n2", REPLY)


# --- invariants -----------------------------------------------------------------------------------------------


def test_a_sound_state_passes() -> None:
    make_state([1, 1], commit_index=1).check()


@pytest.mark.parametrize("commit_index", [4, 9])
def test_the_commit_index_lies_between_snapshot_and_end_of_the_log(commit_index: int) -> None:
    state = make_state([1, 1, 1], after=SnapshotMetadata(5, 1))
    state.commit_index = commit_index
    with pytest.raises(InternalError, match=f"commit {commit_index}"):
        state.check()


def test_nothing_is_durable_beyond_the_log() -> None:
    state = make_state([1])
    state.log.durable_index = 2
    with pytest.raises(InternalError, match="durable 2"):
        state.check()


def test_there_is_no_gap_between_snapshot_and_log() -> None:
    state = make_state([1, 1])
    state.log.first_index = 2
    with pytest.raises(InternalError, match="first 2"):
        state.check()


def test_the_disk_knows_no_later_term_than_memory() -> None:
    state = make_state(term=2)
    state.durable = HardState(3)
    with pytest.raises(InternalError, match="durable term 3"):
        state.check()


# --- the first deadline -------------------------------------------------------------------------------------------


def first_and_second_deadline(**settings: Any) -> tuple[float, float]:
    state = make_state(term=2, **settings)
    state.has_just_started = True
    first, second = Follower(state), Follower(state)
    assert first.start(0.0) == second.start(0.0) == []
    return first.deadline, second.deadline


def test_waits_half_as_long_after_a_start_where_it_asks_before_it_stands() -> None:
    first, second = first_and_second_deadline()
    assert 0.2 <= first < 0.4 <= second
    first, second = first_and_second_deadline(pre_vote=False)
    assert min(first, second) >= 0.4
    assert first_and_second_deadline(voters=1)[0] == 0.0
