"""What a leader decides on a change of members, one decision at a time."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs
import pytest

from raft_actors.errors import ChangeRefused, NotLeader
from raft_actors.node.members import PendingChange
from raft_actors.node.proposals import PendingRead
from raft_actors.raft.effects import Beat, Become, ChangeBegun, Effect, Persist, ReplicateTo, Send
from raft_actors.raft.entries import EntryKind
from raft_actors.raft.inputs import (
    ChangeRequested,
    PeerDisconnected,
    ReadsRequested,
    Received,
    TimerFired,
    TransferRequested,
)
from raft_actors.raft.membership import Configuration, Goal, Member
from raft_actors.raft.membership_codec import decode_configuration
from raft_actors.raft.messages import (
    AppendEntriesAccepted,
    ReadIndexReply,
    RequestLeave,
    RequestReadIndex,
    TimeoutNow,
)
from raft_actors.raft.persistent_state import LogWrite
from raft_actors.raft.roles import Leader
from raft_actors.raft.transitions import RoleName
from tests.unit.builders import (
    became,
    make_admission,
    make_durable,
    make_follower,
    make_leader,
    of,
    propose,
    receive,
    refused,
    sent,
    step,
    stored,
)

GOAL = Goal({"n2", "n3", "n4"})
JOINED = Configuration({"n1", "n2", "n3"}, {"n4"}, goal=GOAL)
JOINT = Configuration({"n2", "n3", "n4"}, outgoing={"n1", "n2", "n3"}, goal=GOAL)
LEFT = Configuration({"n2", "n3", "n4"}, {"n1"}, goal=GOAL)


def wish(
    voters: Collection[str] | None = None, *, members: dict[str, Member] | None = None, cancels: bool = False
) -> PendingChange:
    """A change that is asked for."""
    pending = PendingChange(voters, None, if_config=None, promote=True, cancels=cancels)
    pending.members = members or {}
    return pending


@attrs.define(eq=False)
class Handing:
    """A transfer that is asked for."""

    to: str | None


def appended(effects: list[Effect]) -> list[Configuration]:
    """The configurations that were appended."""
    return [
        decode_configuration(command)
        for persist in of(Persist, effects)
        if isinstance(persist.write, LogWrite)
        for batch in persist.write.entries
        if batch.kind is EntryKind.CONFIGURATION
        for command in batch.commands()
    ]


def acks(leader: Leader, *peers: str, now: float = 0.0, index: int | None = None) -> list[Effect]:
    """All of these acknowledge the whole log, or as much as is said."""
    match = leader.state.log.last_index if index is None else index
    return [
        effect
        for peer in peers
        for effect in receive(leader, peer, AppendEntriesAccepted(leader.state.term, match), now=now)
    ]


def ready(configuration: Configuration | None = None, **state: Any) -> Leader:
    """A leader that has committed the entry of its term, under a configuration that its store had."""
    held = () if configuration is None else (stored(2, configuration),)
    leader = make_leader([1, 1], stored_configurations=held, **state)
    acks(leader, *sorted(leader.state.voters - {"n1"}))
    assert leader.members.may_append
    return leader


def ask(leader: Leader, request: PendingChange, now: float = 0.0) -> list[Effect]:
    return leader.handle(ChangeRequested(request), now)


def at_once(leader: Leader, effects: list[Effect], *peers: str, now: float = 0.0) -> list[Effect]:
    """What was written is durable here, and at these."""
    return make_durable(leader, effects, now=now) + acks(leader, *peers, now=now)


# --- the way ------------------------------------------------------------------------------------------------------


def test_a_change_goes_its_way_a_step_for_each_commit() -> None:
    leader = ready()
    request = wish({"n2", "n3", "n4"}, members={"n4": Member("n4:1")})
    effects = ask(leader, request)
    assert [one.goal for one in of(ChangeBegun, effects)] == [GOAL]
    assert [one.peers for one in of(ReplicateTo, effects)] == [("n2", "n3", "n4")]
    assert [sorted(one.ids) for one in appended(effects)] == [["n1", "n2", "n3", "n4"]]
    # The newcomer holds nothing, so nobody goes on, however well the others hold it.
    assert appended(at_once(leader, effects, "n2", "n3")) == []
    effects = acks(leader, "n4", now=0.1)
    assert [one.voter_sets for one in appended(effects)] == [JOINT.voter_sets]
    # A majority of the old half alone commits nothing.
    assert appended(at_once(leader, effects, "n3", now=0.1)) == []
    effects = acks(leader, "n4", now=0.1)
    assert [(sorted(one.voters), sorted(one.learners), one.is_joint) for one in appended(effects)] == [
        (["n2", "n3", "n4"], ["n1"], False)
    ]
    # This leader has no vote any more: once that is committed, it has somebody lead who does, and appends nothing more.
    effects = at_once(leader, effects, "n3", "n4", now=0.1)
    assert appended(effects) == []
    [(target, message)] = sent(effects)
    assert (target in {"n3", "n4"}, message) == (True, TimeoutNow(2))


def test_reads_wait_while_a_leader_without_a_vote_hands_over() -> None:
    leader = ready()
    effects = ask(leader, wish({"n2", "n3"}))  # joint
    effects = at_once(leader, effects, "n2", "n3")  # left
    assert [sorted(one.voters) for one in appended(effects)] == [["n2", "n3"]]
    reads: list[Any] = [PendingRead(make_admission(), lambda machine: machine)]
    step(leader, ReadsRequested(reads))
    assert TimeoutNow(2) in [message for _, message in sent(at_once(leader, effects, "n2", "n3"))]
    assert leader.transfer is not None
    assert (leader.transfer.held, list(leader.reads.rounds)) == (reads, [])
    # Not all know how to answer: such reads go into the log, but not into one that another is to take over.
    leader.state.features_of = lambda _peer: frozenset()
    last_index = leader.state.log.last_index
    leader.handle(TimerFired(), leader.deadline)
    leader.end_of_step(leader.deadline)
    assert (leader.transfer.told, leader.state.log.last_index) == (True, last_index)


@pytest.mark.parametrize("priority", [0, 10])
def test_a_leader_without_a_vote_passes_over_who_does_not_take_its_place(priority: int) -> None:
    """It may answer, and hold all, and not stand all the same: its disk hangs where only its vote would be written."""
    members = {"n3": Member("n3", priority=priority)}
    left = Configuration(LEFT.voters, LEFT.learners, goal=GOAL, members=members, features={"priority"})
    leader = make_leader([1, 1], stored_configurations=(stored(2, left),))
    told: list[str] = []
    effects = acks(leader, "n3", "n2", "n4")
    while leader.deadline < 5.0:
        told += [to for to, message in sent(effects) if message == TimeoutNow(2) and to not in told[-1:]]
        effects = leader.handle(TimerFired(), leader.deadline)
        effects += acks(leader, "n2", "n4", "n3", now=leader.deadline - 0.01)
    assert sorted(told[:3]) == ["n2", "n3", "n4"]
    assert len(told) > 3  # each has had its chance, and has another
    assert told[0] == "n3" or not priority


def test_who_is_removed_hears_so_and_is_left_alone_then() -> None:
    leader = ready()
    effects = ask(leader, wish({"n1", "n2"}))
    effects = at_once(leader, effects, "n2", "n3")  # joint
    effects = at_once(leader, effects, "n2", "n3")  # left
    assert [one.ids for one in appended(effects)] == [{"n1", "n2"}]
    assert [one.peers for one in of(ReplicateTo, effects)] == [("n2", "n3")]
    assert (leader.state.peers, set(leader.state.parting)) == (("n2",), {"n3"})
    at_once(leader, effects, "n2")
    # It may not get what this leader commits from now on, so a read there must not wait for that.
    assert sent(step(leader, Received("n3", RequestReadIndex(2, 5)))) == [("n3", ReadIndexReply(2, 5, None))]
    assert of(ReplicateTo, leader.handle(TimerFired(), leader.deadline)) == []  # it has not acknowledged it
    acks(leader, "n3", now=leader.deadline)
    assert of(ReplicateTo, leader.handle(TimerFired(), leader.deadline)) == []  # this beat tells it the rest
    acks(leader, "n2", now=leader.deadline)
    assert [one.peers for one in of(ReplicateTo, leader.handle(TimerFired(), leader.deadline))] == [("n2",)]
    assert (leader.state.parting, acks(leader, "n3")) == ({}, [])
    assert not leader.members.busy


@pytest.mark.parametrize("check_quorum", [True, False])
def test_new_voters_that_are_silent_do_not_take_the_cluster_along(check_quorum: bool) -> None:
    """Also where the leader leads on without a majority: it could commit nothing for ever."""
    leader = ready(Configuration({"n1"}, {"n2"}, goal=Goal({"n1", "n2"})), check_quorum=check_quorum)
    effects = acks(leader, "n2", now=0.1)
    make_durable(leader, effects, now=0.1)
    taken_back: list[Configuration] = []
    while not taken_back and leader.deadline < 10.0:
        effects = leader.handle(TimerFired(), leader.deadline)
        make_durable(leader, effects, now=leader.deadline)
        taken_back = appended(effects)
    assert [one.voters for one in taken_back] == [{"n1"}]


def test_who_is_removed_and_never_answers_is_given_up() -> None:
    leader = ready()
    effects = at_once(leader, ask(leader, wish({"n1", "n2"})), "n2")
    at_once(leader, effects, "n2")
    now, replicated = 0.0, []
    while now < 9:
        now = leader.deadline
        acks(leader, "n2", now=now)
        effects = leader.handle(TimerFired(), now)
        make_durable(leader, effects, now=now)
        replicated += of(ReplicateTo, effects)
    assert replicated[-1].peers == ("n2",)


# --- what an earlier leader left ----------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [JOINED, JOINT, LEFT])
def test_a_new_leader_first_commits_an_entry_of_its_own_under_what_is_in_force(left: Configuration) -> None:
    leader = make_leader([1, 1], stored_configurations=(stored(2, left),), commit_index=2)
    assert appended(acks(leader, "n2", "n3", "n4", index=2, now=0.1)) == []
    effects = acks(leader, "n3", "n4", now=0.1)
    if left is LEFT:  # which this leader has no vote in
        assert [message for _, message in sent(effects)] == [TimeoutNow(2)]
    else:
        assert len(appended(effects)) == 1


def test_a_new_leader_does_not_go_back_before_that_either() -> None:
    leader = make_leader([1, 1], stored_configurations=(stored(2, JOINT),), commit_index=2)
    acks(leader, "n2", now=5.0, index=2)  # a majority of the old voters, and none of the new ones
    assert leader.members.take_back(5.0) is None
    assert ask(leader, wish(cancels=True), 5.0) == []  # it waits
    effects = acks(leader, "n2", "n3", now=5.0)
    assert [one.voters for one in appended(effects)] == [{"n1", "n2", "n3"}]
    assert len(of(ChangeBegun, effects)) == 1


# --- newcomers ----------------------------------------------------------------------------------------------------


def joined(now: float = 0.0) -> Leader:
    """A leader whose newcomer has acknowledged nothing yet."""
    leader = ready()
    effects = ask(leader, wish({"n1", "n2", "n3", "n4"}, members={"n4": Member("n4:1")}), now)
    at_once(leader, effects, "n2", "n3", now=now)
    return leader


@pytest.mark.parametrize(
    ("index", "connected", "later", "promoted"),
    [
        (4, True, 0.0, True),
        (3, True, 0.0, False),  # it lacks what is committed
        (4, False, 0.0, False),  # its connection is broken
        (4, True, 0.3, False),  # it was heard of, and is not now
    ],
)
def test_a_newcomer_votes_only_while_it_answers_and_has_all(
    index: int, connected: bool, later: float, promoted: bool
) -> None:
    leader = joined()
    leader.members.busy = False  # look only afterwards
    acks(leader, "n4", now=1.0, index=index)
    leader.members.busy = True
    if not connected:
        leader.handle(PeerDisconnected("n4"), 1.0)
    effects = acks(leader, "n2", now=1.0 + later)
    assert [one.is_joint for one in appended(effects)] == [True] * promoted


def test_under_load_a_newcomer_may_be_behind_by_an_election_timeout() -> None:
    leader = joined()
    now = 0.0
    for number in range(8):
        now = leader.deadline
        _, effects = propose(leader, b"%d" % number, now=now)
        effects += leader.end_of_step(now)
        at_once(leader, effects, "n2", "n3", now=now)
        leader.handle(TimerFired(), now)
    last = leader.state.log.last_index
    assert appended(acks(leader, "n4", now=now, index=last - 6)) == []
    assert [one.is_joint for one in appended(acks(leader, "n4", now=now, index=last - 2))] == [True]


def test_newcomers_are_asked_to_answer_each_beat() -> None:
    leader = joined()
    acks(leader, "n2", "n3", "n4", now=0.05, index=3)
    [beat] = of(Beat, leader.handle(TimerFired(), leader.deadline))
    assert beat.silent == {"n4"}


def test_one_that_stays_silent_stays_a_learner() -> None:
    leader = joined()
    changed: list[Configuration] = []
    while leader.deadline < 9:
        now = leader.deadline
        effects = acks(leader, "n2", "n3", now=now) + leader.handle(TimerFired(), now)
        changed += appended(effects)
        at_once(leader, effects, "n2", "n3", now=now)
    assert [(sorted(one.voters), sorted(one.learners)) for one in changed] == [(["n1", "n2", "n3"], ["n4"])]
    assert changed[0].goal is None
    assert 7.9 < leader.members._began_at < 8.6  # ten of the longest election timeouts


def test_a_joint_configuration_whose_new_half_falls_silent_is_taken_back() -> None:
    leader = ready(Configuration({"n1"}, {"n2"}, goal=Goal({"n1", "n2"})))
    effects = acks(leader, "n2", now=0.1)
    assert [one.is_joint for one in appended(effects)] == [True]
    make_durable(leader, effects, now=0.1)
    changed: list[Configuration] = []
    while not changed:
        effects = leader.handle(TimerFired(), leader.deadline)
        assert became(effects) == []
        changed = appended(effects)
    assert [(sorted(one.voters), sorted(one.learners)) for one in changed] == [(["n1"], ["n2"])]
    assert leader.deadline < 1.2


def test_without_the_old_half_it_steps_down_as_ever() -> None:
    leader = ready(JOINT)
    effects: list[Effect] = []
    while not became(effects) and leader.deadline < 5:
        now = leader.deadline
        acks(leader, "n4", now=now)
        effects = leader.handle(TimerFired(), now)
    assert became(effects) == [Become(RoleName.PRE_CANDIDATE)]


# --- what is refused, and what waits ------------------------------------------------------------------------------


def test_a_change_that_comes_too_early_waits_for_the_first_commit_and_the_next_is_refused() -> None:
    leader = make_leader([1, 1])
    first, second = wish({"n1"}), wish({"n2"})
    assert ask(leader, first) == []
    [(who, error)] = refused(ask(leader, second))
    assert (who, type(error)) == (second, ChangeRefused)
    effects = acks(leader, "n2")
    assert [one.request for one in of(ChangeBegun, effects)] == [first]


def test_who_waits_when_leadership_ends_is_told() -> None:
    leader = make_leader([1, 1])
    request = wish({"n1"})
    ask(leader, request)
    [(who, error)] = refused(leader.leave())
    assert (who, type(error)) == (request, NotLeader)


def test_only_a_leader_begins_a_change() -> None:
    request = wish({"n1"})
    [(who, error)] = refused(make_follower([1]).handle(ChangeRequested(request), 0.0))
    assert (who, type(error)) == (request, NotLeader)
    assert receive(make_follower([1]), "n2", RequestLeave(1)) == []


def test_no_change_begins_or_goes_on_while_leadership_is_handed_over() -> None:
    leader = joined()
    leader.handle(TransferRequested(Handing("n2")), 0.0)
    acks(leader, "n2", now=0.0)
    assert appended(acks(leader, "n4", now=0.0)) == []
    [(_, error)] = refused(ask(leader, wish({"n1"})))
    assert "is being handed to 'n2'" in str(error)


def test_a_member_that_leaves_is_removed_as_asked_and_only_once() -> None:
    leader = ready()
    assert len(appended(receive(leader, "n3", RequestLeave(2)))) == 1
    assert appended(receive(leader, "n3", RequestLeave(2))) == []
    assert receive(leader, "n9", RequestLeave(2)) == []
    assert leader.state.configuration.voters == {"n1", "n2"}


def test_what_comes_late_from_one_that_was_removed_counts_for_nothing() -> None:
    leader = ready()
    assert acks(leader, "n9") == []
    assert "n9" not in leader.contact.last_contact


def test_sends_nothing_to_strangers() -> None:
    leader = joined()
    assert {send.to for send in of(Send, leader.handle(TimerFired(), leader.deadline))} <= {"n2", "n3", "n4"}
