"""The follower's rules of Figure 2: votes, terms, the log, the commit index. One rule a test."""

from __future__ import annotations

import attrs
import pytest

from raft_actors.errors import InternalError
from raft_actors.raft.effects import Apply, Become, Persist, Send
from raft_actors.raft.inputs import Received, TimerFired
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import HardState, LogWrite
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import (
    append,
    batch,
    became,
    held_back,
    log_terms,
    make_durable,
    make_follower,
    of,
    propose,
    query,
    receive,
    refused,
    sent,
    step,
    written,
)

GRANTED = RequestVoteReply(2, granted=True)
DENIED = RequestVoteReply(2, granted=False)


# --- terms ----------------------------------------------------------------------------------------------------


def test_adopts_a_higher_term_and_writes_it_before_all_else() -> None:
    follower = make_follower(term=1, leader="n3", voted_for="n3")
    effects = receive(follower, "n2", append(0, 0, term=2))
    assert isinstance(effects[0], Persist)
    assert written(effects)[0].hard_state == HardState(2, None)
    assert (follower.state.term, follower.state.voted_for, follower.state.leader) == (2, None, "n2")


def test_writes_a_higher_term_even_where_nothing_is_answered() -> None:
    follower = make_follower(term=1)
    [persist] = receive(follower, "n2", RequestVoteReply(2, granted=False))
    assert isinstance(persist, Persist)
    assert persist.write == LogWrite(HardState(2, None))


@pytest.mark.parametrize("message", [RequestVote(1, 9, 9), append(0, 0, term=1, commit=9)])
def test_refuses_a_request_of_an_older_term_with_its_own(message: RequestVote | AppendEntries) -> None:
    follower = make_follower([1], term=2)
    deadline = follower.deadline
    [(to, reply)] = sent(receive(follower, "n2", message, now=0.1))
    assert (to, reply.term) == ("n2", 2)
    assert reply in (DENIED, AppendEntriesRejected(2, 0, None, 2))
    assert (follower.deadline, follower.state.leader) == (deadline, None)


def test_ignores_a_reply_of_an_older_term() -> None:
    follower = make_follower(term=2)
    assert receive(follower, "n2", RequestVoteReply(1, granted=True)) == []


@pytest.mark.parametrize("reply", [GRANTED, AppendEntriesAccepted(2, 9), AppendEntriesRejected(2, 9, None, 1)])
def test_ignores_replies_that_an_earlier_role_asked_for(reply: RequestVoteReply) -> None:
    assert receive(make_follower(term=2), "n2", reply) == []


def test_votes_for_whoever_asks_as_its_own_configuration_may_be_old() -> None:
    follower = make_follower(term=2)
    effects = receive(follower, "stranger", RequestVote(9, 9, 9))
    assert held_back(effects) == [("stranger", RequestVoteReply(9, granted=True))]


def test_follows_a_leader_that_it_does_not_know_yet() -> None:
    follower = make_follower([1])
    effects = receive(follower, "stranger", append(1, 1, [2]))
    assert held_back(effects) == [("stranger", AppendEntriesAccepted(2, 2))]
    assert follower.state.leader == "stranger"


# --- votes ----------------------------------------------------------------------------------------------------


def test_votes_and_answers_once_the_vote_is_durable() -> None:
    follower = make_follower(term=2)
    effects = receive(follower, "n2", RequestVote(2, 0, 0))
    assert sent(effects) == []
    assert written(effects) == [LogWrite(HardState(2, "n2"))]
    assert make_durable(follower, effects) == [Send("n2", GRANTED)]


def test_votes_only_once_a_term() -> None:
    follower = make_follower(term=2, voted_for="n3")
    assert sent(receive(follower, "n2", RequestVote(2, 9, 9))) == [("n2", DENIED)]


def test_denies_the_second_candidate_only_when_the_first_ones_vote_is_durable() -> None:
    follower = make_follower(term=2)
    first = receive(follower, "n2", RequestVote(2, 0, 0))
    second = receive(follower, "n3", RequestVote(2, 0, 0))
    assert sent(second) == []
    assert make_durable(follower, first + second) == [Send("n2", GRANTED), Send("n3", DENIED)]


def test_repeats_its_vote_for_the_same_candidate() -> None:
    follower = make_follower(term=2, voted_for="n2")
    assert sent(receive(follower, "n2", RequestVote(2, 0, 0))) == [("n2", GRANTED)]


def test_a_repeated_request_does_not_overtake_the_vote_on_its_way_to_disk() -> None:
    follower = make_follower(term=2)
    first = receive(follower, "n2", RequestVote(2, 0, 0))
    again = receive(follower, "n2", RequestVote(2, 0, 0))
    assert sent(again) == []
    assert written(again) == []  # nothing new to write
    assert held_back(again) == [("n2", GRANTED)]
    assert make_durable(follower, first + again) == [Send("n2", GRANTED)] * 2


def test_does_not_send_a_vote_of_a_term_that_is_over() -> None:
    follower = make_follower(term=2)
    vote = receive(follower, "n2", RequestVote(2, 0, 0))
    receive(follower, "n3", RequestVote(3, 0, 0))
    assert make_durable(follower, vote) == []


def test_votes_anew_in_a_new_term() -> None:
    follower = make_follower(term=2, voted_for="n3")
    effects = receive(follower, "n2", RequestVote(3, 0, 0))
    assert written(effects) == [LogWrite(HardState(3, "n2"))]


@pytest.mark.parametrize(
    ("last_index", "last_term", "granted"),
    [
        (2, 2, True),  # the same
        (3, 2, True),  # same term, longer
        (1, 2, False),  # same term, shorter
        (1, 3, True),  # later term, though shorter
        (9, 1, False),  # earlier term, though longer
        (0, 0, False),  # empty
    ],
)
def test_votes_only_for_logs_at_least_as_up_to_date(last_index: int, last_term: int, granted: bool) -> None:
    follower = make_follower([1, 2], term=4)
    effects = receive(follower, "n2", RequestVote(4, last_index, last_term))
    [(_, reply)] = sent(effects) + held_back(effects)
    assert reply == RequestVoteReply(4, granted=granted)


def test_a_vote_moves_the_election_deadline_and_a_denial_does_not() -> None:
    follower = make_follower([1], term=2)
    receive(follower, "n2", RequestVote(2, 0, 0), now=0.3)
    assert follower.deadline <= 0.8
    receive(follower, "n2", RequestVote(2, 1, 1), now=0.9)
    assert follower.deadline >= 1.3


# --- elections ------------------------------------------------------------------------------------------------


def test_stands_for_election_when_its_deadline_has_passed() -> None:
    follower = make_follower(term=2)
    assert follower.handle(TimerFired(), follower.deadline) == [Become(RoleName.PRE_CANDIDATE)]


def test_stands_at_once_where_nobody_is_to_be_asked_first() -> None:
    for follower in (make_follower(term=2, pre_vote=False), make_follower(term=2, voters=1)):
        assert follower.handle(TimerFired(), follower.deadline) == [Become(RoleName.CANDIDATE)]


def test_ignores_a_timer_that_fired_for_an_earlier_deadline() -> None:
    follower = make_follower(term=2)
    fired = follower.deadline
    receive(follower, "n2", append(0, 0, term=2), now=fired)
    assert follower.handle(TimerFired(), fired) == []


def test_waits_for_a_time_from_the_configured_range_drawn_anew_each_time() -> None:
    follower = make_follower(election_timeout_s=(1.0, 2.0))
    waits = set()
    for _ in range(50):
        receive(follower, "n2", append(0, 0, term=0), now=10.0)
        waits.add(follower.deadline - 10.0)
    assert all(1.0 <= wait <= 2.0 for wait in waits)
    assert len(waits) == 50


# --- the log --------------------------------------------------------------------------------------------------


def test_appends_entries_and_answers_once_they_are_durable() -> None:
    follower = make_follower([1], term=1)
    effects = receive(follower, "n2", append(1, 1, [1, 1]))
    assert log_terms(follower.state.log) == [1, 1, 1]
    assert written(effects) == [LogWrite(entries=(batch(2, 1), batch(3, 1)))]
    assert sent(effects) == []
    assert make_durable(follower, effects) == [Send("n2", AppendEntriesAccepted(1, 3))]


def test_rejects_a_gap_and_says_where_its_log_ends() -> None:
    follower = make_follower([1], term=1)
    assert sent(receive(follower, "n2", append(3, 1, [1]))) == [("n2", AppendEntriesRejected(1, 3, None, 2))]
    assert log_terms(follower.state.log) == [1]


def test_rejects_a_conflict_and_names_its_term_and_first_index() -> None:
    follower = make_follower([1, 2, 2, 2], term=3)
    effects = receive(follower, "n2", append(4, 3, [3]))
    assert sent(effects) == [("n2", AppendEntriesRejected(3, 4, 2, 2))]


def test_names_no_committed_index_as_conflicting() -> None:
    follower = make_follower([2, 2, 2], term=3, commit_index=2)
    effects = receive(follower, "n2", append(3, 3, [3]))
    assert sent(effects) == [("n2", AppendEntriesRejected(3, 3, 2, 3))]


def test_answers_in_a_new_term_only_when_that_is_durable() -> None:
    follower = make_follower([1], term=1)
    for request, reply in (
        (append(1, 1, term=2), AppendEntriesAccepted(2, 1)),
        (append(5, 1, term=2), AppendEntriesRejected(2, 5, None, 2)),
    ):
        effects = receive(follower, "n2", request)
        assert sent(effects) == []
        assert held_back(effects) == [("n2", reply)]


def test_replaces_what_conflicts_and_all_behind_it() -> None:
    follower = make_follower([1, 1, 2, 2], term=3)
    effects = receive(follower, "n2", append(2, 1, [3], term=3))
    assert log_terms(follower.state.log) == [1, 1, 3]
    assert written(effects) == [LogWrite(truncate_from=3, entries=(batch(3, 3),))]
    assert make_durable(follower, effects) == [Send("n2", AppendEntriesAccepted(3, 3))]


def test_keeps_what_is_behind_entries_that_match() -> None:
    """The message may have been overtaken by a later one (§5.3: only a conflict removes entries)."""
    follower = make_follower([1, 1, 1], term=1)
    effects = receive(follower, "n2", append(0, 0, [1]))
    assert log_terms(follower.state.log) == [1, 1, 1]
    assert sent(effects) == [("n2", AppendEntriesAccepted(1, 1))]


def test_takes_only_the_new_part_of_a_batch() -> None:
    follower = make_follower([1, 1], term=1)
    message = AppendEntries(1, 0, 0, 0, (batch(1, 1, count=4),))
    assert written(receive(follower, "n2", message)) == [LogWrite(entries=(batch(3, 1, count=2),))]


def test_what_is_on_its_way_to_disk_counts_only_when_it_is_there() -> None:
    follower = make_follower([1], term=1)
    first = receive(follower, "n2", append(1, 1, [1, 1]))
    again = receive(follower, "n2", append(1, 1, [1, 1]))
    assert sent(again) == [("n2", AppendEntriesAccepted(1, 1))]
    make_durable(follower, first)
    assert sent(receive(follower, "n2", append(3, 1))) == [("n2", AppendEntriesAccepted(1, 3))]


def test_tells_a_new_leader_of_what_an_earlier_one_sent_once_that_is_durable() -> None:
    """The earlier one's acknowledgement is of an older term, and dropped: it would be learnt from a heartbeat."""
    follower = make_follower([1], leader="n2", term=1)
    earlier = receive(follower, "n2", append(1, 1, [1, 1]))
    probe = receive(follower, "n3", append(3, 1, term=2))
    assert held_back(probe) == [("n3", AppendEntriesAccepted(2, 1))]
    told = make_durable(follower, earlier)
    assert (sent(told), held_back(told)) == ([], [("n3", AppendEntriesAccepted(2, 3))])  # its term is not durable yet
    assert sent(make_durable(follower, [*probe, *told]))[-1] == ("n3", AppendEntriesAccepted(2, 3))


def test_a_write_that_is_acknowledged_by_itself_is_acknowledged_once() -> None:
    follower = make_follower([1], leader="n2", term=1)
    under_way = receive(follower, "n2", append(1, 1, [1, 1]))
    assert sent(receive(follower, "n2", append(3, 1))) == [("n2", AppendEntriesAccepted(1, 1))]
    assert sent(make_durable(follower, under_way)) == [("n2", AppendEntriesAccepted(1, 3))]


def test_a_late_ack_for_overwritten_entries_does_not_make_their_successors_durable() -> None:
    follower = make_follower([1], term=2)
    doomed = receive(follower, "n2", append(1, 1, [2, 2], term=2))
    winner = receive(follower, "n3", append(1, 1, [3, 3], term=3))
    make_durable(follower, doomed)
    assert follower.state.log.durable_index == 1
    assert sent(receive(follower, "n3", append(3, 3, term=3))) == []
    make_durable(follower, winner)
    assert follower.state.log.durable_index == 3


def test_an_ack_for_a_leader_of_an_older_term_is_not_sent() -> None:
    follower = make_follower([1], term=2)
    old = receive(follower, "n2", append(1, 1, [2], term=2))
    receive(follower, "n3", append(0, 0, term=3))
    assert make_durable(follower, old) == []


def test_takes_no_more_entries_while_its_disk_is_too_far_behind() -> None:
    follower = make_follower([1], term=1, max_uncommitted_bytes=59, max_command_bytes=10)
    effects = receive(follower, "n2", append(1, 1, [1, 1]))
    assert receive(follower, "n2", append(3, 1, [1])) == []
    assert sent(receive(follower, "n2", append(1, 1)))  # a heartbeat is answered all the same
    make_durable(follower, effects)
    assert written(receive(follower, "n2", append(3, 1, [1])))


def quiet(prev_index: int, prev_term: int, *, commit: int = 0) -> AppendEntries:
    return attrs.evolve(append(prev_index, prev_term, commit=commit), wants_reply=False)


def test_does_not_answer_a_heartbeat_that_wants_none() -> None:
    follower = make_follower([1, 1], term=1)
    assert receive(follower, "n2", quiet(2, 1), now=5.0) == []
    assert (follower.state.leader, follower.deadline >= 5.4) == ("n2", True)


def test_learns_of_commits_from_a_heartbeat_that_wants_no_answer() -> None:
    follower = make_follower([1, 1], term=1)
    assert of(Apply, receive(follower, "n2", quiet(2, 1, commit=2))) == [Apply(2)]


def test_rejects_a_heartbeat_that_wants_no_answer_where_it_lacks_what_that_names() -> None:
    follower = make_follower([1, 1], term=1)
    assert sent(receive(follower, "n2", quiet(3, 1))) == [("n2", AppendEntriesRejected(1, 3, None, 3))]
    follower = make_follower([1, 1], term=2)
    assert sent(receive(follower, "n2", quiet(2, 2))) == [("n2", AppendEntriesRejected(2, 2, 1, 1))]
    assert sent(receive(follower, "n3", quiet(2, 1))) == [("n3", AppendEntriesRejected(2, 2, None, 3))]


# --- applications ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("leader", "address"), [("n2", "address 2"), (None, None)])
def test_refuses_proposals_and_reads_naming_the_leader(leader: str | None, address: str | None) -> None:
    follower = make_follower(term=2, leader=leader)
    proposal, effects = propose(follower, b"x")
    read, more = query(follower)
    for (outcome, error), expected in zip(refused(effects + more), (proposal, read), strict=True):
        assert outcome is expected
        assert (getattr(error, "leader"), getattr(error, "address")) == (leader, address)  # noqa: B009


def test_the_end_of_a_step_and_of_the_role_ask_for_nothing() -> None:
    follower = make_follower(term=2)
    assert step(follower, Received("n2", RequestVoteReply(1, granted=True))) == []
    assert follower.leave() == []
    assert became(follower.end_of_step(0.0)) == []


def test_two_leaders_in_one_term_are_our_bug() -> None:
    follower = make_follower(term=2, leader="n2")
    with pytest.raises(InternalError, match="two leaders in term 2"):
        receive(follower, "n3", append(0, 0, term=2))


def test_word_from_the_leader_moves_the_deadline_even_where_it_is_rejected() -> None:
    follower = make_follower(term=2)
    receive(follower, "n2", append(7, 1, term=2), now=0.3)
    assert follower.deadline >= 0.7
    assert follower.state.leader == "n2"


# --- alone ------------------------------------------------------------------------------------------------------


def test_the_only_voter_stands_soon_after_its_disk_is_through() -> None:
    follower = make_follower([1], voters=1)
    follower.state.unsynced_writes = 1
    assert follower.stand(5.0) == []
    assert follower.deadline == 5.0 + follower.state.config.heartbeat_interval_s
    follower.state.unsynced_writes = 0
    assert became(follower.stand(follower.deadline)) == [Become(RoleName.CANDIDATE)]
