"""Handing leadership over, as the leader, the target and the leader before decide it (dissertation §3.10)."""

from __future__ import annotations

from typing import Any

import pytest

from raft_actors.errors import NotLeader, TransferFailed, TransferRefused
from raft_actors.node.handoff import PendingTransfer
from raft_actors.raft.effects import Become, Effect, EndScopes, GiveLeadershipUp, Persist, Refuse, Send, Transferred
from raft_actors.raft.inputs import PeerDisconnected, TimerFired, TransferRequested
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.roles import Candidate, Follower, Leader, PreCandidate
from raft_actors.raft.transitions import GivenUp, RoleName
from tests.unit.builders import (
    append,
    became,
    held_back,
    make_durable,
    make_follower,
    make_leader,
    make_state,
    of,
    propose,
    query,
    receive,
    refused,
    sent,
    step,
)


def transfer(leader: Leader, to: str | None = None, *, now: float = 0.0) -> tuple[PendingTransfer, list[Effect]]:
    """Have a leader decide on a transfer."""
    request = PendingTransfer(to)
    return request, leader.handle(TransferRequested(request), now)


def accept(leader: Leader, follower: str, match_index: int, *, now: float = 0.0) -> list[Effect]:
    return receive(leader, follower, AppendEntriesAccepted(leader.term, match_index), now=now)


def told(effects: list[Effect]) -> list[tuple[str, Any]]:
    return [(to, message) for to, message in sent(effects) if isinstance(message, TimeoutNow)]


def caught_up_leader(**settings: Any) -> Leader:
    """A leader of term 2 whose no-op, entry 3, all followers hold."""
    leader = make_leader([1, 1], **settings)
    accept(leader, "n2", 3)
    accept(leader, "n3", 3)
    return leader


# --- the leader -----------------------------------------------------------------------------------------------


def test_tells_a_target_at_once_that_holds_all() -> None:
    _, effects = transfer(caught_up_leader(), "n2")
    assert told(effects) == [("n2", TimeoutNow(2))]


def test_tells_a_target_only_once_its_disk_holds_all_and_all_is_committed() -> None:
    leader = make_leader([1, 1])
    accept(leader, "n2", 2)
    _, effects = transfer(leader, "n2")
    assert told(effects) == []
    assert told(accept(leader, "n3", 3)) == []  # committed, but the target lacks it
    assert told(accept(leader, "n2", 3)) == [("n2", TimeoutNow(2))]


def test_tells_a_target_that_holds_what_is_not_yet_committed_later() -> None:
    leader = make_leader([1, 1], voters=5)
    accept(leader, "n2", 3)
    _, effects = transfer(leader, "n2")
    assert told(effects) == []
    assert told(accept(leader, "n3", 3)) == [("n2", TimeoutNow(2))]


def test_what_came_before_in_the_same_step_goes_into_the_log_first() -> None:
    leader = caught_up_leader()
    proposal, _ = propose(leader, b"a")
    _, effects = transfer(leader, "n2")
    effects += make_durable(leader, leader.end_of_step(0.0))
    assert proposal.index == 4
    assert told(effects) == []
    assert told(accept(leader, "n2", 4)) == [("n2", TimeoutNow(2))]


def test_holds_what_comes_meanwhile() -> None:
    leader = caught_up_leader()
    transfer(leader, "n2")
    proposal, effects = propose(leader, b"a")
    read, more = query(leader)
    assert [*effects, *more, *leader.end_of_step(0.0)] == []
    assert (proposal.index, read.index, leader.state.log.last_index) == (None, None, 3)


@pytest.mark.parametrize(
    ("to", "why"),
    [("n1", "'n1' leads already"), ("n9", r"'n9' is no voter of this cluster \(n1, n2, n3\)")],
)
def test_refuses_a_target_that_makes_no_sense(to: str, why: str) -> None:
    request, effects = transfer(caught_up_leader(), to)
    [refusal] = of(Refuse, effects)
    assert refusal.outcome is request
    with pytest.raises(TransferRefused, match=why):
        raise refusal.error


def test_refuses_a_target_that_was_not_heard_of() -> None:
    leader = caught_up_leader()
    accept(leader, "n3", 3, now=1.0)
    with pytest.raises(TransferRefused, match=r"'n2' has not answered for 1\.0 s"):
        raise refused(transfer(leader, "n2", now=1.0)[1])[0][1]


def test_refuses_a_target_whose_connection_broke_until_it_is_heard_of_again() -> None:
    leader = caught_up_leader()
    leader.handle(PeerDisconnected("n2"), 0.0)
    with pytest.raises(TransferRefused, match=r"'n2' .*its connection is broken"):
        raise refused(transfer(leader, "n2")[1])[0][1]
    accept(leader, "n2", 3)
    assert told(transfer(leader, "n2")[1])


def test_refuses_a_target_that_is_far_behind() -> None:
    leader = make_leader(after=SnapshotMetadata(50, 1))
    accept(leader, "n2", 3)
    with pytest.raises(TransferRefused, match="'n2' is far behind: it holds the log up to entry 3 of 51"):
        raise refused(transfer(leader, "n2")[1])[0][1]


def test_a_new_leader_waits_until_the_target_has_told_what_it_holds() -> None:
    leader = make_leader(after=SnapshotMetadata(50, 1))
    _, effects = transfer(leader, "n2")
    proposal, more = propose(leader, b"held")
    assert told([*effects, *more, *accept(leader, "n3", 51)]) == []
    assert (proposal.index, leader.state.commit_index) == (None, 51)
    assert told(accept(leader, "n2", 51)) == [("n2", TimeoutNow(2))]


def test_a_target_of_a_new_leader_that_turns_out_to_be_far_behind_holds_nothing_up() -> None:
    leader = make_leader(after=SnapshotMetadata(50, 1))
    request, effects = transfer(leader, "n2")
    proposal, _ = propose(leader, b"held")
    assert refused(effects) == []
    [(outcome, error)] = refused(accept(leader, "n2", 3))
    assert outcome is request
    with pytest.raises(TransferRefused, match="'n2' is far behind: it holds the log up to entry 3 of 51"):
        raise error
    leader.end_of_step(0.0)
    assert proposal.index == 52


def test_a_new_leader_chooses_among_those_that_have_told_what_they_hold() -> None:
    leader = make_leader([1, 1], voters=5)
    _, effects = transfer(leader)
    for each in (None, "n4"):
        with pytest.raises(TransferRefused, match="leadership is being handed to another voter already"):
            raise refused(transfer(leader, each)[1])[0][1]
    assert told(effects) == told(accept(leader, "n3", 2)) == []
    assert told(accept(leader, "n4", 3)) == []
    assert told(accept(leader, "n3", 3)) == [("n3", TimeoutNow(2))]


def test_a_target_that_a_new_leader_never_hears_of_is_said_to_be_silent() -> None:
    leader = make_leader(after=SnapshotMetadata(50, 1))
    request, _ = transfer(leader, "n2")
    proposal, _ = propose(leader, b"held")
    accept(leader, "n3", 51, now=0.7)
    assert leader.handle(TimerFired(), 0.7) != []
    assert refused(leader.handle(TimerFired(), 0.75)) == []
    [(outcome, error)] = refused(step(leader, TimerFired(), now=0.8))
    assert (outcome, proposal.index) == (request, 52)
    with pytest.raises(TransferFailed, match="'n2' has not told in time how much of the log it holds: 'n1' leads on"):
        raise error


def test_says_what_a_target_still_lacked() -> None:
    leader = make_leader([1, 1], voters=5)
    accept(leader, "n2", 2)
    transfer(leader, "n2")
    for each in ("n3", "n4"):
        accept(leader, each, 3, now=0.7)
    [(_, error)] = refused(step(leader, TimerFired(), now=0.8))
    with pytest.raises(TransferFailed, match="'n2' did not get all of the log in time, but up to entry 2 of 3"):
        raise error


def test_chooses_whoever_holds_most() -> None:
    leader = make_leader([1, 1], voters=5)
    accept(leader, "n3", 2)
    accept(leader, "n4", 3)
    accept(leader, "n5", 3)
    leader.handle(PeerDisconnected("n4"), 0.0)
    _, effects = transfer(leader)
    assert leader.transfer is not None
    assert (leader.transfer.target, told(effects)) == ("n5", [("n5", TimeoutNow(2))])


def test_refuses_where_nobody_is_fit() -> None:
    leader = caught_up_leader()
    for peer in ("n2", "n3"):
        leader.handle(PeerDisconnected(peer), 0.0)
    with pytest.raises(TransferRefused, match="no follower can take leadership over now"):
        raise refused(transfer(leader)[1])[0][1]


def test_one_transfer_at_a_time() -> None:
    leader = caught_up_leader()
    transfer(leader, "n2")
    with pytest.raises(TransferRefused, match="leadership is being handed to 'n2' already"):
        raise refused(transfer(leader, "n3")[1])[0][1]


def test_tells_again_with_each_heartbeat_and_leads_on_in_the_end() -> None:
    leader = caught_up_leader()
    request, _ = transfer(leader, "n2")
    proposal, _ = propose(leader, b"a")
    accept(leader, "n3", 3, now=0.7)
    assert told(leader.handle(TimerFired(), 0.1)) == [("n2", TimeoutNow(2))]
    effects = [effect for now in (0.2, 0.7, 0.8) for effect in step(leader, TimerFired(), now=now)]
    [refusal] = of(Refuse, effects)
    assert refusal.outcome is request
    assert isinstance(refusal.error, TransferFailed)
    assert "'n1' leads on" in str(refusal.error)
    assert proposal.index == 4  # what was held goes on here
    assert propose(leader, b"b")[1] == []
    assert of(Persist, leader.end_of_step(0.8))


def test_a_leader_whose_disk_hangs_tells_the_best_follower() -> None:
    leader = make_leader([1, 1], durable=False)
    effects: list[Effect] = []
    for tenths in range(1, 9):
        assert became(effects) == []
        accept(leader, "n2", 3, now=tenths / 10)
        accept(leader, "n3", 3, now=tenths / 10)
        effects = leader.handle(TimerFired(), tenths / 10)
    given_up, ended, *others = effects
    assert others == [Send("n3", TimeoutNow(2)), Become(RoleName.FOLLOWER)]
    assert isinstance(ended, EndScopes)
    assert isinstance(given_up, GiveLeadershipUp)
    assert (given_up.term, given_up.reason, round(given_up.silent_s, 1)) == (2, GivenUp.HUNG_DISK, 0.8)


# --- the target -----------------------------------------------------------------------------------------------


def test_a_follower_that_is_told_stands_at_once_and_says_why() -> None:
    follower = make_follower([1, 2], leader="n1", term=2)
    assert receive(follower, "n1", TimeoutNow(2)) == [Become(RoleName.CANDIDATE)]
    candidate = Candidate(follower.state)
    effects = candidate.start(0.0)
    request = RequestVote(3, 2, 2, leadership_transfer=True)
    assert held_back(effects) == [("n2", request), ("n3", request)]
    # A later election of the same node is one like any other.
    assert not Candidate(follower.state).leadership_transfer


def test_only_the_leader_may_tell() -> None:
    follower = make_follower([1, 2], leader="n2", term=2)
    assert receive(follower, "n3", TimeoutNow(2)) == []
    assert receive(follower, "n2", TimeoutNow(1)) == []


def test_a_follower_whose_disk_is_not_through_stands_when_it_is() -> None:
    """However short the write: the leader holds proposals, and asks again only a heartbeat interval later."""
    follower = make_follower([1], leader="n2", term=1)
    under_way = receive(follower, "n2", append(1, 1, [1]))
    assert receive(follower, "n2", TimeoutNow(1)) == []
    assert make_durable(follower, under_way, now=0.1)[-1] == Become(RoleName.CANDIDATE)
    assert follower.state.leadership_transfer
    again = make_follower([1], leader="n2", term=1)
    noted = receive(again, "n2", append(1, 1, commit=1))
    assert receive(again, "n2", TimeoutNow(1)) == []
    assert make_durable(again, noted) == [Become(RoleName.CANDIDATE)]


def test_a_word_to_stand_is_kept_no_longer_than_the_leader_waits_to_say_it_again() -> None:
    late = make_follower([1], leader="n2", term=1)
    under_way = receive(late, "n2", append(1, 1, [1]))
    assert receive(late, "n2", TimeoutNow(1)) == []
    assert not became(make_durable(late, under_way, now=0.11))
    leads_on = make_follower([1], leader="n2", term=1)
    under_way = receive(leads_on, "n2", append(1, 1, [1]))
    assert receive(leads_on, "n2", TimeoutNow(1)) == []
    under_way += receive(leads_on, "n2", append(2, 1, [1]))
    assert not became(make_durable(leads_on, under_way))
    deposed = make_follower([1], leader="n2", term=1)
    under_way = receive(deposed, "n2", append(1, 1, [1]))
    assert receive(deposed, "n2", TimeoutNow(1)) == []
    under_way += receive(deposed, "n3", append(2, 1, term=2))
    assert not became(make_durable(deposed, under_way))


def test_others_vote_though_they_hear_the_leader() -> None:
    follower = make_follower([1, 2], leader="n2", term=2)
    receive(follower, "n2", append(2, 2))
    effects = receive(follower, "n3", RequestVote(3, 2, 2, leadership_transfer=True))
    assert held_back(effects) == [("n3", RequestVoteReply(3, granted=True))]


# --- the leader before ------------------------------------------------------------------------------------------


def deposed(leader: Leader) -> tuple[Follower, list[Effect]]:
    """Have the target's request for votes make a follower of the leader."""
    effects = receive(leader, "n2", RequestVote(3, 3, 2, leadership_transfer=True))
    [become] = became(effects)
    left = leader.leave()
    follower = Follower(leader.state)
    follower.start(0.0)
    return follower, [*left, *follower.handle(become.redeliver, 0.0)]


def test_who_waits_learns_the_new_leader_at_once() -> None:
    leader = caught_up_leader()
    request, _ = transfer(leader, "n2")
    proposal, _ = propose(leader, b"a")
    read, _ = query(leader)
    follower, effects = deposed(leader)
    assert of(Refuse, effects) == []  # not before that is known
    effects = receive(follower, "n2", AppendEntries(3, 3, 2, 3))
    refusals = of(Refuse, effects)
    assert [refusal.outcome for refusal in refusals] == [proposal, read]
    for refusal in refusals:
        assert isinstance(refusal.error, NotLeader)
        assert (refusal.error.leader, refusal.error.term) == ("n2", 3)
    assert of(Transferred, effects) == [Transferred(request, "n2")]
    assert of(Transferred, receive(follower, "n2", AppendEntries(3, 3, 2, 3))) == []


def test_who_waits_is_told_where_nobody_leads() -> None:
    leader = caught_up_leader()
    request, _ = transfer(leader, "n2")
    proposal, _ = propose(leader, b"a")
    follower, _ = deposed(leader)
    assert follower.on_deadline(1.0) == [Become(RoleName.PRE_CANDIDATE)]
    first, second = of(Refuse, PreCandidate(follower.state).start(1.0))
    assert (first.outcome, second.outcome) == (proposal, request)
    assert isinstance(first.error, NotLeader)
    assert first.error.leader is None
    assert isinstance(second.error, TransferFailed)


def test_only_a_leader_hands_over() -> None:
    follower = make_follower([1], leader="n2")
    error = refused(follower.handle(TransferRequested(PendingTransfer(None)), 0.0))[0][1]
    assert isinstance(error, NotLeader)
    assert error.leader == "n2"


def test_a_new_leader_knows_of_no_transfer_of_the_one_before() -> None:
    state = make_state([1, 1], term=2)
    assert Leader(state).transfer is None
