"""What a node that is no member any more makes of silence."""

from __future__ import annotations

from typing import Any

from raft_actors.errors import LeadershipLost
from raft_actors.node.proposals import PendingProposals
from raft_actors.raft.effects import Effect, LookAgain, Refuse
from raft_actors.raft.inputs import TimerFired
from raft_actors.raft.membership import Configuration
from raft_actors.raft.roles import Follower
from tests.unit.builders import append, make_admission, make_follower, of, receive, refused, step, stored

LONGEST_S = 0.8
ALL = Configuration({"n1", "n2", "n3"})
TOLD = Configuration({"n2", "n3"}, {"n1"})
REST = Configuration({"n2", "n3"})


def removed(commit_index: int) -> tuple[Follower, PendingProposals[Any]]:
    """A follower whose log removes it at index 3, and what it waits for at index 4."""
    configurations = (stored(1, ALL), stored(2, TOLD), stored(3, REST))
    follower = make_follower([1, 1, 1], leader="n2", commit_index=commit_index, stored_configurations=configurations)
    waiting: PendingProposals[Any] = PendingProposals(make_admission(), [b"x"], 1)
    waiting.index = waiting.last_index = 4
    follower.state.unresolved.watch([waiting], 1)
    return follower, waiting


def is_left_out(follower: Follower) -> bool:
    return follower.is_left_out


def be_silent(follower: Follower, until: float) -> list[Effect]:
    """Let its timer fire, again and again, and nobody speak to it."""
    effects = list[Effect]()
    while follower.deadline <= until:
        effects += step(follower, TimerFired(), now=follower.deadline)
    return effects


def test_what_waits_there_is_unknown_once_its_leader_would_have_taken_leave() -> None:
    follower, waiting = removed(commit_index=2)
    assert of(Refuse, be_silent(follower, 10 * LONGEST_S)) == []
    assert not is_left_out(follower)
    effects = be_silent(follower, 13 * LONGEST_S)
    [(outcome, error)] = refused(effects)
    assert outcome is waiting
    assert isinstance(error, LeadershipLost)
    assert (error.term, error.index) == (1, 4)
    assert of(LookAgain, effects) == [LookAgain()]
    assert is_left_out(follower)
    assert follower.state.unresolved.unknown == 1


def test_an_election_timeout_is_enough_where_it_knows_that_its_removal_is_committed() -> None:
    follower, waiting = removed(commit_index=3)
    assert of(Refuse, step(follower, now=0.0)) == []  # its leader speaks to it still
    [(outcome, _)] = refused(be_silent(follower, LONGEST_S))
    assert outcome is waiting


def test_a_word_of_a_leader_is_an_end_to_silence() -> None:
    follower, _ = removed(commit_index=2)
    assert of(Refuse, be_silent(follower, 9 * LONGEST_S)) == []
    receive(follower, "n2", append(3, 1, term=1), now=9 * LONGEST_S)
    assert of(Refuse, be_silent(follower, 18 * LONGEST_S)) == []
    assert len(of(Refuse, be_silent(follower, 23 * LONGEST_S))) == 1
    receive(follower, "n2", append(3, 1, term=1), now=23 * LONGEST_S)
    assert not is_left_out(follower)


def test_a_member_waits_on() -> None:
    follower, _ = removed(commit_index=2)
    follower.state.truncate(3)
    assert of(Refuse, be_silent(follower, 99 * LONGEST_S)) == []
    assert not is_left_out(follower)


def test_one_that_has_not_joined_yet_was_not_removed() -> None:
    follower = make_follower([1], commit_index=1, stored_configurations=(stored(1, REST),), incarnation="mine")
    be_silent(follower, 99 * LONGEST_S)
    assert not is_left_out(follower)
