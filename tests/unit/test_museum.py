"""Bugs that other engines had, on roles by hand (docs/museum.md says whose). Tests are named after what holds here."""

from __future__ import annotations

import pytest

from raft_actors.raft.effects import Become, RestoreSnapshot, Send
from raft_actors.raft.inputs import Received, SnapshotReceived
from raft_actors.raft.messages import (
    AppendEntriesAccepted,
    InstallSnapshotReply,
    RequestPreVote,
    RequestPreVoteReply,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.roles import Follower, PreCandidate, Role
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import (
    append,
    became,
    held_back,
    make_durable,
    make_follower,
    make_leader,
    of,
    query,
    receive,
    sent,
    step,
)

SHORTEST_S = 0.4


def start_pre_vote(role: Role) -> tuple[PreCandidate, RequestPreVote]:
    """The node's leader is silent; its role from then on, and what it asks."""
    asking = PreCandidate(role.state)
    request = sent(asking.start(10.0))[0][1]
    assert isinstance(request, RequestPreVote)
    return asking, request


def answer_of(voter: Role, request: RequestPreVote, *, now: float = 10.0) -> RequestPreVoteReply:
    effects = receive(voter, "n2", request, now=now)
    [(_, reply)] = sent(effects) + held_back(effects)
    assert isinstance(reply, RequestPreVoteReply)
    return reply


def test_two_cohorts_one_with_the_longer_log_and_one_with_the_higher_term_elect_a_leader() -> None:
    """Each refuses the other's first pre-vote; the refusal tells the higher term, and with that the longer log wins."""
    longer: Role = make_follower([1, 1, 2], term=2, voters=4)
    higher = make_follower([1, 1], term=7, voters=4)

    _, request = start_pre_vote(higher)
    assert answer_of(longer, request) == RequestPreVoteReply(2, request.round, granted=False)

    asking, request = start_pre_vote(longer)
    refusal = answer_of(higher, request)
    assert refusal == RequestPreVoteReply(7, request.round, granted=False)
    effects = receive(asking, "n3", refusal)
    assert [become.role for become in became(effects)] == [RoleName.FOLLOWER]
    make_durable(asking, effects)

    longer = Follower(asking.state)
    asking, request = start_pre_vote(longer)
    assert request.term == 8
    for voter in ("n2", "n3"):
        grant = answer_of(higher, request)
        assert grant.granted
        effects = receive(asking, voter, grant)
    assert effects == [Become(RoleName.CANDIDATE)]


def test_a_node_that_is_asked_for_pre_votes_without_end_stands_when_its_time_has_come() -> None:
    follower = make_follower(term=2)
    deadline = follower.deadline
    for tenth in range(8):
        assert answer_of(follower, RequestPreVote(3, 0, 0, tenth), now=tenth / 10).granted
    assert follower.deadline == deadline
    assert follower.on_deadline(deadline) == [Become(RoleName.PRE_CANDIDATE)]


def test_the_last_leader_gets_a_pre_vote_like_anybody() -> None:
    """Its followers still know it as the leader; but who leads does not ask."""
    follower = make_follower(term=2)
    receive(follower, "n2", append(0, 0, term=2), now=0.0)
    assert follower.state.leader == "n2"
    assert answer_of(follower, RequestPreVote(3, 0, 0, 1), now=SHORTEST_S - 0.001).granted


def test_a_heartbeat_is_acknowledged_up_to_what_it_compared() -> None:
    """What the follower has beyond it may be another leader's."""
    follower = make_follower([1, 2, 2], term=3)
    assert sent(receive(follower, "n2", append(1, 1, term=3))) == [("n2", AppendEntriesAccepted(3, 1))]


def complete(index: int, number: int) -> SnapshotReceived:
    return SnapshotReceived(3, "n2", SnapshotMetadata(index, 2), number, 4)


@pytest.mark.parametrize(("first", "second"), [(5, 8), (5, 5), (8, 5)])
def test_a_second_snapshot_that_comes_before_the_first_is_on_disk_does_no_harm(first: int, second: int) -> None:
    follower = make_follower([1], term=3)
    effects = [*follower.handle(complete(first, 1), 0.0), *follower.handle(complete(second, 2), 0.0)]
    assert sent(effects) == []
    after = make_durable(follower, effects)
    indexes = list(dict.fromkeys([first, max(first, second)]))
    assert of(RestoreSnapshot, after) == [RestoreSnapshot(SnapshotMetadata(index, 2)) for index in indexes]
    replies = [InstallSnapshotReply(3, SnapshotMetadata(index, 2), 4, installed=True) for index in (first, second)]
    assert of(Send, after) == [Send("n2", reply) for reply in replies]
    state = follower.state
    assert (state.commit_index, state.log.snapshot_index, state.log.durable_index) == (max(first, second),) * 3
    state.check()


def test_a_read_asks_the_followers_for_nothing_but_to_commit_an_entry() -> None:
    """So nothing of it can hide that the leader has lost its majority, nor keep anybody from electing another one."""
    leader = make_leader()
    deadline, contact = leader.deadline, dict(leader.contact.last_contact)
    last_index = leader.state.log.last_index
    _, effects = query(leader, now=0.05)
    effects += step(leader, now=0.05)
    assert leader.state.log.last_index == last_index + 1
    assert (sent(effects), leader.deadline, leader.contact.last_contact) == ([], deadline, contact)


def test_what_a_leader_heard_of_its_followers_ends_with_its_term() -> None:
    """It steps down before it is in another term, and the next leadership begins with no contact but its election."""
    leader = make_leader(check_quorum=False)
    receive(leader, "n2", AppendEntriesAccepted(2, 1), now=5.0)
    effects = receive(leader, "n3", AppendEntriesAccepted(9, 0), now=5.1)
    assert [become.role for become in became(effects)] == [RoleName.FOLLOWER]
    assert not Follower(leader.state).in_touch(5.1)
    again = make_leader(term=9)
    assert again.contact.last_contact == {"n2": 0.0, "n3": 0.0}


def test_a_follower_that_led_answers_as_one_that_never_did() -> None:
    """Nothing of a leadership is in what a node carries from role to role but term, vote, log and commit index."""
    leader = make_leader([1])
    receive(leader, "n2", AppendEntriesAccepted(2, 2))
    message = append(2, 2, [3], term=3, commit=9)
    effects = receive(leader, "n3", message)
    [become] = became(effects)
    assert become == Become(RoleName.FOLLOWER, redeliver=Received("n3", message))
    led = Follower(leader.state)
    led.start(0.0)
    never = make_follower([1, 2], term=3, commit_index=2)
    of_led, of_never = (receive(role, "n3", message) for role in (led, never))
    assert held_back(of_led) == held_back(of_never) == [("n3", AppendEntriesAccepted(3, 3))]
    assert led.state.commit_index == never.state.commit_index == 3
