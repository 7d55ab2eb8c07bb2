"""What no honest member can say: dropped, and it changes nothing; and what one can, however odd, is taken."""

from __future__ import annotations

import pytest

from raft_actors.raft.effects import Become, Effect, Persist, RefuseMessage
from raft_actors.raft.impossible import MOST_TERMS_AHEAD, Impossible
from raft_actors.raft.inputs import Durable
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    ConfirmLeaderReply,
    InstallSnapshotReply,
    Message,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import HardState, SnapshotMetadata
from raft_actors.raft.roles import Role
from raft_actors.raft.roles.pre_candidate import PreCandidate
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import make_candidate, make_follower, make_leader, make_state, of, receive, sent, written


def refusal(effects: list[Effect]) -> RefuseMessage:
    [effect] = effects
    assert isinstance(effect, RefuseMessage)
    return effect


# --- to a leader ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "cause", "why"),
    [
        (AppendEntriesAccepted(2, 3), Impossible.MATCH, "it claims to hold the log up to 3, which ends at 2"),
        (
            InstallSnapshotReply(2, SnapshotMetadata(4, 2), 1, installed=True),
            Impossible.MATCH,
            "it claims to hold the log up to 4, which ends at 2",
        ),
        (
            InstallSnapshotReply(2, SnapshotMetadata(4, 2), 1, installed=False),
            Impossible.MATCH,
            "it claims to hold the log up to 4, which ends at 2",
        ),
        (ConfirmLeaderReply(2, 1), Impossible.ROUND, "it answers read round 1, the last one was 0"),
    ],
)
def test_a_leader_refuses_what_no_follower_can_say(message: Message, cause: Impossible, why: str) -> None:
    leader = make_leader([1])
    assert refusal(receive(leader, "n2", message, now=5.0)) == RefuseMessage("n2", cause, why)
    assert leader.commit.match_index["n2"] == 0
    assert leader.contact.last_contact["n2"] == 0.0
    assert (leader.reads.answered, leader.retention.transfers) == ({}, {})


def test_whoever_is_no_member_any_more_may_be_late() -> None:
    assert receive(make_leader([1]), "n9", AppendEntriesAccepted(2, 3)) == []


# --- terms ---------------------------------------------------------------------------------------------------

_FAR = 2**62
_STEP = 7 + MOST_TERMS_AHEAD


def roles(term: int) -> list[Role]:
    """One of each, in this term."""
    pre_candidate = PreCandidate(make_state([1], term=term))
    pre_candidate.start(0.0)
    candidate, persist = make_candidate([1], term=term - 1)
    candidate.handle(Durable(persist), 0.0)
    return [make_follower([1], term=term), pre_candidate, candidate, make_leader([1], term=term)]


@pytest.mark.parametrize(
    "message",
    [
        RequestVote(_FAR, 9, _FAR, leadership_transfer=True),
        RequestVoteReply(_FAR, granted=False),
        AppendEntries(_FAR, 0, 0, 0),
        AppendEntriesAccepted(_FAR, 1),
        RequestPreVoteReply(_FAR, 1, granted=False),
    ],
)
def test_a_term_too_far_ahead_is_approached_by_a_step(message: Message) -> None:
    for role in roles(7):
        written_first, refusal, *rest = receive(role, "n2", message)
        assert isinstance(written_first, Persist)
        assert written([written_first])[0].hard_state == HardState(_STEP, None)
        assert isinstance(refusal, RefuseMessage)
        assert refusal.cause is Impossible.TERM
        assert refusal.why == (
            f"it speaks of term {_FAR}, and this node is in term 7: elections come no farther than 16,777,216 ahead"
        )
        assert rest == ([] if role.name is RoleName.FOLLOWER else [Become(RoleName.FOLLOWER)])


def test_what_enters_no_term_is_refused_as_well() -> None:
    for message in (RequestPreVote(_FAR, 9, 9, 1), RequestPreVoteReply(_FAR, 1, granted=True)):
        for role in roles(7):
            assert refusal(receive(role, "n2", message)).cause is Impossible.TERM
            assert role.state.term == 7


def test_who_disturbs_in_a_term_too_far_ahead_does_not_even_bring_it_nearer() -> None:
    follower = make_follower([1], term=7)
    receive(follower, "n3", AppendEntries(7, 1, 1, 0))
    assert refusal(receive(follower, "n2", RequestVote(_FAR, 9, 9))).cause is Impossible.TERM
    assert follower.state.term == 7


def test_the_farthest_term_that_can_be_is_entered() -> None:
    for role in roles(7):
        effects = receive(role, "n2", RequestVoteReply(_STEP, granted=False))
        assert role.state.term == _STEP
        assert not of(RefuseMessage, effects)


def test_a_node_in_a_high_term_goes_on_as_any() -> None:
    term = 2**61
    follower = make_follower([term], term=term)
    effects = receive(follower, "n2", RequestVote(term + 1, 1, term))
    assert written(effects)[0].hard_state == HardState(term + 1, "n2")
    assert sent(receive(make_follower([term], term=term), "n2", RequestPreVote(term + 1, 1, term, 4))) == [
        ("n2", RequestPreVoteReply(term + 1, 4, granted=True))
    ]
