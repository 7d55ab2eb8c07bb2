"""What a node does that is asked for a vote or a pre-vote while it hears of a leader (dissertation §4.2.3, §9.6)."""

from __future__ import annotations

from typing import Any

import pytest

from raft_actors.raft.effects import Become, Persist
from raft_actors.raft.inputs import PeerDisconnected, TimerFired
from raft_actors.raft.membership import Configuration, Member
from raft_actors.raft.messages import (
    AppendEntriesAccepted,
    InstallSnapshot,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import HardState, SnapshotMetadata
from raft_actors.raft.roles import Follower, Role
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import (
    append,
    held_back,
    make_candidate,
    make_durable,
    make_follower,
    make_leader,
    receive,
    sent,
    stored,
    written,
)

SHORTEST_S, LONGEST_S = 0.4, 0.8


def asks(term: int, last_index: int = 9, last_term: int = 9) -> RequestPreVote:
    return RequestPreVote(term, last_index, last_term, 5)


def granted(role: Role, message: RequestPreVote, *, now: float = 0.0) -> bool:
    """Ask for a pre-vote; tell whether it was granted. Checks that a grant says the term asked for, a refusal its own,
    and that nothing has changed."""
    before = _all_of(role)
    [(to, reply)] = sent(receive(role, "n2", message, now=now))
    assert _all_of(role) == before
    assert to == "n2"
    assert isinstance(reply, RequestPreVoteReply)
    assert reply == RequestPreVoteReply(message.term if reply.granted else role.state.term, 5, reply.granted)
    return reply.granted


def _all_of(role: Role) -> tuple[object, ...]:
    state = role.state
    heard_at = role.heard_at if isinstance(role, Follower) else None
    return state.term, state.voted_for, state.leader, state.written, state.unsynced_writes, role.deadline, heard_at


def follows(*, heard_at: float = 0.0, **state: Any) -> Follower:
    """A follower of n3 in term 2 that has heard of it at that time."""
    follower = make_follower([1, 2], term=2, **state)
    receive(follower, "n3", append(2, 2, term=2), now=heard_at)
    return follower


# --- pre-votes ------------------------------------------------------------------------------------------------


def test_grants_a_term_that_is_above_its_own() -> None:
    follower = make_follower([1, 2], term=4, voted_for="n3")
    assert granted(follower, asks(5))
    assert granted(follower, asks(9))
    assert not granted(follower, asks(4))
    assert not granted(follower, asks(2))


@pytest.mark.parametrize(
    ("last_index", "last_term", "expected"), [(2, 2, True), (1, 3, True), (1, 2, False), (9, 1, False)]
)
def test_grants_only_logs_at_least_as_up_to_date(last_index: int, last_term: int, expected: bool) -> None:
    assert granted(make_follower([1, 2], term=4), asks(5, last_index, last_term)) is expected


def test_a_candidate_grants_like_anybody() -> None:
    candidate, persist = make_candidate(term=1)
    make_durable(candidate, [persist])
    assert not granted(candidate, asks(2))
    assert granted(candidate, asks(3))


def test_a_refusal_tells_a_term_only_once_it_is_durable() -> None:
    candidate, _ = make_candidate(term=1)
    effects = receive(candidate, "n2", asks(2))
    assert (sent(effects), held_back(effects)) == ([], [("n2", RequestPreVoteReply(2, 5, granted=False))])


def test_says_nothing_while_its_disk_is_far_behind() -> None:
    follower = make_follower(term=2)
    follower.state.unsynced_bytes = follower.state.config.max_uncommitted_bytes + 1
    assert receive(follower, "n2", asks(3)) == []


def test_grants_nothing_before_its_disk_has_done_something_of_what_it_was_asked() -> None:
    follower = make_follower(term=2, voters=4)
    first = receive(follower, "n4", append(0, 0, [1, 1], term=2), now=0.0)
    second = receive(follower, "n4", append(2, 1, [1], term=2), now=0.0)
    before = _all_of(follower)
    assert receive(follower, "n2", asks(3), now=1.0) == []
    assert receive(follower, "n3", asks(4), now=1.0) == []
    assert receive(follower, "stranger", asks(3), now=1.0) == []
    assert _all_of(follower) == before
    grants = [effect for effect in sent(make_durable(follower, first, now=1.1)) if effect[1].term > 2]
    assert grants == [(peer, RequestPreVoteReply(term, 5, granted=True)) for peer, term in (("n2", 3), ("n3", 4))]
    assert sent(make_durable(follower, second, now=1.2)) == [("n4", AppendEntriesAccepted(2, 3))]


def test_a_leader_that_is_heard_meanwhile_takes_a_grant_back() -> None:
    follower = make_follower(term=2)
    under_way = receive(follower, "n3", append(0, 0, [1], term=2), now=0.0)
    assert receive(follower, "n2", asks(3), now=1.0) == []
    receive(follower, "n3", append(0, 0, term=2), now=1.1)
    assert sent(make_durable(follower, under_way, now=1.2)) == [("n3", AppendEntriesAccepted(2, 1))]


# --- a leader that is heard of --------------------------------------------------------------------------------


def test_a_follower_refuses_for_as_long_as_it_has_heard_the_leader_within_the_shortest_timeout() -> None:
    follower = follows()
    assert not granted(follower, asks(3), now=SHORTEST_S - 0.001)
    assert granted(follower, asks(3), now=SHORTEST_S)


def test_a_snapshot_is_word_of_the_leader_too() -> None:
    follower = follows(heard_at=0.0)
    receive(follower, "n3", InstallSnapshot(2, SnapshotMetadata(9, 2), 0, b"", False), now=1.0)
    assert not granted(follower, asks(3), now=1.2)


def test_a_vote_is_no_word_of_a_leader() -> None:
    follower = make_follower(term=2)
    make_durable(follower, receive(follower, "n3", RequestVote(2, 0, 0)))
    assert granted(follower, asks(3))


def test_a_higher_term_of_a_needless_candidate_is_not_even_adopted() -> None:
    follower = follows()
    assert receive(follower, "n2", RequestVote(7, 9, 9), now=0.1) == []
    assert follower.state.term == 2
    effects = receive(follower, "n2", RequestVote(7, 9, 9), now=SHORTEST_S)
    assert written(effects)[0].hard_state == HardState(7, "n2")


def test_a_needless_candidate_of_the_own_term_is_refused() -> None:
    follower = follows()
    assert sent(receive(follower, "n2", RequestVote(2, 9, 9))) == [("n2", RequestVoteReply(2, granted=False))]


@pytest.mark.parametrize("term", [2, 3])
def test_a_candidate_that_the_leader_asked_to_stand_gets_the_vote_all_the_same(term: int) -> None:
    follower = follows()
    effects = receive(follower, "n2", RequestVote(term, 9, 9, leadership_transfer=True))
    assert written(effects)[0].hard_state == HardState(term, "n2")


def test_a_leader_refuses_while_it_is_in_touch_with_a_majority() -> None:
    leader = make_leader(check_quorum=False)
    assert not granted(leader, asks(3), now=LONGEST_S)
    assert receive(leader, "n2", RequestVote(3, 9, 9), now=LONGEST_S) == []
    assert leader.state.term == 2


def test_a_leader_that_has_lost_the_majority_grants() -> None:
    leader = make_leader(check_quorum=False)
    assert granted(leader, asks(3), now=LONGEST_S + 0.001)
    effects = receive(leader, "n2", RequestVote(3, 9, 9), now=LONGEST_S + 0.001)
    assert isinstance(effects[-1], Become)
    assert leader.state.term == 3


# --- a connection that breaks ---------------------------------------------------------------------------------


def test_asks_soon_when_the_leaders_connection_breaks_one_follower_after_another() -> None:
    follower = follows(heard_at=1.0, heartbeat_interval_s=0.2)  # n1 comes next after n3
    assert follower.handle(PeerDisconnected("n3"), 1.1) == []
    assert follower.deadline == 1.1
    assert follower.handle(TimerFired(), 1.1) == [Become(RoleName.PRE_CANDIDATE)]
    second = make_follower(term=2, leader="n2", heartbeat_interval_s=0.2)  # n3 comes first
    second.handle(PeerDisconnected("n2"), 0.1)
    assert second.deadline == pytest.approx(0.115)


def test_the_last_of_many_does_not_wait_longer_than_it_is_worth() -> None:
    follower = make_follower(term=2, voters=40, leader="n10", heartbeat_interval_s=0.2)  # n10 follows n1 in order
    follower.handle(PeerDisconnected("n10"), 0.1)
    assert 0.12 < follower.deadline <= 0.13


def test_grants_at_once_what_another_asks_that_has_lost_the_leader_too() -> None:
    follower = follows()
    follower.handle(PeerDisconnected("n3"), 0.1)
    assert granted(follower, asks(3), now=0.1)


def test_a_word_of_the_leader_ends_the_haste() -> None:
    follower = follows()
    follower.handle(PeerDisconnected("n3"), 0.1)
    receive(follower, "n3", append(2, 2, term=2), now=0.1)
    assert follower.deadline >= 0.1 + SHORTEST_S
    assert not granted(follower, asks(3), now=0.1)


def test_a_late_request_for_the_vote_that_made_the_leader_does_not_end_the_haste() -> None:
    """It was sent before it led: so reported for a duplicate, where the leader's connection had broken since."""
    follower = make_follower(term=2)
    request = RequestVote(2, 0, 0)
    receive(follower, "n3", request)
    receive(follower, "n3", append(0, 0, term=2), now=0.1)
    follower.handle(PeerDisconnected("n3"), 0.2)
    deadline = follower.deadline
    effects = receive(follower, "n3", request, now=0.2)
    assert sent(effects) + held_back(effects) == [("n3", RequestVoteReply(2, granted=True))]
    assert follower.deadline == deadline


def test_a_leader_that_asks_for_pre_votes_leads_no_more() -> None:
    """So does one that hears nobody: it has given up, and is heard."""
    follower = follows(heard_at=1.0)  # n1 comes next after n3
    assert not granted(follower, asks(3), now=1.1)
    effects = receive(follower, "n3", asks(3), now=1.1)
    assert sent(effects) == [("n3", RequestPreVoteReply(3, 5, granted=True))]
    assert granted(follower, asks(3), now=1.1)
    assert follower.deadline == 1.1
    assert follower.handle(TimerFired(), 1.1) == [Become(RoleName.PRE_CANDIDATE)]


@pytest.mark.parametrize(("term", "pre_vote"), [(2, True), (3, False)], ids=["before it led", "no pre-vote"])
def test_a_request_of_the_leader_that_tells_nothing_changes_nothing(term: int, pre_vote: bool) -> None:
    follower = follows(pre_vote=pre_vote)
    before = _all_of(follower)
    [(to, reply)] = sent(receive(follower, "n3", asks(term), now=0.1))
    assert (to, reply) == ("n3", RequestPreVoteReply(2, 5, granted=False))
    assert _all_of(follower) == before


@pytest.mark.parametrize(
    "follower", [follows(), make_follower(term=2), follows(pre_vote=False)], ids=["another", "no leader", "no pre-vote"]
)
def test_a_connection_that_says_nothing_of_the_leader_changes_nothing(follower: Follower) -> None:
    before = _all_of(follower)
    peer = "n2" if follower.state.config.pre_vote else "n3"
    assert follower.handle(PeerDisconnected(peer), 0.1) == []
    assert _all_of(follower) == before


def test_no_other_role_minds() -> None:
    candidate, persist = make_candidate(term=1)
    assert isinstance(persist, Persist)
    for role in (make_leader(), candidate):
        before = _all_of(role)
        assert role.handle(PeerDisconnected("n2"), 0.1) == []
        assert _all_of(role) == before


# --- without the files that it had ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("store", "votes"), [("", False), ("lost", False), ("new", True)])
def test_who_knows_that_its_files_were_lost_votes_only_once_its_new_store_is_named(store: str, votes: bool) -> None:
    """It may have voted in any term, and it would count with who never met its old store (dissertation §11.2)."""
    named = Configuration({"n1", "n2", "n3"}, members={"n1": Member(incarnation=store)})
    held = (stored(1, Configuration({"n2", "n3"})), stored(2, named))
    follower = make_follower([1, 1], incarnation="new", must_be_named=True, stored_configurations=held)
    effects = receive(follower, "n2", asks(9), now=10.0)
    assert [message.granted for _, message in sent(effects) if isinstance(message, RequestPreVoteReply)] == [votes]
    effects = receive(follower, "n2", RequestVote(9, 9, 9), now=10.0)
    replies = [message for _, message in [*sent(effects), *held_back(effects)]]
    assert [message.granted for message in replies if isinstance(message, RequestVoteReply)] == [votes]
    assert follower.state.voted_for == ("n2" if votes else None)


def test_once_a_committed_configuration_has_named_its_new_store_one_that_names_none_means_it_too() -> None:
    """It was removed and added again, without a word of its store; nobody else could tell it from any other member."""
    named = Configuration({"n1", "n2", "n3"}, members={"n1": Member(incarnation="new")})
    unnamed = Configuration({"n1", "n2", "n3"})
    held = (stored(1, Configuration({"n2", "n3"})), stored(2, named), stored(3, unnamed))
    follower = make_follower([1, 1, 1], incarnation="new", must_be_named=True, stored_configurations=held)
    before = (follower.state.is_voter, granted(follower, asks(9)))
    follower.state.commit(2)
    assert (before, follower.state.is_voter, granted(follower, asks(9))) == ((False, False), True, True)


@pytest.mark.parametrize("doubts", [False, True])
def test_a_vote_that_waits_for_the_disk_is_not_given_by_who_learns_meanwhile_that_it_has_none(doubts: bool) -> None:
    follower = make_follower([1], incarnation="new")
    effects = receive(follower, "n2", RequestVote(9, 9, 9), now=10.0)
    if doubts:
        follower.state.doubt_itself()
    replies = [message for _, message in sent(make_durable(follower, effects, now=10.0))]
    assert replies == ([] if doubts else [RequestVoteReply(9, granted=True)])


def test_who_learns_that_another_store_had_its_id_was_not_the_voter_before_that_either() -> None:
    """It was started again with a log that goes on further than it knows to be committed."""
    lost = Configuration({"n1"}, members={"n1": Member(incarnation="lost")})
    knows: dict[str, Any] = {"commit_index": 1, "stored_configurations": (stored(2, lost),)}
    follower = make_follower([1, 1], incarnation="new", **knows)
    assert not follower.state.may_be_needed
    assert [effect for effect in follower.handle(TimerFired(), 100.0) if isinstance(effect, Become)] == []
    assert not granted(follower, asks(9), now=200.0)
    # Its node's own store had a vote before, and may be needed if it was removed and nobody knows.
    assert make_follower([1, 1], incarnation="lost", **knows).state.may_be_needed


@pytest.mark.parametrize(("before", "votes"), [("voter", False), ("learner", True), ("nobody", True)])
def test_a_name_in_the_place_of_a_voter_without_one_gives_no_vote_back(before: str, votes: bool) -> None:
    """Whoever wrote it did not know that the files were lost. Who was taken in with its store has a vote of its own."""
    others = {"n2", "n3"}
    known = Configuration(others | {"n1"} if before == "voter" else others, {"n1"} if before == "learner" else ())
    named = Configuration(others | {"n1"}, members={"n1": Member(incarnation="new")})
    held = (stored(1, known), stored(2, named))
    follower = make_follower([1, 1], incarnation="new", must_be_named=True, stored_configurations=held)
    assert (follower.state.is_voter, follower.state.has_lost_promises) == (votes, not votes)
    follower.state.commit(2)
    assert (follower.state.is_voter, follower.state.has_lost_promises) == (votes, not votes)


def test_who_was_taken_in_votes_after_a_restart_too_though_it_was_added_again_without_a_name() -> None:
    """The entry that gives it its vote, and its name, may be one that only others have: they need its vote to go on."""
    named = Configuration({"n2", "n3"}, {"n1"}, members={"n1": Member(incarnation="new")})
    held = (stored(1, Configuration({"n2", "n3"})), stored(2, named), stored(3, Configuration({"n2", "n3"}, {"n1"})))
    knows: dict[str, Any] = {"incarnation": "new", "must_be_named": True, "stored_configurations": held}
    assert granted(make_follower([1, 1, 1], commit_index=2, **knows), asks(9))
    assert not granted(make_follower([1, 1, 1], commit_index=1, **knows), asks(9))
