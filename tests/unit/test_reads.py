"""Reads that ask the followers: rounds of questions, what counts as an answer, and what they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from raft_actors.errors import InternalError, LeadershipLost
from raft_actors.node.proposals import PendingRead
from raft_actors.raft.effects import AnswerReads, Become, Effect, Persist
from raft_actors.raft.inputs import ReadsRequested, TimerFired, TransferRequested
from raft_actors.raft.messages import (
    AppendEntriesAccepted,
    ConfirmLeader,
    ConfirmLeaderReply,
    ReadIndexReply,
    RequestReadIndex,
    RequestVote,
)
from raft_actors.raft.roles import Leader, Role
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import (
    became,
    held_back,
    make_admission,
    make_candidate,
    make_follower,
    make_leader,
    of,
    propose,
    receive,
    refused,
    sent,
    step,
    written,
)


class Transfer:
    to: str | None = None


def ask(role: Role, count: int = 1, *, now: float = 0.0) -> tuple[list[PendingRead[Any]], list[Effect]]:
    """Have a role decide on reads and on the end of the step."""
    reads: list[PendingRead[Any]] = [PendingRead(make_admission(), lambda machine: machine) for _ in range(count)]
    return reads, step(role, ReadsRequested([*reads]), now=now)


def answered(effects: Sequence[Effect]) -> list[tuple[int, int]]:
    """For each group of reads that may be answered: after which entry, and how many they are."""
    return [(effect.index, len(effect.reads)) for effect in of(AnswerReads, effects)]


def leader_of(voters: int = 3, **settings: Any) -> Leader:
    """A leader of term 2 whose first entry, 1, is committed."""
    leader = make_leader(voters=voters, **settings)
    for peer in leader.state.peers:
        receive(leader, peer, AppendEntriesAccepted(2, 1))
    assert leader.state.commit_index == 1
    return leader


def test_a_read_asks_all_followers_at_once_and_appends_nothing() -> None:
    leader = leader_of()
    _, effects = ask(leader)
    assert sent(effects) == [("n2", ConfirmLeader(2, 1)), ("n3", ConfirmLeader(2, 1))]
    assert not of(Persist, effects)
    assert not answered(effects)


def test_it_is_answered_once_a_majority_has() -> None:
    leader = leader_of(5)
    ask(leader)
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == []
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == [], "the same follower counts once"
    assert answered(receive(leader, "n3", ConfirmLeaderReply(2, 1))) == [(1, 1)]
    assert answered(receive(leader, "n4", ConfirmLeaderReply(2, 1))) == []


def test_a_node_alone_answers_at_once() -> None:
    leader = make_leader(voters=1)
    assert leader.state.commit_index == 1
    assert answered(ask(leader, 3)[1]) == [(1, 3)]


def test_reads_of_one_step_share_a_round() -> None:
    leader = leader_of()
    _, effects = ask(leader, 3)
    assert len(sent(effects)) == 2
    assert answered(receive(leader, "n3", ConfirmLeaderReply(2, 1))) == [(1, 3)]


def test_a_later_read_waits_for_a_question_of_its_own() -> None:
    leader = leader_of()
    ask(leader)
    _, effects = ask(leader, 2)
    assert sent(effects)[0] == ("n2", ConfirmLeader(2, 2))
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == [(1, 1)]
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 2))) == [(1, 2)]


def test_an_answer_answers_all_earlier_questions() -> None:
    leader = leader_of()
    ask(leader)
    ask(leader, 2)
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 2))) == [(1, 1), (1, 2)]


def test_what_comes_while_many_rounds_are_under_way_shares_the_next() -> None:
    leader = leader_of()
    for _ in range(4):
        assert sent(ask(leader)[1])
    for _ in range(3):
        assert ask(leader, 2)[1] == []
    effects = receive(leader, "n2", ConfirmLeaderReply(2, 1))
    assert answered(effects) == [(1, 1)]
    assert sent(effects)[0] == ("n2", ConfirmLeader(2, 5))
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 5))) == [(1, 1)] * 3 + [(1, 6)]


def test_it_sees_what_was_committed_when_it_came() -> None:
    leader = leader_of()
    propose(leader, b"a")
    step(leader)
    ask(leader)
    effects = receive(leader, "n2", AppendEntriesAccepted(2, 2))
    assert answered(effects) == []
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == [(1, 1)]


def test_before_its_first_entry_is_committed_a_leader_answers_nothing() -> None:
    """What its predecessors have committed it knows only then (§8); and should it never be, nobody may wait for it."""
    leader = make_leader((1, 1), commit_index=0)
    ask(leader)
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == []
    ask(leader)
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 2))) == []
    assert answered(receive(leader, "n2", AppendEntriesAccepted(2, 3))) == [(2, 1), (2, 1)]


def test_a_read_that_waits_for_nothing_inherited_does_not_say_how_old_the_rest_is() -> None:
    """What others have committed may be missing in the state that it sees: it only does not ask about it."""
    leader = make_leader((1, 1), commit_index=1)
    reads: list[PendingRead[Any]] = [PendingRead(make_admission(), lambda machine: machine) for _ in range(2)]
    reads[0].settled_in = 2
    step(leader, ReadsRequested([*reads]))
    [settled] = of(AnswerReads, receive(leader, "n2", ConfirmLeaderReply(2, 1)))
    assert (settled.index, settled.as_of) == (1, None)
    [other] = of(AnswerReads, receive(leader, "n2", AppendEntriesAccepted(2, 3)))
    assert (other.index, other.as_of) == (2, 0.0)


def test_a_leader_that_knows_all_that_it_inherited_to_be_committed_need_not_wait() -> None:
    """Whatever its predecessors have committed is among that, so its own first entry need not be committed (§8)."""
    leader = make_leader((1, 1), commit_index=2)
    ask(leader)
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == [(2, 1)]


def test_of_what_waits_for_the_inherited_entries_a_leader_keeps_what_somebody_waits_for() -> None:
    """It may wait for long: until earlier leases have ended, or while the disks of a majority hang."""
    leader = make_leader((1, 1), commit_index=0)
    [patient], _ = ask(leader)
    receive(leader, "n2", ConfirmLeaderReply(2, 1))
    for number in range(2, 100):
        receive(leader, "n3", RequestReadIndex(2, number))
        reads, _ = ask(leader, 10)
        receive(leader, "n2", ConfirmLeaderReply(2, leader.reads.last_round))
        for read in reads:
            read.abandon()
        step(leader, TimerFired(), now=number * 1.0)
        receive(leader, "n2", ConfirmLeaderReply(2, leader.reads.last_round))
        assert sum(len(waiting.reads) + len(waiting.asked_by) for waiting in leader.reads.unread) <= 12
        assert len(leader.reads.unread) <= 3
    effects = receive(leader, "n2", AppendEntriesAccepted(2, 3))
    assert [each.reads for each in of(AnswerReads, effects)] == [(patient,)]
    assert [message for peer, message in sent(effects) if peer == "n3" and isinstance(message, ReadIndexReply)] == [
        ReadIndexReply(2, 99, 2)
    ]


def test_an_answer_does_not_say_that_the_log_matches() -> None:
    leader = make_leader()
    ask(leader)
    receive(leader, "n2", ConfirmLeaderReply(2, 1))
    assert leader.commit.match_index == {"n2": 0, "n3": 0}
    assert leader.state.commit_index == 0


def test_an_answer_says_that_the_follower_lives() -> None:
    leader = leader_of()
    ask(leader, now=0.5)
    receive(leader, "n2", ConfirmLeaderReply(2, 1), now=0.75)
    assert leader.contact.last_contact["n2"] == 0.75


def test_with_the_next_heartbeat_it_asks_again_by_another_number() -> None:
    """An answer to the first question is as good as before; one to the second counts for both."""
    leader = leader_of()
    ask(leader)
    effects = step(leader, TimerFired(), now=0.1)
    assert sent(effects) == [("n2", ConfirmLeader(2, 2)), ("n3", ConfirmLeader(2, 2))]
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 1), now=0.1)) == [(1, 1)]
    assert sent(step(leader, TimerFired(), now=0.2)) == [], "nobody waits any more"
    ask(leader)
    step(leader, TimerFired(), now=0.35)
    assert answered(receive(leader, "n3", ConfirmLeaderReply(2, 4), now=0.35)) == [(1, 1)]


def test_nobody_is_asked_for_reads_that_were_given_up() -> None:
    leader = leader_of()
    [read], _ = ask(leader)
    read.abandon()
    assert sent(step(leader, TimerFired(), now=0.1)) == []
    assert leader.reads.take_all() == []


def test_one_that_was_given_up_keeps_its_place_as_long_as_it_is_in_the_log() -> None:
    """Else more might wait there than the bound allows: nothing takes it out before its entry is committed."""
    leader, admission = leader_of(), make_admission()
    read: PendingRead[Any] = PendingRead(admission, lambda machine: machine)
    admission.admit_nowait(read)
    leader.state.features_of = lambda _peer: frozenset()
    step(leader, ReadsRequested([read]))
    read.abandon()
    assert (admission.count, len(leader.intake.uncommitted)) == (1, 1)
    read.answer([], 1, None)
    assert admission.count == 0


def test_one_that_was_given_up_before_takes_no_place_in_the_log() -> None:
    leader, admission = leader_of(), make_admission()
    leader.state.features_of = lambda _peer: frozenset()
    reads: list[PendingRead[Any]] = [PendingRead(admission, lambda machine: machine) for _ in range(2)]
    for read in reads:
        admission.admit_nowait(read)
    reads[0].abandon()
    step(leader, ReadsRequested([*reads]))
    assert [*leader.intake.uncommitted] == [reads[1]]
    assert admission.count == 1


@pytest.mark.parametrize("older", [["n2"], ["n2", "n3"]])
def test_followers_that_would_not_understand_are_not_asked(older: list[str]) -> None:
    leader = leader_of()
    features = leader.state.features_of
    leader.state.features_of = lambda peer: frozenset() if peer in older else features(peer)
    _, effects = ask(leader)
    if older == ["n2"]:
        assert sent(effects) == [("n3", ConfirmLeader(2, 1))]
        assert written(effects) == []
    else:
        assert sent(effects) == []
        assert len(written(effects)) == 1, "the log answers instead"


@pytest.mark.parametrize("older", [["n2"], ["n2", "n3"]])
def test_reads_take_the_log_where_those_do_not_answer_that_could(older: list[str]) -> None:
    leader = leader_of()
    features = leader.state.features_of
    leader.state.features_of = lambda peer: frozenset() if peer == "n2" else features(peer)
    [read], _ = ask(leader)
    leader.state.features_of = lambda peer: frozenset() if peer in older else features(peer)
    effects = step(leader, TimerFired(), now=0.1)
    assert sent(effects) == []
    assert len([write for write in written(effects) if write.entries]) == 1
    assert read.index == 2


# --- the followers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [make_follower((1, 2), leader="n2"), make_candidate((1, 2), term=1)[0]])
def test_who_is_in_the_term_says_so_and_changes_nothing(role: Role) -> None:
    """Above all not the time at which it stands for election: reads alone keep nobody from that."""
    before = (role.deadline, getattr(role, "heard_at", 0.0), role.state.leader)
    effects = receive(role, "n2", ConfirmLeader(2, 7), now=0.35)
    answers = sent(effects) + held_back(effects)
    assert answers == [("n2", ConfirmLeaderReply(2, 7))]
    assert (role.deadline, getattr(role, "heard_at", 0.0), role.state.leader) == before


def test_a_leader_of_an_older_term_is_told_of_the_newer_one() -> None:
    follower = make_follower((1, 2))
    assert sent(receive(follower, "n3", ConfirmLeader(1, 7))) == [("n3", ConfirmLeaderReply(2, 0))]
    leader = make_leader()
    reads, _ = ask(leader)
    effects = receive(leader, "n3", ConfirmLeaderReply(3, 0))
    assert [become.role for become in became(effects)] == [RoleName.FOLLOWER]
    [(read, error)] = refused(leader.leave())
    assert read is reads[0]
    assert isinstance(error, LeadershipLost)
    assert error.index is None


def test_who_has_voted_for_another_since_confirms_nothing() -> None:
    follower = make_follower((1, 2))
    receive(follower, "n3", RequestVote(3, 2, 2), now=1.0)
    effects = receive(follower, "n2", ConfirmLeader(2, 1), now=1.0)
    assert ConfirmLeaderReply(2, 1) not in [message for _, message in sent(effects)]


def test_two_leaders_of_a_term_are_a_bug() -> None:
    with pytest.raises(InternalError, match="both lead"):
        receive(make_leader(), "n2", ConfirmLeader(2, 1))


# --- handing over ----------------------------------------------------------------------------------------------


def test_reads_wait_while_leadership_is_handed_over_and_go_on_where_that_fails() -> None:
    leader = leader_of()
    ask(leader)
    step(leader, TransferRequested(Transfer()))
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 1))) == []
    assert ask(leader)[1] == []
    effects: list[Effect] = []
    for beat in range(1, 10):
        for peer in leader.state.peers:
            receive(leader, peer, AppendEntriesAccepted(2, 1), now=beat / 10)
        effects += step(leader, TimerFired(), now=beat / 10)
    assert ("n2", ConfirmLeader(2, 2)) in sent(effects)
    assert answered(receive(leader, "n2", ConfirmLeaderReply(2, 2), now=1.0)) == [(1, 2)]
    assert of(Become, effects) == []
