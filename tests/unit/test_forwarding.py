"""Handing proposals on to the leader: at most once, whatever is lost or comes twice, and with an answer in the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from raft_actors.errors import LeadershipLost, NotLeader, Overloaded
from raft_actors.node.proposals import LocalProposal, PendingProposal
from raft_actors.raft import inputs
from raft_actors.raft.effects import AnnounceCommit, Apply, Effect, KeepResults, Refuse
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.features import FORWARDING
from raft_actors.raft.inputs import PeerDisconnected, Requested
from raft_actors.raft.messages import (
    AppendEntriesAccepted,
    Forwarded,
    ForwardProposals,
    ForwardReply,
    TimeoutNow,
)
from raft_actors.raft.requests import TransferRequest
from raft_actors.raft.roles import Follower, Leader, Role
from tests.unit.builders import (
    append,
    became,
    make_admission,
    make_durable,
    make_follower,
    make_leader,
    of,
    receive,
    refused,
    sent,
    step,
    written,
)

HEARTBEAT_S, LONGEST_S = 0.1, 0.8


def follower(terms: tuple[int, ...] = (1,), **state: Any) -> Follower:
    """A follower of n2, which knows how to take proposals in."""
    role = make_follower(terms, leader="n2", **state)
    role.state.features_of = lambda _peer: frozenset({FORWARDING})
    return role


def proposal(data: bytes, kind: type[PendingProposal[Any]] = PendingProposal) -> PendingProposal[Any]:
    return kind(make_admission(), [data], len(data))


def hand_in(role: Role, *data: bytes, now: float = 0.0) -> tuple[list[PendingProposal[Any]], list[Effect]]:
    """Have a role decide on proposals, and on the end of the step."""
    proposals = [proposal(each) for each in data]
    return proposals, step(role, Requested([*proposals]), now=now)


def forwarded(effects: Iterable[Effect]) -> list[ForwardProposals]:
    return [message for _, message in sent(effects) if isinstance(message, ForwardProposals)]


def answers(effects: Iterable[Effect]) -> list[tuple[int, int, int]]:
    """Number, outcome and index of each answer that leaves at once."""
    return [
        (message.number, message.outcome, message.index)
        for _, message in sent(effects)
        if isinstance(message, ForwardReply)
    ]


def answer(message: ForwardProposals, outcome: Forwarded, index: int = 0, *, term: int = 1) -> ForwardReply:
    return ForwardReply(term, message.life, message.number, outcome, index)


# --- the member's side ------------------------------------------------------------------------------------------------


def test_proposals_of_one_step_go_to_the_leader_together() -> None:
    role = follower()
    _, effects = hand_in(role, b"a", b"b")
    [message] = forwarded(effects)
    [batch] = message.entries
    assert (message.term, message.number, batch.commands()) == (1, 1, [b"a", b"b"])
    assert refused(effects) == []


def test_results_are_kept_from_when_a_batch_goes_until_its_answer_comes() -> None:
    role = follower(commit_index=1)
    _, effects = hand_in(role, b"a")
    assert [type(effect).__name__ for effect in effects] == ["KeepResults", "Send"]
    assert of(KeepResults, effects) == [KeepResults(2)]
    [message] = forwarded(effects)
    assert of(KeepResults, receive(role, "n2", answer(message, Forwarded.PLACED, 2))) == [KeepResults(None)]


def test_whoever_does_not_want_it_is_refused() -> None:
    role = follower()
    here = proposal(b"a", LocalProposal)
    effects = step(role, Requested([here]))
    [(outcome, error)] = refused(effects)
    assert outcome is here
    assert isinstance(error, NotLeader)
    assert forwarded(effects) == []


def test_a_leader_of_an_older_version_is_sent_nothing() -> None:
    role = follower()
    role.state.features_of = lambda _peer: frozenset()
    [mine], effects = hand_in(role, b"a")
    assert forwarded(effects) == []
    assert isinstance(dict(refused(effects))[mine], NotLeader)


def test_waits_for_a_leader_that_is_not_known_yet() -> None:
    role = follower()
    role.state.leader = None
    _, effects = hand_in(role, b"a")
    assert effects == []
    assert len(forwarded(step(role, inputs.Received("n2", append(1, 1, term=1))))) == 1


def test_speaks_of_no_term_that_is_not_on_disk() -> None:
    role = follower()
    receive(role, "n3", append(1, 1, term=5))
    _, effects = hand_in(role, b"a")
    assert forwarded(effects) == []


def test_a_placed_proposal_is_answered_once_its_entry_is_committed() -> None:
    role = follower()
    [first, second], effects = hand_in(role, b"a", b"b")
    [message] = forwarded(effects)
    receive(role, "n2", answer(message, Forwarded.PLACED, 2))
    assert [(one.index, one.last_index) for one in (first, second)] == [(2, 2), (3, 3)]
    effects = receive(role, "n2", append(1, 1, [1, 1], commit=3))
    assert [outcome for apply in of(Apply, effects) for outcome in apply.outcomes] == [first, second]


def test_an_answer_that_comes_after_the_commit_is_as_good() -> None:
    role = follower()
    [mine], effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    receive(role, "n2", append(1, 1, [1], commit=2))
    assert of(Apply, receive(role, "n2", answer(message, Forwarded.PLACED, 2))) == [Apply(2, (mine,))]


def test_asks_the_leader_again_and_ever_more_rarely() -> None:
    role = follower()
    hand_in(role, b"a")
    asked = [now / 100 for now in range(1, 200) if forwarded(role.end_of_step(now / 100))]
    assert asked == pytest.approx([0.1, 0.3, 0.7, 1.5], abs=0.04)


def test_what_was_refused_goes_to_the_next_leader_in_its_order() -> None:
    role = follower()
    _, effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    hand_in(role, b"b")
    receive(role, "n2", answer(message, Forwarded.REFUSED))
    assert forwarded(role.end_of_step(0.0)) == []  # not to the same at once: that would be a busy loop
    [again] = forwarded(role.end_of_step(HEARTBEAT_S / 2))
    assert (again.number, again.entries[0].commands()) == (3, [b"a"])


def test_what_was_refused_goes_to_the_next_leader_as_soon_as_that_is_known() -> None:
    """So a leader that hands over costs its followers' proposers no longer than that takes."""
    role = follower()
    _, effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    receive(role, "n2", answer(message, Forwarded.REFUSED))
    make_durable(role, receive(role, "n3", append(1, 1, term=2)))
    [again] = forwarded(role.end_of_step(0.0))
    assert (again.term, again.number) == (2, 2)
    receive(role, "n3", answer(again, Forwarded.REFUSED))
    assert forwarded(role.end_of_step(0.0)) == []
    assert forwarded(role.end_of_step(HEARTBEAT_S / 2))


def test_a_leader_that_has_no_room_refuses_for_good() -> None:
    role = follower()
    [mine], effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    assert isinstance(dict(refused(receive(role, "n2", answer(message, Forwarded.OVERLOADED))))[mine], Overloaded)


def test_asks_a_former_leader_what_became_of_a_batch_and_gives_up_in_the_end() -> None:
    role = follower()
    [mine], effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    make_durable(role, receive(role, "n3", append(1, 1, term=2), now=0.05))
    assert sent(role.end_of_step(0.05)) == [("n2", message)]
    assert not any(refused(role.end_of_step(now)) for now in (0.1, 0.5, 1.6))
    error = dict(refused(role.end_of_step(0.06 + 2 * LONGEST_S)))[mine]
    assert isinstance(error, LeadershipLost)
    assert "'n2'" in str(error)


def test_a_former_leader_that_has_ended_is_not_waited_for() -> None:
    role = follower()
    [mine], _ = hand_in(role, b"a")
    role.handle(PeerDisconnected("n2"), 0.0)
    assert refused(role.end_of_step(0.01)) == []  # it may be back, and lead on
    make_durable(role, receive(role, "n3", append(1, 1, term=2), now=0.05))
    assert isinstance(dict(refused(role.end_of_step(0.05)))[mine], LeadershipLost)


def test_what_no_transport_took_waits_for_the_next_leader() -> None:
    role = follower()
    _, effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    role.state.outbox.not_sent(message.number)
    role.handle(PeerDisconnected("n2"), 0.0)
    make_durable(role, receive(role, "n3", append(1, 1, term=2), now=0.05))
    [again] = forwarded(role.end_of_step(0.05))
    assert (again.term, again.entries[0].commands()) == (2, [b"a"])


def test_an_answer_of_another_node_or_life_says_nothing() -> None:
    role = follower()
    [mine], effects = hand_in(role, b"a")
    [message] = forwarded(effects)
    receive(role, "n3", answer(message, Forwarded.PLACED, 2))
    receive(role, "n2", ForwardReply(1, message.life + 1, message.number, Forwarded.PLACED, 2))
    assert mine.index is None


def test_a_withdrawn_proposal_is_never_handed_on() -> None:
    role = follower()
    role.state.leader = None
    [mine, other], _ = hand_in(role, b"a", b"b")
    assert role.state.outbox.withdraw(mine)
    role.state.leader = "n2"
    [message] = forwarded(role.end_of_step(0.0))
    assert message.entries[0].commands() == [b"b"]
    assert not role.state.outbox.withdraw(other)


def test_no_more_is_under_way_than_the_window_allows() -> None:
    role = follower(max_inflight_appends=2, max_append_bytes=1)
    _, effects = hand_in(role, b"a", b"b", b"c")
    first, second = forwarded(effects)
    receive(role, "n2", answer(first, Forwarded.PLACED, 2))
    [third] = forwarded(role.end_of_step(0.0))
    assert [message.entries[0].commands() for message in (first, second, third)] == [[b"a"], [b"b"], [b"c"]]
    assert third.settled_below == second.number


def test_who_is_elected_proposes_what_it_had_to_hand_on() -> None:
    role = follower((1,), term=1)
    role.state.leader = None
    [mine], _ = hand_in(role, b"a")
    leader = Leader(role.state)
    effects = [*leader.start(0.0), *step(leader)]
    assert [batch.commands() for write in written(effects) for batch in write.entries] == [[b""], [b"a"]]
    assert mine.index == 3


# --- the leader's side ------------------------------------------------------------------------------------------------


def forward(number: int, *commands: bytes, term: int = 2, life: int = 7, settled_below: int = 1) -> ForwardProposals:
    return ForwardProposals(
        term, life, number, settled_below, (EntryBatch.encode(1, term, EntryKind.COMMAND, commands),)
    )


def test_a_leader_takes_them_in_and_tells_where_they_stand_before_it_sends_them() -> None:
    leader = make_leader()
    effects = step(leader, inputs.Received("n2", forward(1, b"a", b"b")))
    assert answers(effects) == [(1, Forwarded.PLACED, 2)]
    assert [type(effect).__name__ for effect in effects] == ["Send", "Persist", "WakeReplicators"]
    [write] = written(effects)
    assert write.entries[0].commands() == [b"a", b"b"]


def test_a_copy_is_taken_in_once() -> None:
    leader = make_leader()
    step(leader, inputs.Received("n2", forward(1, b"a")), inputs.Received("n2", forward(1, b"a")))
    effects = step(leader, inputs.Received("n2", forward(1, b"a")))
    assert (answers(effects), written(effects)) == ([(1, Forwarded.PLACED, 2)], [])
    step(leader, inputs.Received("n2", forward(3, b"c", settled_below=2)))
    assert step(leader, inputs.Received("n2", forward(1, b"a"))) == []  # nobody asks for it any more
    assert leader.state.log.last_index == 3


def test_what_was_refused_is_not_taken_in_when_a_copy_comes() -> None:
    """Its sender has handed it on anew by then."""
    leader = make_leader(max_uncommitted_bytes=60, max_command_bytes=60)
    effects = step(leader, inputs.Received("n2", forward(1, b"x" * 40)))
    without_room = step(leader, inputs.Received("n2", forward(2, b"y")))
    assert answers(without_room) == [(2, Forwarded.OVERLOADED, 0)]
    make_durable(leader, effects)
    without_room += step(leader, inputs.Received("n2", forward(4, b"y")))
    replies = [reply for _, reply in sent(without_room) if isinstance(reply, ForwardReply)]
    assert [(reply.cause, reply.retry_after_ms) for reply in replies] == [(b"disk", 100), (b"bytes", 100)]
    receive(leader, "n3", AppendEntriesAccepted(2, 2))
    effects = step(leader, inputs.Received("n2", forward(2, b"y")))
    assert (answers(effects), written(effects)) == ([(2, Forwarded.REFUSED, 0)], [])
    assert answers(step(leader, inputs.Received("n2", forward(3, b"y")))) == [(3, Forwarded.PLACED, 3)]


def test_another_life_of_a_member_counts_anew() -> None:
    leader = make_leader()
    step(leader, inputs.Received("n2", forward(1, b"a")))
    assert answers(step(leader, inputs.Received("n2", forward(1, b"b", life=8)))) == [(1, Forwarded.PLACED, 3)]


def test_those_who_wait_for_a_commit_are_told_of_it_at_once() -> None:
    leader = make_leader()
    make_durable(leader, step(leader, inputs.Received("n2", forward(1, b"a"))))
    effects = receive(leader, "n3", AppendEntriesAccepted(2, 2))
    assert of(AnnounceCommit, effects) == [AnnounceCommit(("n2",))]


class _Transfer(TransferRequest):
    def __init__(self) -> None:
        self.to = "n3"


def test_nothing_is_taken_in_while_leadership_is_handed_over() -> None:
    leader = make_leader()
    receive(leader, "n3", AppendEntriesAccepted(2, 1))
    leader.handle(inputs.TransferRequested(_Transfer()), 0.0)
    effects = step(leader, inputs.Received("n2", forward(1, b"a")))
    assert (answers(effects), written(effects)) == ([(1, Forwarded.REFUSED, 0)], [])


def test_what_came_before_a_transfer_is_committed_first() -> None:
    leader = make_leader()
    receive(leader, "n3", AppendEntriesAccepted(2, 1))
    effects = step(leader, inputs.Received("n2", forward(1, b"a")), inputs.TransferRequested(_Transfer()))
    assert answers(effects) == [(1, Forwarded.PLACED, 2)]
    assert not any(isinstance(message, TimeoutNow) for _, message in sent(effects))


def test_a_former_leader_knows_what_it_took_in_and_what_not() -> None:
    leader = make_leader()
    step(leader, inputs.Received("n2", forward(1, b"a")))
    leader.handle(inputs.Received("n2", forward(2, b"b")), 0.0)
    leader.state.adopt_term(3)
    assert answers(leader.leave()) == [(2, Forwarded.REFUSED, 0)]
    role = Follower(leader.state)
    late = [role.handle(inputs.Received("n2", forward(number, b"x")), 0.0) for number in (1, 2, 3)]
    told = [message for effects in late for persist in effects for message in _replies(persist)]
    assert [(one.number, one.outcome, one.index) for one in told] == [
        (1, Forwarded.PLACED, 2),
        (2, Forwarded.REFUSED, 0),
        (3, Forwarded.REFUSED, 0),
    ]


def test_who_does_not_remember_to_have_led_can_not_tell() -> None:
    """It may have, before it was started again."""
    role = follower((1,), term=3)
    effects = receive(role, "n2", forward(1, b"a", term=2))
    assert [message.outcome for effect in effects for message in _replies(effect)] == [Forwarded.UNKNOWN]


def _replies(effect: Any) -> list[ForwardReply]:
    inner = getattr(effect, "then", (effect,))
    return [each.message for each in inner if isinstance(getattr(each, "message", None), ForwardReply)]


def test_a_leader_that_steps_down_hands_on_what_it_had_not_appended() -> None:
    leader = make_leader()
    leader.state.features_of = lambda _peer: frozenset({FORWARDING})
    mine = proposal(b"a")
    leader.handle(Requested([mine]), 0.0)
    effects = receive(leader, "n2", append(1, 2, term=3))
    assert became(effects)
    assert of(Refuse, leader.leave()) == []
    assert list(leader.state.outbox.waiting) == [mine]


def test_what_comes_back_to_a_leader_is_appended_by_it() -> None:
    leader = make_leader()
    mine = proposal(b"a")
    leader.state.outbox.take_back([mine])  # the leader before this one says late that it did not take it in
    leader.end_of_step(0.0)
    assert mine.index == leader.state.log.last_index
    assert not leader.state.outbox.waiting
