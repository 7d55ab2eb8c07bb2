"""The pre-candidate's rules (dissertation §9.6): one rule a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from raft_actors.raft.effects import Become, Send
from raft_actors.raft.inputs import Received, TimerFired
from raft_actors.raft.messages import (
    AppendEntries,
    InstallSnapshot,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.roles import PreCandidate
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import append, became, make_durable, make_state, of, propose, receive, refused, sent

STAND = Become(RoleName.CANDIDATE)


def make_pre_candidate(terms: Sequence[int] = (), **state: Any) -> PreCandidate:
    """A pre-candidate that has just started, at time 0."""
    role = PreCandidate(make_state(terms, **state))
    role.start(0.0)
    return role


def grant(term: int, number: int = 1) -> RequestPreVoteReply:
    return RequestPreVoteReply(term, number, granted=True)


def refusal(term: int, number: int = 1) -> RequestPreVoteReply:
    return RequestPreVoteReply(term, number, granted=False)


# --- asking ---------------------------------------------------------------------------------------------------


def test_asks_all_others_for_the_next_term_and_changes_nothing_itself() -> None:
    role = PreCandidate(make_state([1, 1, 2], term=3, voted_for="n2"))
    request = RequestPreVote(4, 3, 2, 1)
    assert role.start(0.0) == [Send("n2", request), Send("n3", request)]
    assert (role.state.term, role.state.voted_for) == (3, "n2")


def test_forgets_the_leader_lest_it_refuses_others_for_its_sake() -> None:
    state = make_state(term=3)
    state.follow("n2")
    role = PreCandidate(state)
    role.start(0.0)
    assert state.leader is None
    [(_, error)] = refused(propose(role, b"x")[1])
    assert "no leader is known" in str(error)


def test_asks_again_whoever_has_not_granted_refusals_included() -> None:
    role = make_pre_candidate(term=3, voters=4)
    receive(role, "n2", grant(4))
    receive(role, "n3", refusal(3))
    request = RequestPreVote(4, 0, 0, 1)
    assert sent(role.handle(TimerFired(), role.deadline)) == [("n3", request), ("n4", request)]
    assert role.deadline <= 2 * role.state.config.vote_resend_interval_s


def test_begins_a_new_round_of_the_same_term_in_the_end() -> None:
    role = make_pre_candidate(term=3)
    assert 0.4 <= role.ends_at <= 0.8
    assert role.handle(TimerFired(), role.ends_at) == [Become(RoleName.PRE_CANDIDATE)]
    again = PreCandidate(role.state)
    assert sent(again.start(1.0))[0] == ("n2", RequestPreVote(4, 0, 0, 2))


# --- winning --------------------------------------------------------------------------------------------------


def test_stands_once_a_majority_would_vote_for_it() -> None:
    role = make_pre_candidate(term=3, voters=5)
    assert receive(role, "n2", grant(4)) == []
    assert receive(role, "n2", grant(4)) == []
    assert receive(role, "n3", grant(4)) == [STAND]


@pytest.mark.parametrize(
    "reply",
    [
        refusal(3),
        refusal(2),
        grant(4, 2),  # of another round
        grant(3),  # of another term
        grant(5),
    ],
)
def test_counts_only_grants_of_its_own_round(reply: RequestPreVoteReply) -> None:
    role = make_pre_candidate(term=3)
    assert receive(role, "n2", reply) == []
    assert role.state.term == 3


def test_stands_only_once_its_disk_has_caught_up() -> None:
    state = make_state(term=3)
    write = state.persist()
    role = PreCandidate(state)
    role.start(0.0)
    assert receive(role, "n2", grant(4)) == []
    assert make_durable(role, [write]) == [STAND]


# --- ending otherwise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [append(0, 0, term=3), InstallSnapshot(3, SnapshotMetadata(3, 1), 0, b"", False)])
def test_follows_whoever_leads_its_term(message: AppendEntries | InstallSnapshot) -> None:
    role = make_pre_candidate(term=3)
    assert receive(role, "n2", message) == [Become(RoleName.FOLLOWER, redeliver=Received("n2", message))]


def test_learns_of_a_higher_term_from_a_refusal() -> None:
    role = make_pre_candidate(term=3)
    effects = receive(role, "n2", refusal(7))
    assert [become.role for become in became(effects)] == [RoleName.FOLLOWER]
    assert role.state.term == 7


def test_a_grant_is_of_no_term_that_it_could_learn_of() -> None:
    role = make_pre_candidate(term=3)
    assert receive(role, "n2", grant(9)) == []
    assert role.state.term == 3


def test_votes_for_another_candidate_of_its_term_as_a_follower() -> None:
    role = make_pre_candidate(term=3)
    request = RequestVote(3, 0, 0)
    assert receive(role, "n2", request) == [Become(RoleName.FOLLOWER, redeliver=Received("n2", request))]


def test_goes_on_where_the_vote_of_its_term_is_not_for_the_one_that_asks() -> None:
    role = make_pre_candidate([1], term=3, voted_for="n3")
    assert sent(receive(role, "n2", RequestVote(3, 9, 3))) == [("n2", RequestVoteReply(3, granted=False))]
    role = make_pre_candidate([1], term=3)
    assert sent(receive(role, "n2", RequestVote(3, 0, 0))) == [("n2", RequestVoteReply(3, granted=False))]


def test_grants_others_what_it_asks_for_itself() -> None:
    role = make_pre_candidate(term=3)
    ends_at, deadline = role.ends_at, role.deadline
    assert receive(role, "n2", RequestPreVote(4, 0, 0, 7)) == [Send("n2", grant(4, 7))]
    assert (role.ends_at, role.deadline, of(Become, [])) == (ends_at, deadline, [])
