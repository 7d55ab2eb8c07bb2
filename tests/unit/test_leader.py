"""The leader's rules of Figure 2: appending, counting, committing, stepping down. One rule a test."""

from __future__ import annotations

import pytest

from raft_actors.errors import InternalError, LeadershipLost, NotLeader
from raft_actors.raft.effects import (
    AnnounceCommit,
    Apply,
    Beat,
    Become,
    Effect,
    Feed,
    Persist,
    ReplicateTo,
    WakeReplicators,
)
from raft_actors.raft.entries import EntryKind
from raft_actors.raft.inputs import Received, SnapshotReceived, SnapshotWritten, TimerFired
from raft_actors.raft.membership import Configuration
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    InstallSnapshot,
    InstallSnapshotReply,
    RequestPreVote,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import CommitSnapshot, HardState, LogWrite, SnapshotMetadata
from raft_actors.raft.roles import Leader, PreCandidate
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import (
    append,
    became,
    log_terms,
    make_durable,
    make_leader,
    make_state,
    of,
    propose,
    query,
    receive,
    refused,
    sent,
    step,
    stored,
    written,
)


def accepted(match_index: int, term: int = 2) -> AppendEntriesAccepted:
    return AppendEntriesAccepted(term, match_index)


# --- the start ------------------------------------------------------------------------------------------------


def test_begins_its_term_with_an_entry_of_its_own() -> None:
    leader = make_leader([1, 1], durable=False)
    assert log_terms(leader.state.log) == [1, 1, 2]
    [batch] = leader.state.log.recent(3, 3, 1) or []
    assert (batch.kind, batch.commands()) == (EntryKind.NOOP, [b""])


def test_writes_its_first_entry_and_sends_it_in_parallel() -> None:
    leader = make_leader([1], durable=False)
    leader.state.log.truncate(2)
    leader.state.leader = None
    replicate, persist, wake = leader.start(0.0)
    assert replicate == ReplicateTo(("n2", "n3"), next_index=2)  # its own entry is the first that it sends
    assert isinstance(persist, Persist)
    assert (persist.then, wake) == ((), WakeReplicators())


def test_knows_that_it_leads() -> None:
    assert make_leader().state.leader == "n1"


def test_knows_nothing_of_its_followers_logs() -> None:
    assert make_leader([1, 1]).commit.match_index == {"n2": 0, "n3": 0}


# --- committing -----------------------------------------------------------------------------------------------


def test_commits_what_a_majority_has_on_disk() -> None:
    leader = make_leader([1, 1], voters=5)
    assert of(Apply, receive(leader, "n2", accepted(3))) == []
    assert of(Apply, receive(leader, "n3", accepted(3))) == [Apply(3)]
    assert leader.state.commit_index == 3


def test_counts_itself_only_once_its_own_disk_has_it() -> None:
    leader = make_leader([1])
    proposal, _ = propose(leader, b"x")
    effects = step(leader)
    assert of(Apply, receive(leader, "n2", accepted(3))) == [Apply(2)]
    assert make_durable(leader, effects) == [Apply(3, (proposal,)), AnnounceCommit()]


def test_commits_with_a_majority_of_followers_before_its_own_disk_has_it() -> None:
    leader = make_leader([1], durable=False)
    assert of(Apply, receive(leader, "n2", accepted(2))) == []
    assert of(Apply, receive(leader, "n3", accepted(2))) == [Apply(2)]


def test_commits_alone_as_the_only_voter() -> None:
    leader = make_leader(voters=1)
    assert leader.state.commit_index == 1


def test_does_not_count_an_ack_of_its_disk_for_entries_overwritten_since() -> None:
    """The ack of a write that it asked for as a follower comes when it leads, and its log is another (ABA)."""
    leader = make_leader([1], durable=False)
    log = leader.state.log
    stale = Persist(LogWrite(), (), HardState(2, "n1"), epoch=log.epoch - 1, last_index=2)
    make_durable(leader, [stale])
    assert log.durable_index == 1


def test_does_not_commit_an_entry_of_an_earlier_term_by_counting() -> None:
    """Figure 8: such an entry may still be overwritten, though a majority has it."""
    leader = make_leader([1, 1])
    assert of(Apply, receive(leader, "n2", accepted(2))) == []
    assert leader.state.commit_index == 0


def test_commits_entries_of_earlier_terms_along_with_its_first() -> None:
    leader = make_leader([1, 1])
    assert of(Apply, receive(leader, "n2", accepted(3))) == [Apply(3)]


def test_an_older_answer_does_not_take_a_match_back() -> None:
    leader = make_leader([1, 1], voters=5)
    receive(leader, "n2", accepted(3))
    receive(leader, "n2", accepted(1))
    assert leader.commit.match_index["n2"] == 3


def test_feeds_every_answer_to_that_followers_replicator() -> None:
    leader = make_leader([1])
    for reply in (
        accepted(1),
        AppendEntriesRejected(2, 2, 1, 1),
        InstallSnapshotReply(2, SnapshotMetadata(1, 1), 1, installed=False),
    ):
        assert receive(leader, "n3", reply)[0] == Feed("n3", reply)


def test_an_installed_snapshot_is_a_match() -> None:
    leader = make_leader([1])
    reply = InstallSnapshotReply(2, SnapshotMetadata(2, 2), 3, installed=True)
    assert of(Apply, receive(leader, "n2", reply)) == [Apply(2)]
    older = InstallSnapshotReply(2, SnapshotMetadata(1, 1), 3, installed=True)
    receive(leader, "n2", older)
    assert leader.commit.match_index["n2"] == 2


def test_a_snapshot_under_way_is_no_match() -> None:
    leader = make_leader([1])
    receive(leader, "n2", InstallSnapshotReply(2, SnapshotMetadata(2, 2), 1, installed=False))
    assert leader.commit.match_index["n2"] == 0


@pytest.mark.parametrize("message", [append(0, 0, term=2), InstallSnapshot(2, SnapshotMetadata(3, 1), 0, b"", False)])
def test_another_leader_of_its_term_is_our_bug(message: AppendEntries | InstallSnapshot) -> None:
    with pytest.raises(InternalError, match="'n2' and this node 'n1' both lead term 2"):
        receive(make_leader(), "n2", message)


# --- its own snapshots ----------------------------------------------------------------------------------------


def test_compacts_its_log_behind_a_snapshot_of_its_own() -> None:
    leader = make_leader([1, 1], commit_index=2, trailing_entries=0)
    [persist] = leader.handle(SnapshotWritten(SnapshotMetadata(2, 1), 7), 0.0)
    assert isinstance(persist, Persist)
    assert persist.write == CommitSnapshot(7, 3)


def test_a_snapshot_that_the_leader_s_log_contradicts_is_our_bug() -> None:
    leader = make_leader([1, 1])
    with pytest.raises(InternalError, match=r"lacks what .* holds"):
        leader.handle(SnapshotReceived(1, "n2", SnapshotMetadata(5, 1), 7, 3), 0.0)


def test_a_snapshot_received_before_it_led_is_installed_without_harm() -> None:
    leader = make_leader([1, 1], commit_index=0)
    [persist] = leader.handle(SnapshotReceived(1, "n2", SnapshotMetadata(2, 1), 7, 3), 0.0)
    assert isinstance(persist, Persist)
    assert persist.write == CommitSnapshot(7, 3, discard_log=False)
    assert log_terms(leader.state.log) == [2]


# --- heartbeats and check quorum ------------------------------------------------------------------------------


def test_beats_as_often_as_configured() -> None:
    leader = make_leader(heartbeat_interval_s=0.05)
    assert leader.deadline == 0.05
    assert leader.handle(TimerFired(), 0.05) == [Beat()]
    assert leader.deadline == pytest.approx(0.1)


def beat(leader: Leader, now: float, *, late_s: float = 0.0) -> list[Effect]:
    """What it decides when a heartbeat is due."""
    leader.deadline = now - late_s
    return leader.on_deadline(now)


def test_steps_down_when_no_majority_has_answered_for_the_longest_election_timeout() -> None:
    leader = make_leader(voters=5)
    assert beat(leader, 0.8) == [Beat(frozenset(leader.state.peers))]
    assert became(beat(leader, 0.81)) == [Become(RoleName.PRE_CANDIDATE)]
    assert leader.state.leader is None
    assert leader.state.term == 2


def test_asks_for_pre_votes_at_once_then_so_that_whoever_hears_it_knows() -> None:
    leader = make_leader([1, 2], voters=3)
    assert became(beat(leader, 0.81)) == [Become(RoleName.PRE_CANDIDATE)]
    leader.leave()
    asking = PreCandidate(leader.state).start(0.81)
    assert sent(asking) == [(peer, RequestPreVote(3, 3, 2, 1)) for peer in ("n2", "n3")]


def test_does_not_ask_where_pre_votes_are_off_or_it_has_no_vote() -> None:
    leader = make_leader(voters=3, pre_vote=False)
    assert became(beat(leader, 0.81)) == [Become(RoleName.FOLLOWER)]
    others = Configuration({"n2", "n3"})
    leader = make_leader([1], commit_index=1, stored_configurations=(stored(1, others),))
    assert became(beat(leader, 0.81)) == [Become(RoleName.FOLLOWER)]
    assert leader.state.leader is None


@pytest.mark.parametrize(
    "reply",
    [
        accepted(0),
        AppendEntriesRejected(2, 1, None, 1),
        InstallSnapshotReply(2, SnapshotMetadata(1, 1), 1, installed=False),
    ],
)
def test_any_answer_of_a_majority_keeps_it_in_office(reply: AppendEntriesAccepted) -> None:
    leader = make_leader(voters=5)
    receive(leader, "n2", reply, now=0.5)
    assert became(beat(leader, 0.9)) == [Become(RoleName.PRE_CANDIDATE)]
    leader.state.follow("n1")
    receive(leader, "n3", reply, now=0.6)
    assert beat(leader, 1.2) == [Beat(frozenset(leader.state.peers))]
    assert became(beat(leader, 1.4)) == [Become(RoleName.PRE_CANDIDATE)]


def test_names_those_who_have_not_answered_for_half_an_election_timeout() -> None:
    leader = make_leader(voters=3)
    receive(leader, "n2", accepted(0), now=0.25)
    assert beat(leader, 0.375) == [Beat()]
    assert beat(leader, 0.5) == [Beat(frozenset({"n3"}))]
    assert beat(leader, 0.75) == [Beat(frozenset({"n2", "n3"}))]
    receive(leader, "n3", accepted(0), now=0.75)
    assert beat(leader, 0.875) == [Beat(frozenset({"n2"}))]


def test_one_that_was_held_up_asks_before_it_steps_down() -> None:
    leader = make_leader(voters=3)
    assert beat(leader, 7.0, late_s=0.11) == [Beat(frozenset({"n2", "n3"}))]
    assert leader.deadline == pytest.approx(7.1)
    assert became(beat(leader, 7.1, late_s=0.09)) == [Become(RoleName.PRE_CANDIDATE)]
    leader = make_leader(voters=3)
    beat(leader, 7.0, late_s=0.11)
    receive(leader, "n2", accepted(0), now=7.05)
    assert beat(leader, 7.1) == [Beat(frozenset({"n3"}))]


def test_has_a_whole_timeout_to_be_answered_from_its_start() -> None:
    leader = Leader(make_state(term=2, voted_for="n1"))
    leader.start(100.0)
    assert beat(leader, 100.3) == [Beat()]
    assert beat(leader, 100.7) == [Beat(frozenset({"n2", "n3"}))]
    assert became(beat(leader, 100.9)) == [Become(RoleName.PRE_CANDIDATE)]


def test_stays_in_office_alone_where_check_quorum_is_off() -> None:
    assert beat(make_leader(check_quorum=False), 99.0) == [Beat(frozenset({"n2", "n3"}))]


def test_stays_in_office_as_the_only_voter() -> None:
    assert beat(make_leader(voters=1), 99.0)[0] == Beat()


def test_tells_its_storage_of_the_last_commit_with_the_next_beat() -> None:
    leader = make_leader([1])
    receive(leader, "n2", accepted(2))
    due, note = leader.on_deadline(0.1)
    assert due == Beat()
    assert written([note]) == [LogWrite(commit_index=2)]
    assert leader.on_deadline(0.2) == [Beat()]


# --- other terms ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        RequestVote(5, 0, 0, leadership_transfer=True),
        RequestVoteReply(5, granted=True),
        append(0, 0, term=5),
        accepted(99, term=5),
        AppendEntriesRejected(5, 1, None, 1),
        InstallSnapshot(5, SnapshotMetadata(9, 4), 0, b"", False),
        InstallSnapshotReply(5, SnapshotMetadata(9, 4), 0, installed=True),
    ],
)
def test_steps_down_for_a_higher_term_which_it_writes_first(message: RequestVote) -> None:
    leader = make_leader()
    persist, become = receive(leader, "n2", message)
    assert isinstance(persist, Persist)
    assert persist.write == LogWrite(HardState(5, None))
    assert become == Become(RoleName.FOLLOWER, redeliver=Received("n2", message))
    assert leader.state.leader is None


def test_denies_its_vote_to_a_candidate_of_its_own_term() -> None:
    assert sent(receive(make_leader(), "n2", RequestVote(2, 9, 9))) == [("n2", RequestVoteReply(2, granted=False))]


def test_refuses_candidates_and_leaders_of_older_terms() -> None:
    leader = make_leader()
    assert sent(receive(leader, "n2", RequestVote(1, 9, 9))) == [("n2", RequestVoteReply(2, granted=False))]
    assert sent(receive(leader, "n2", append(0, 0, term=1)))[0][1].term == 2


def test_ignores_late_votes_and_answers_of_older_terms() -> None:
    leader = make_leader()
    assert receive(leader, "n2", RequestVoteReply(2, granted=True)) == []
    assert receive(leader, "n2", accepted(99, term=1)) == []


# --- leaving --------------------------------------------------------------------------------------------------


def test_tells_what_is_known_of_each_proposal_when_its_leadership_ends() -> None:
    leader = make_leader()
    appended, _ = propose(leader, b"a")
    step(leader)
    read, _ = query(leader)
    step(leader)
    late, _ = propose(leader, b"b")
    late_read, _ = query(leader)
    leader.state.adopt_term(3)
    errors = dict(refused(leader.leave()))
    assert appended not in errors
    assert len(leader.state.unresolved) == 1
    assert isinstance(errors[read], LeadershipLost)
    assert "the read" in str(errors[read])
    for outcome in (late, late_read):
        assert isinstance(errors[outcome], NotLeader)
    assert refused(leader.leave()) == []


def test_does_not_fail_what_is_committed_when_its_leadership_ends() -> None:
    leader = make_leader()
    proposal, _ = propose(leader, b"a")
    make_durable(leader, step(leader))
    assert of(Apply, receive(leader, "n2", accepted(2))) == [Apply(2, (proposal,))]
    assert refused(leader.leave()) == []


def test_a_step_with_nothing_to_append_writes_nothing() -> None:
    assert written(step(make_leader())) == []
