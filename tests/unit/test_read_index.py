"""Reads at a follower: it asks the leader, which asks the others, and waits until it has applied as much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from raft_actors.errors import NotLeader, NotMember
from raft_actors.node.proposals import PendingRead
from raft_actors.raft.effects import AnswerReads, Effect, TellCommit
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.inputs import ReadsRequested, Received, TransferRequested
from raft_actors.raft.membership import Configuration
from raft_actors.raft.membership_codec import encode_configuration
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    ConfirmLeader,
    ConfirmLeaderReply,
    ReadIndexReply,
    RequestReadIndex,
)
from raft_actors.raft.roles import Follower, Role
from tests.unit.builders import held_back, make_admission, make_follower, make_leader, receive, refused, sent, step


class Transfer:
    to: str | None = None


def ask(role: Role, count: int = 1, *, now: float = 0.0) -> tuple[list[PendingRead[Any]], list[Effect]]:
    """Have a role decide on reads and on the end of the step."""
    reads: list[PendingRead[Any]] = [PendingRead(make_admission(), lambda machine: machine) for _ in range(count)]
    return reads, step(role, ReadsRequested([*reads]), now=now)


def answered(effects: Sequence[Effect]) -> list[tuple[int, int]]:
    """For each group of reads that may be answered: after which entry, and how many they are."""
    return [(effect.index, len(effect.reads)) for effect in effects if isinstance(effect, AnswerReads)]


def heartbeat(role: Role, leader: str, term: int, *, now: float) -> list[Effect]:
    """Have a follower decide on a heartbeat and on the end of the step."""
    return step(role, Received(leader, AppendEntries(term, 0, 0, 0, wants_reply=False)), now=now)


def follower_of(leader: str = "n2") -> Follower:
    return make_follower((1, 2), leader=leader)


def append_configuration(role: Role, voters: set[str]) -> list[Effect]:
    """Have a follower get a configuration of these voters as entry 3, which nobody has committed yet."""
    entry = EntryBatch.encode(3, 2, EntryKind.CONFIGURATION, [encode_configuration(Configuration(voters))])
    return step(role, Received("n2", AppendEntries(2, 2, 2, 0, (entry,))))


# --- the follower ----------------------------------------------------------------------------------------------


def test_a_node_that_was_removed_refuses_reads_those_that_wait_among_them() -> None:
    """The leader parts from it: it might wait for ever for what it is told to apply."""
    follower = follower_of()
    reads, effects = ask(follower, 2)
    assert sent(effects) == [("n2", RequestReadIndex(2, 1))]
    effects = append_configuration(follower, {"n2", "n3"})
    assert [(read, type(error)) for read, error in refused(effects)] == [(read, NotMember) for read in reads]
    [read], effects = ask(follower)
    assert [(one, type(error)) for one, error in refused(effects)] == [(read, NotMember)]
    assert not sent(effects)


def test_reads_of_one_step_share_a_question() -> None:
    follower = follower_of()
    _, effects = ask(follower, 3)
    assert sent(effects) == [("n2", RequestReadIndex(2, 1))]
    assert answered(receive(follower, "n2", ReadIndexReply(2, 1, 7))) == [(7, 3)]


def test_the_leaders_word_does_not_advance_the_commit_index() -> None:
    follower = follower_of()
    ask(follower)
    receive(follower, "n2", ReadIndexReply(2, 1, 2))
    assert follower.state.commit_index == 0


def test_an_answer_answers_earlier_questions_and_none_that_came_later() -> None:
    follower = follower_of()
    ask(follower, 1)
    ask(follower, 2)
    ask(follower, 4)
    assert answered(receive(follower, "n2", ReadIndexReply(2, 2, 7))) == [(7, 1), (7, 2)]
    assert answered(receive(follower, "n2", ReadIndexReply(2, 1, 7))) == []


@pytest.mark.parametrize("request_number", [0, 2])
def test_an_answer_to_another_life_is_none(request_number: int) -> None:
    """Its own questions begin where nobody else's do: what it did not ask it is not answered."""
    follower = follower_of()
    ask(follower)
    assert answered(receive(follower, "n2", ReadIndexReply(2, request_number, 7))) == []


def test_questions_are_bounded_and_what_waits_shares_the_next() -> None:
    follower = follower_of()
    for _ in range(4):
        assert sent(ask(follower)[1])
    assert ask(follower)[1] == ask(follower)[1] == []
    effects = step(follower, Received("n2", ReadIndexReply(2, 1, 7)))
    assert sent(effects) == [("n2", RequestReadIndex(2, 5))]
    assert answered(receive(follower, "n2", ReadIndexReply(2, 5, 8))) == [(8, 1)] * 3 + [(8, 2)]


def test_what_is_not_answered_for_a_heartbeat_interval_is_asked_again() -> None:
    follower = follower_of()
    ask(follower)
    assert sent(heartbeat(follower, "n2", 2, now=0.05)) == []
    assert sent(heartbeat(follower, "n2", 2, now=0.15)) == [("n2", RequestReadIndex(2, 2))]
    assert answered(receive(follower, "n2", ReadIndexReply(2, 1, 7), now=0.2)) == [(7, 1)], "it was only late"
    assert sent(heartbeat(follower, "n2", 2, now=0.4)) == []


def test_a_new_leader_is_asked_at_once() -> None:
    follower = follower_of()
    ask(follower, 2)
    assert ("n3", RequestReadIndex(3, 2)) in held_back(heartbeat(follower, "n3", 3, now=0.01))
    assert answered(receive(follower, "n2", ReadIndexReply(2, 1, 7))) == [], "of a term that is over"
    assert answered(receive(follower, "n3", ReadIndexReply(3, 2, 9))) == [(9, 2)]


def test_nothing_is_asked_for_reads_that_were_given_up() -> None:
    follower = follower_of()
    [read], _ = ask(follower)
    read.abandon()
    assert sent(heartbeat(follower, "n2", 2, now=0.15)) == []


def test_without_a_leader_it_says_so() -> None:
    follower = make_follower((1, 2))
    [read], effects = ask(follower)
    [(outcome, error)] = refused(effects)
    assert outcome is read
    assert isinstance(error, NotLeader)


def test_a_leader_that_would_not_understand_is_named_instead() -> None:
    follower = follower_of()
    follower.state.features_of = lambda _peer: frozenset()
    [(_, error)] = refused(ask(follower)[1])
    assert isinstance(error, NotLeader)
    assert error.leader == "n2"


def test_a_leader_that_can_t_tell_is_named_too() -> None:
    follower = follower_of()
    ask(follower)
    [(_, error)] = refused(receive(follower, "n2", ReadIndexReply(2, 1, None)))
    assert isinstance(error, NotLeader)
    assert error.leader == "n2"


def test_whoever_waits_is_told_when_the_leader_is_lost() -> None:
    follower = follower_of()
    ask(follower)
    ask(follower)
    follower.state.leader = None
    assert len(refused(follower.leave())) == 2


def test_a_term_that_is_not_on_disk_yet_is_not_spoken_of() -> None:
    follower = follower_of()
    follower.state.adopt_term(3)
    follower.state.leader = "n2"
    _, effects = ask(follower)
    assert sent(effects) == []
    assert held_back(effects) == [("n2", RequestReadIndex(3, 1))]


# --- the leader ------------------------------------------------------------------------------------------------


def test_a_leader_answers_a_follower_once_a_majority_has_answered_it() -> None:
    leader = make_leader(voters=5)
    for peer in leader.state.peers:
        receive(leader, peer, AppendEntriesAccepted(2, 1))
    effects = step(leader, Received("n2", RequestReadIndex(2, 70)))
    assert ("n2", ConfirmLeader(2, 1)) in sent(effects)
    assert sent(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == []
    effects = receive(leader, "n3", ConfirmLeaderReply(2, 1))
    assert effects.index(TellCommit("n2")) == 0, "the follower has to know of the commit to apply it"
    assert sent(effects) == [("n2", ReadIndexReply(2, 70, 1))]


def test_own_reads_and_those_of_followers_share_a_round() -> None:
    leader = make_leader()
    receive(leader, "n2", AppendEntriesAccepted(2, 1))
    read: PendingRead[Any] = PendingRead(make_admission(), lambda machine: machine)
    effects = step(
        leader,
        Received("n2", RequestReadIndex(2, 5)),
        ReadsRequested([read]),
        Received("n3", RequestReadIndex(2, 8)),
        Received("n2", RequestReadIndex(2, 6)),
    )
    assert len(sent(effects)) == 2
    effects = receive(leader, "n2", ConfirmLeaderReply(2, 1))
    assert answered(effects) == [(1, 1)]
    assert sent(effects) == [("n2", ReadIndexReply(2, 6, 1)), ("n3", ReadIndexReply(2, 8, 1))]


def test_before_its_first_entry_is_committed_a_leader_tells_nobody_anything() -> None:
    leader = make_leader((1, 1), commit_index=0)
    step(leader, Received("n2", RequestReadIndex(2, 5)))
    assert sent(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == []
    assert ("n2", ReadIndexReply(2, 5, 2)) in sent(receive(leader, "n3", AppendEntriesAccepted(2, 3)))


def test_a_leader_that_hands_over_answers_nobody() -> None:
    leader = make_leader()
    receive(leader, "n2", AppendEntriesAccepted(2, 1))
    step(leader, Received("n3", RequestReadIndex(2, 4)))
    step(leader, TransferRequested(Transfer()))
    assert sent(step(leader, Received("n3", RequestReadIndex(2, 5)))) == []
    assert sent(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == []


def test_where_a_majority_would_not_understand_a_leader_can_t_tell() -> None:
    leader = make_leader()
    leader.state.features_of = lambda _peer: frozenset()
    assert sent(step(leader, Received("n2", RequestReadIndex(2, 5)))) == [("n2", ReadIndexReply(2, 5, None))]
