"""To whom a leader gives way because of priorities, and when."""

from __future__ import annotations

import pytest

from raft_actors.errors import ChangeRefused
from raft_actors.raft.effects import Beat, Effect
from raft_actors.raft.features import PRIORITY
from raft_actors.raft.inputs import TimerFired
from raft_actors.raft.membership import Configuration, Member, begin_change
from raft_actors.raft.messages import AppendEntriesAccepted, TimeoutNow
from raft_actors.raft.roles import Leader
from tests.unit.builders import of, propose, receive, sent
from tests.unit.test_leader_members import acks, at_once, ready

USING = frozenset({PRIORITY})
LONGEST_S = 0.8


def configuration(**priorities: int) -> Configuration:
    members = {name: Member(priority=priorities.get(name, 0)) for name in ("n1", "n2", "n3")}
    return Configuration({"n1", "n2", "n3"}, members=members, features=USING)


def beat(leader: Leader) -> list[Effect]:
    return leader.handle(TimerFired(), leader.deadline)


def lead_on(leader: Leader, until_s: float, *answering: str) -> list[Effect]:
    """Heartbeats, all of which these answer."""
    effects: list[Effect] = []
    while leader.deadline <= until_s:
        now = leader.deadline
        effects += beat(leader) + acks(leader, *answering, now=now)
    return effects


def told(effects: list[Effect]) -> list[str]:
    return [to for to, message in sent(effects) if isinstance(message, TimeoutNow)]


def test_a_leader_hands_over_to_the_highest_after_an_election_timeout() -> None:
    leader = ready(configuration(n2=1, n3=2))
    assert told(lead_on(leader, LONGEST_S - 0.01, "n2", "n3")) == []
    assert set(told(lead_on(leader, LONGEST_S + 0.1, "n2", "n3"))) == {"n3"}


def test_whoever_is_above_is_to_answer_every_beat() -> None:
    leader = ready(configuration(n1=1, n3=2))
    assert {one.silent for one in of(Beat, beat(leader))} == {frozenset({"n3"})}
    assert {one.silent for one in of(Beat, beat(ready(configuration(n1=2, n3=2))))} == {frozenset()}


def test_who_does_not_answer_now_gets_nothing() -> None:
    leader = ready(configuration(n3=2))
    lead_on(leader, LONGEST_S - 0.2, "n2", "n3")
    assert told(lead_on(leader, 2 * LONGEST_S - 0.3, "n2")) == []  # not silent for long, yet longer than two beats


def test_who_lacks_something_committed_gets_nothing_until_it_has_it() -> None:
    leader = ready(configuration(n3=2))
    _, effects = propose(leader, b"x")
    at_once(leader, [*effects, *leader.end_of_step(0.0)], "n2")
    last = leader.state.log.last_index
    assert leader.state.commit_index == last

    def behind(now: float) -> list[Effect]:
        answer = AppendEntriesAccepted(leader.state.term, last - 1)
        return [*acks(leader, "n2", now=now), *receive(leader, "n3", answer, now=now)]

    effects = []
    while leader.deadline < 2 * LONGEST_S:
        now = leader.deadline
        effects += beat(leader) + behind(now)
    assert told(effects) == []
    assert set(told(lead_on(leader, 2 * LONGEST_S + 0.3, "n2", "n3"))) == {"n3"}


def test_after_a_failure_it_leads_on_for_long() -> None:
    leader = ready(configuration(n3=2))
    assert told(lead_on(leader, 2 * LONGEST_S, "n2", "n3"))
    lead_on(leader, 3 * LONGEST_S, "n2", "n3")
    assert leader.transfer is None  # n3 never stood
    assert told(lead_on(leader, 30 * LONGEST_S, "n2", "n3")) == []
    assert told(lead_on(leader, 34 * LONGEST_S, "n2", "n3"))


def test_without_the_gate_a_priority_means_nothing() -> None:
    members = {name: Member(priority=int(name == "n3")) for name in ("n1", "n2", "n3")}
    leader = ready(Configuration({"n1", "n2", "n3"}, members=members))
    assert told(lead_on(leader, 3 * LONGEST_S, "n2", "n3")) == []


def test_a_learner_is_not_handed_anything() -> None:
    members = {name: Member(priority=int(name == "n4")) for name in ("n1", "n2", "n3", "n4")}
    leader = ready(Configuration({"n1", "n2", "n3"}, {"n4"}, members=members, features=USING))
    assert told(lead_on(leader, 3 * LONGEST_S, "n2", "n3", "n4")) == []


def test_priorities_are_a_change_of_one_step() -> None:
    before = configuration(n2=1)
    after = begin_change(before, priorities={"n3": 5})
    assert after is not None
    assert {one: member.priority for one, member in after.members.items()} == {"n1": 0, "n2": 1, "n3": 5}
    assert (after.goal, after.is_joint) == (None, False)
    assert begin_change(after, priorities={"n3": 5}) is None
    assert begin_change(after, members={"n3": Member("elsewhere:1")}).members["n3"].priority == 5  # type: ignore[union-attr]
    assert begin_change(after, priorities={"n3": 0}) == before
    with pytest.raises(ChangeRefused, match="'n9' would be neither voter nor learner"):
        begin_change(before, priorities={"n9": 1})
