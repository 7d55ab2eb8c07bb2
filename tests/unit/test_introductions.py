"""What a leader writes of the members that they have said of themselves: which store each has, and where it is."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from raft_actors.raft.effects import Effect
from raft_actors.raft.features import FEATURES
from raft_actors.raft.inputs import ChangeRequested, PeerDisconnected, TimerFired
from raft_actors.raft.membership import Configuration, Member, Proven, begin_change, introduce
from raft_actors.raft.roles import Leader
from tests.unit.builders import make_durable, make_leader, stored
from tests.unit.test_leader_members import acks, appended, wish

STORES = {"n1": Proven("1111", "address 1"), "n2": Proven("2222", "address 2"), "n3": Proven("3333", "address 3")}


def leading(configuration: Configuration | None = None, proven: dict[str, Proven] | None = None, **more: Any) -> Leader:
    """A leader that has committed the entry of its term, and what the members have proven to it."""
    held = () if configuration is None else (stored(2, configuration),)
    leader = make_leader([1, 1], stored_configurations=held, incarnation="1111", **more)
    told = STORES if proven is None else proven
    leader.state.proven = lambda member_id: told.get(member_id, Proven())
    leader.state.features_of = lambda _peer: FEATURES
    acks(leader, *leader.state.peers)
    return leader


def beat(leader: Leader, *answering: str, until: float) -> list[Configuration]:
    """Let it beat until then, with these answering; return the configurations that it appends."""
    changed: list[Configuration] = []
    while leader.deadline <= until:
        now = leader.deadline
        effects: list[Effect] = acks(leader, *answering, now=now) + leader.handle(TimerFired(), now)
        changed += appended(effects)
        make_durable(leader, effects, now=now)
        acks(leader, *answering, now=now)
    return changed


def bound(*numbers: int, **addresses: str) -> Configuration:
    """Voters that are bound to their stores; where the leader is was written, too."""
    places = {"n1": "address 1", **addresses}
    members = {f"n{one}": Member(places.get(f"n{one}", ""), incarnation=4 * str(one)) for one in numbers}
    return Configuration(members, members=members)


# --- stores ---------------------------------------------------------------------------------------------------


def test_voters_that_a_cluster_began_with_are_bound_to_their_stores_by_one_entry() -> None:
    leader = leading()
    assert beat(leader, "n2", "n3", until=0.75) == []  # not before they have been there for an election timeout
    [changed] = beat(leader, "n2", "n3", until=60)
    assert {one: member.incarnation for one, member in changed.members.items()} == {
        "n1": "1111",
        "n2": "2222",
        "n3": "3333",
    }
    # The others are where the settings say; what those of the others say of this leader, it can't know.
    assert {one: member.address for one, member in changed.members.items()} == {"n1": "address 1", "n2": "", "n3": ""}
    assert changed.voters == {"n1", "n2", "n3"}
    assert changed.goal is None
    assert not leader.members.busy


def test_who_comes_later_is_bound_then() -> None:
    leader = leading()
    [first] = beat(leader, "n2", until=3)
    assert {one for one, member in first.members.items() if member.incarnation} == {"n1", "n2"}
    [second] = beat(leader, "n2", "n3", until=60)
    assert {one for one, member in second.members.items() if member.incarnation} == {"n1", "n2", "n3"}
    assert leader.state.configurations.latest.index > 4


def test_nobody_is_bound_anew_whatever_it_says() -> None:
    told = {**STORES, "n3": Proven("4444", "elsewhere")}
    leader = leading(bound(1, 2, 3), told)
    assert beat(leader, "n2", "n3", until=20) == []


def test_who_does_not_say_which_store_it_has_is_left_as_it_was() -> None:
    leader = leading(bound(1, 2, 3), {"n1": STORES["n1"], "n2": Proven("", "elsewhere")})
    assert beat(leader, "n2", "n3", until=20) == []


def test_a_change_keeps_the_stores_and_is_known_again() -> None:
    """Whoever asks for it names addresses alone; asked again, it is the same change."""
    leader = leading()
    beat(leader, "n2", "n3", until=2)
    told = {**{f"n{one}": Member(f"n{one}:1") for one in range(1, 5)}}
    for _ in range(2):
        effects = leader.handle(ChangeRequested(wish(told.keys(), members=told)), 2.0)
        make_durable(leader, effects, now=2.0)
    configuration = leader.state.configuration
    assert configuration.goal is not None
    assert [configuration.members[f"n{one}"].incarnation for one in range(1, 5)] == ["1111", "2222", "3333", ""]


def test_who_is_to_vote_holds_the_entry_that_binds_it_to_its_store_before() -> None:
    """Else a later store of its id, which learns the log from the beginning, would be that voter for a while; and this
    one, if it knows that it has lost another one, would give no vote before it learns of its own.
    """
    told = dict(STORES)
    leader = leading(proven=told)
    members = {f"n{one}": Member(f"n{one}:1") for one in range(1, 5)}
    effects = leader.handle(ChangeRequested(wish(members.keys(), members=members)), 0.0)
    make_durable(leader, effects)
    acks(leader, "n2", "n3")
    assert appended(acks(leader, "n4", now=0.1)) == []  # it answers, and has all: but nobody knows yet which store does
    told["n4"] = Proven("4444")
    [named] = appended(effects := acks(leader, "n4", now=0.1))
    assert (named.members["n4"].incarnation, named.is_joint) == ("4444", False)
    make_durable(leader, effects, now=0.1)
    assert appended(acks(leader, "n2", "n3", now=0.1)) == []  # committed, and it does not hold it
    [joint] = appended(effects := acks(leader, "n4", now=0.1))
    assert (joint.members["n4"].incarnation, joint.is_joint) == ("4444", True)


def test_a_learner_is_bound_to_its_store_by_the_first_entry_of_the_change() -> None:
    told = {**STORES, "n4": Proven("4444")}
    learning = attrs.evolve(bound(1, 2, 3), learners={"n4"})
    leader = leading(learning, told)
    acks(leader, "n4", now=0.1)
    [begun] = appended(effects := leader.handle(ChangeRequested(wish({"n1", "n2", "n3", "n4"})), 0.1))
    assert (begun.members["n4"].incarnation, "n4" in begun.learners) == ("4444", True)
    make_durable(leader, effects, now=0.1)
    acks(leader, "n2", "n3", now=0.1)
    [joint] = appended(acks(leader, "n4", now=0.1))
    assert joint.voters == {"n1", "n2", "n3", "n4"}


def test_stores_are_named_also_soon_after_another_change() -> None:
    """A cluster whose members come and go all the time would never do so else."""
    leader = leading()
    [first] = beat(leader, "n2", until=3)
    assert not first.members["n3"].incarnation
    [second] = beat(leader, "n2", "n3", until=5)
    assert second.members["n3"].incarnation == "3333"


# --- addresses ------------------------------------------------------------------------------------------------


def test_a_member_that_has_moved_is_written_where_it_was_reached() -> None:
    told = {**STORES, "n2": Proven("2222", "elsewhere")}
    leader = leading(bound(1, 2, 3), told)
    [changed] = beat(leader, "n2", "n3", until=20)
    assert changed == attrs.evolve(
        bound(1, 2, 3), members={**bound(1, 2, 3).members, "n2": Member("elsewhere", incarnation="2222")}
    )
    assert leader.state.address_of("n2") == "elsewhere"
    assert leader.state.address_of("n3") == "address 3"


def test_a_leader_that_has_moved_says_so_where_the_configuration_says_otherwise() -> None:
    leader = leading(bound(1, 2, 3, n1="old"), {"n1": Proven("1111", "new")})
    [changed] = beat(leader, "n2", "n3", until=20)
    assert changed.members["n1"].address == "new"


def test_a_leader_says_where_it_is_where_the_configuration_says_nothing() -> None:
    """The others' settings may have it elsewhere, and this leader can't know."""
    leader = leading(bound(1, 2, 3, n1=""))
    assert leader.state.address_of("n1") == "address 1"
    [changed] = beat(leader, "n2", "n3", until=20)
    assert changed.members["n1"].address == "address 1"


def test_who_moves_to_and_fro_does_not_fill_the_log() -> None:
    told = dict(STORES)
    leader = leading(bound(1, 2, 3), told)
    changed: list[Configuration] = []
    for second in range(1, 41):
        told["n2"] = Proven("2222", f"place {second % 2}")
        changed += beat(leader, "n2", "n3", until=float(second))
    assert 1 <= len(changed) <= 5  # ten of the longest election timeouts lie between


@pytest.mark.parametrize("how", ["silent", "disconnected"])
def test_nothing_is_written_of_who_does_not_answer(how: str) -> None:
    told = {**STORES, "n2": Proven("2222", "elsewhere")}
    leader = leading(bound(1, 2, 3), told)
    if how == "disconnected":
        leader.handle(PeerDisconnected("n2"), 0.0)
    assert beat(leader, "n3", until=20) == []


def test_nothing_is_written_beside_a_change() -> None:
    told = {**STORES, "n2": Proven("2222", "elsewhere")}
    leader = leading(bound(1, 2, 3), told)
    effects = leader.handle(ChangeRequested(wish({"n1", "n2", "n3", "n4"}, members={"n4": Member("n4:1")})), 0.0)
    make_durable(leader, effects)
    changed = beat(leader, "n2", "n3", until=7)  # n4 does not come up
    assert changed == []
    changed = beat(leader, "n2", "n3", until=30)  # now it stays a learner; and a while later the rest is written
    assert [one.members["n2"].address for one in changed] == ["", "elsewhere"]


def test_nothing_is_written_that_makes_a_configuration_too_large() -> None:
    members = {f"n{one}": Member("", {"key": "x" * 4_000}, incarnation=4 * str(one)) for one in range(1, 17)}
    told = {"n2": Proven("2222", "y" * 80)}
    full = Configuration({"n1", "n2", "n3"}, members.keys() - {"n1", "n2", "n3"}, members=members)
    leader = leading(full, told)
    assert beat(leader, *leader.state.peers, until=5) != []
    more = {f"n{one}": Member("", {"key": "x" * 1_300}, incarnation=str(one)) for one in (17,)}
    leader = leading(attrs.evolve(full, learners=full.learners | more.keys(), members={**members, **more}), told)
    assert beat(leader, *leader.state.peers, until=5) == []


# --- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "proven", "then"),
    [
        (Member(), Proven("2222"), Member(incarnation="2222")),
        (Member("here"), Proven("2222", "there"), Member("there", incarnation="2222")),
        (Member("here", {"zone": "b"}, "2222", 3), Proven("2222", "there"), Member("there", {"zone": "b"}, "2222", 3)),
        (Member("here", incarnation="1111"), Proven("2222", "there"), None),
        (Member("here"), Proven("", "there"), None),
        (Member("here", incarnation="2222"), Proven("2222"), None),
    ],
)
def test_what_a_member_has_proven_of_itself(known: Member, proven: Proven, then: Member | None) -> None:
    current = Configuration({"n1", "n2"}, members={"n2": known})
    changed = introduce(current, {"n2": proven})
    assert (None if changed is None else changed.members["n2"]) == then


def test_an_address_changes_by_call_and_nothing_else_does() -> None:
    current = Configuration({"n1", "n2"}, members={"n2": Member("here", {"zone": "b"}, "2222", 3)})
    changed = begin_change(current, addresses={"n2": "there"})
    assert changed is not None
    assert changed.members["n2"] == Member("there", {"zone": "b"}, "2222", 3)
    assert begin_change(changed, addresses={"n2": "there"}) is None
