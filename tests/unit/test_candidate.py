"""The candidate's rules of Figure 2 (§5.2): one rule a test."""

from __future__ import annotations

import pytest

from raft_actors.raft.effects import Become, Persist, Send
from raft_actors.raft.inputs import Durable, Received, SnapshotReceived, TimerFired
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    InstallSnapshot,
    InstallSnapshotReply,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import HardState, LogWrite, SnapshotMetadata
from raft_actors.raft.roles import Candidate
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import (
    append,
    held_back,
    make_candidate,
    make_durable,
    make_state,
    of,
    propose,
    query,
    receive,
    refused,
    sent,
)

LEADER = Become(RoleName.LEADER)


def granted(term: int) -> RequestVoteReply:
    return RequestVoteReply(term, granted=True)


# --- the start of an election ---------------------------------------------------------------------------------


def test_enters_a_new_term_and_votes_for_itself() -> None:
    candidate, persist = make_candidate(term=3, voted_for="n2")
    assert persist.write == LogWrite(HardState(4, "n1"))
    assert (candidate.state.term, candidate.state.voted_for, candidate.state.leader) == (4, "n1", None)


def test_asks_all_others_once_its_own_vote_is_durable() -> None:
    candidate, persist = make_candidate([1, 1, 2], term=3)
    request = RequestVote(4, 3, 2)
    assert persist.then == (Send("n2", request), Send("n3", request))
    assert make_durable(candidate, [persist]) == [Send("n2", request), Send("n3", request)]


def test_says_how_its_log_ends_where_the_snapshot_is_all_of_it() -> None:
    _, persist = make_candidate(term=3, after=SnapshotMetadata(9, 2))
    assert held_back([persist])[0] == ("n2", RequestVote(4, 9, 2))


def test_asks_nobody_in_a_term_that_is_over() -> None:
    candidate, persist = make_candidate(term=3)
    receive(candidate, "n2", RequestVoteReply(7, granted=False))
    assert make_durable(candidate, [persist]) == []


# --- winning --------------------------------------------------------------------------------------------------


def test_leads_with_the_votes_of_a_majority() -> None:
    candidate, persist = make_candidate(term=1, voters=5)
    make_durable(candidate, [persist])
    assert receive(candidate, "n2", granted(2)) == []
    assert receive(candidate, "n3", granted(2)) == [LEADER]


def test_counts_each_voter_once() -> None:
    candidate, persist = make_candidate(term=1, voters=5)
    make_durable(candidate, [persist])
    assert receive(candidate, "n2", granted(2)) == []
    assert receive(candidate, "n2", granted(2)) == []


def test_does_not_count_denials() -> None:
    candidate, persist = make_candidate(term=1)
    make_durable(candidate, [persist])
    assert receive(candidate, "n2", RequestVoteReply(2, granted=False)) == []


def test_does_not_count_votes_of_an_earlier_election() -> None:
    candidate, persist = make_candidate(term=1)
    make_durable(candidate, [persist])
    assert receive(candidate, "n2", granted(1)) == []


def test_counts_its_own_vote_only_once_it_is_durable() -> None:
    candidate, persist = make_candidate(term=1)
    assert receive(candidate, "n2", granted(2)) == []
    assert receive(candidate, "n3", granted(2)) == []
    assert make_durable(candidate, [persist])[-1] == LEADER


def test_leads_alone_once_its_vote_is_durable() -> None:
    candidate, persist = make_candidate(term=1, voters=1)
    assert make_durable(candidate, [persist]) == [LEADER]


def test_an_ack_of_an_earlier_write_is_not_its_vote() -> None:
    state = make_state(term=1, voters=1)
    earlier = state.persist()
    candidate = Candidate(state)
    candidate.start(0.0)
    assert candidate.handle(Durable(earlier), 0.0) == []


# --- losing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [append(0, 0, term=2), InstallSnapshot(2, SnapshotMetadata(3, 1), 0, b"", False)])
def test_follows_whoever_leads_its_term(message: AppendEntries | InstallSnapshot) -> None:
    candidate, _ = make_candidate(term=1)
    assert receive(candidate, "n2", message) == [Become(RoleName.FOLLOWER, redeliver=Received("n2", message))]


@pytest.mark.parametrize(
    "message",
    [
        RequestVote(5, 0, 0),
        RequestVoteReply(5, granted=False),
        append(0, 0, term=5),
        AppendEntriesAccepted(5, 0),
        InstallSnapshotReply(5, SnapshotMetadata(3, 1), 0, installed=False),
    ],
)
def test_gives_up_for_a_higher_term_which_it_writes_first(message: RequestVote) -> None:
    candidate, _ = make_candidate(term=1)
    persist, become = receive(candidate, "n2", message)
    assert isinstance(persist, Persist)
    assert persist.write == LogWrite(HardState(5, None))
    assert become == Become(RoleName.FOLLOWER, redeliver=Received("n2", message))


def test_asks_whether_it_would_win_before_it_stands_again() -> None:
    candidate, persist = make_candidate(term=1)
    make_durable(candidate, [persist])
    assert of(Become, candidate.handle(TimerFired(), candidate.ends_at - 0.01)) == []
    assert candidate.handle(TimerFired(), candidate.ends_at) == [Become(RoleName.PRE_CANDIDATE)]


def test_tries_again_in_a_new_term_when_nobody_wins_and_pre_votes_are_off() -> None:
    candidate, persist = make_candidate(term=1, pre_vote=False)
    make_durable(candidate, [persist])
    assert candidate.handle(TimerFired(), candidate.ends_at) == [Become(RoleName.CANDIDATE)]
    [again] = Candidate(candidate.state).start(1.0)
    assert isinstance(again, Persist)
    assert again.write == LogWrite(HardState(3, "n1"))


@pytest.mark.parametrize("pre_vote", [True, False])
def test_spends_no_further_term_while_its_own_vote_waits_for_the_disk(pre_vote: bool) -> None:
    candidate, _ = make_candidate(term=1, pre_vote=pre_vote)
    ends_at = candidate.ends_at
    assert candidate.handle(TimerFired(), ends_at) == []
    assert candidate.ends_at >= ends_at + 0.4


def test_speaks_of_the_log_that_its_disk_holds_when_a_snapshot_comes_meanwhile() -> None:
    """The last chunk of a snapshot from the leader before was written while the election began."""
    candidate, persist = make_candidate([1, 1, 2], term=3)
    make_durable(candidate, [persist])
    candidate.handle(SnapshotReceived(3, "n2", SnapshotMetadata(9, 3), snapshot_id=7, chunks=1), 0.0)
    assert candidate.state.log.last_index == 9
    request = RequestVote(4, 3, 2)
    assert sent(candidate.handle(TimerFired(), candidate.deadline)) == [("n2", request), ("n3", request)]


def test_asks_again_whoever_has_not_answered() -> None:
    candidate, persist = make_candidate(term=1, voters=5)
    request = RequestVote(2, 0, 0)
    first = candidate.deadline
    assert candidate.handle(TimerFired(), first) == []  # its own vote is not durable yet
    make_durable(candidate, [persist])
    receive(candidate, "n2", granted(2), now=first)
    receive(candidate, "n3", RequestVoteReply(2, granted=False), now=first)
    assert sent(candidate.handle(TimerFired(), candidate.deadline)) == [("n4", request), ("n5", request)]


def test_gives_up_soon_where_the_vote_is_split() -> None:
    candidate, persist = make_candidate(term=1, voters=5)
    make_durable(candidate, [persist])
    receive(candidate, "n2", RequestVoteReply(2, granted=False), now=0.1)
    assert candidate.ends_at >= 0.4
    receive(candidate, "n3", RequestVoteReply(2, granted=False), now=0.1)  # n4 and n5 would do, but one led before
    assert candidate.deadline <= candidate.ends_at <= 0.1 + 4 * 0.1  # as long as both rounds take, seen from this one


def test_waits_on_where_the_vote_is_split_and_pre_votes_are_off() -> None:
    candidate, persist = make_candidate(term=1, pre_vote=False)
    make_durable(candidate, [persist])
    receive(candidate, "n2", RequestVoteReply(2, granted=False), now=0.1)
    assert candidate.ends_at >= 0.4


def test_waits_for_a_time_from_the_configured_range() -> None:
    waits = {make_candidate(term=1)[0].ends_at}
    assert all(0.4 <= wait <= 0.8 for wait in waits)


# --- others ---------------------------------------------------------------------------------------------------


def test_denies_its_vote_to_others_of_its_term_once_its_own_is_durable() -> None:
    candidate, persist = make_candidate(term=1)
    early = receive(candidate, "n2", RequestVote(2, 9, 9))
    assert sent(early) == []
    assert held_back(early) == [("n2", RequestVoteReply(2, granted=False))]
    make_durable(candidate, [persist])
    assert sent(receive(candidate, "n2", RequestVote(2, 9, 9))) == [("n2", RequestVoteReply(2, granted=False))]


def test_refuses_a_leader_of_an_older_term() -> None:
    candidate, persist = make_candidate(term=1)
    make_durable(candidate, [persist])
    [(to, reply)] = sent(receive(candidate, "n2", append(0, 0, term=1)))
    assert (to, reply.term) == ("n2", 2)


def test_refuses_proposals_and_reads_without_naming_a_leader() -> None:
    candidate, _ = make_candidate(term=1)
    for _, effects in (propose(candidate, b"x"), query(candidate)):
        [(_, error)] = refused(effects)
        assert "no leader is known" in str(error)


def test_ignores_replies_to_appends_and_snapshots_of_a_leadership_of_the_same_term() -> None:
    candidate, _ = make_candidate(term=1)
    assert receive(candidate, "n2", AppendEntriesAccepted(2, 0)) == []
    assert receive(candidate, "n2", InstallSnapshotReply(2, SnapshotMetadata(3, 1), 1, installed=True)) == []
