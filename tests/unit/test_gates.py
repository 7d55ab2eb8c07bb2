"""Which features a cluster uses: what may come into the log when, and who may take part."""

from __future__ import annotations

from itertools import permutations

import pytest

from raft_actors.errors import ChangeRefused, FeatureMissing
from raft_actors.node.acquaintances import Acquaintances
from raft_actors.raft.configurations import Configurations
from raft_actors.raft.effects import Effect
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.features import FEATURES, PRIORITY
from raft_actors.raft.inputs import PeerDisconnected, TimerFired
from raft_actors.raft.membership import (
    Configuration,
    Member,
    begin_change,
    cancel_change,
    next_configuration,
    settle_change,
    turn_on,
)
from raft_actors.raft.membership_codec import decode_configuration, encode_configuration
from raft_actors.raft.messages import AppendEntries
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.roles import Leader
from raft_actors.transports.greeting import Greeting, Refusal
from tests.unit.builders import make_follower, make_leader, make_state, receive, refused, stored
from tests.unit.test_leader_members import acks, appended, ask, at_once, ready, wish

COLOUR = frozenset({"colour"})
COLOURED = Configuration({"n1", "n2", "n3"}, features=COLOUR)
NEW = FEATURES | COLOUR


def leader_of(can: dict[str, frozenset[str]], configuration: Configuration | None = None) -> Leader:
    """A leader of a version with a feature more, whose peers can this."""
    return ready(configuration, features=NEW, turned_on=COLOUR, features_of=lambda peer: can.get(peer, NEW))


def beat(leader: Leader, now: float) -> list[Effect]:
    return leader.handle(TimerFired(), now)


# --- as a part of the configuration ---------------------------------------------------------------------------------


def test_what_is_on_stays_on_through_every_change() -> None:
    sets = [{"n1"}, {"n1", "n2"}, {"n2", "n3", "n4"}]
    members = {name: Member(f"{name}:1") for name in ("n1", "n2", "n3", "n4")}
    for before, after in permutations(sets, 2):
        current = Configuration(before, members={name: members[name] for name in before}, features=COLOUR)
        step = begin_change(current, voters=after, members={name: members[name] for name in after})
        while step is not None:
            assert step.features == COLOUR
            assert {way.features for way in (cancel_change(step), settle_change(step)) if way} <= {COLOUR}
            current, step = step, next_configuration(step, caught_up=after)
        assert current.voters == after
        assert current.features == COLOUR


def test_it_is_in_the_bytes_and_costs_none_where_nothing_is_on() -> None:
    assert decode_configuration(encode_configuration(COLOURED)) == COLOURED
    assert b"features" not in encode_configuration(Configuration({"n1"}))
    assert b"priority" not in encode_configuration(Configuration({"n1"}))


def test_nothing_is_turned_on_twice() -> None:
    assert turn_on(COLOURED, COLOUR) is None
    assert turn_on(Configuration({"n1"}), frozenset()) is None


# --- the leader -------------------------------------------------------------------------------------------------------


def test_a_leader_turns_on_what_all_can_once_all_have_answered_it() -> None:
    leader = leader_of({})
    assert appended(beat(leader, 0.1)) == []  # nobody was heard of since it leads
    assert appended(acks(leader, "n2", now=0.11)) == []
    effects = acks(leader, "n3", now=0.12)
    assert [one.features for one in appended(effects)] == [COLOUR]
    at_once(leader, effects, "n2", "n3", now=0.13)
    assert not leader.members.busy  # and from then on it costs nothing
    assert appended(beat(leader, 0.2)) == []


@pytest.mark.parametrize("lagging", ["n2", "n4"])
def test_neither_a_voter_nor_a_learner_of_an_older_version_is_left_out(lagging: str) -> None:
    can = {lagging: FEATURES}
    configuration = Configuration({"n1", "n2", "n3"}, {"n4"}, members={"n4": Member("n4:1")})
    leader = leader_of(can, configuration=configuration)
    assert appended(acks(leader, "n2", "n3", "n4", now=0.1)) == []
    can[lagging] = NEW  # upgraded
    assert [one.features for one in appended(beat(leader, 0.2))] == [COLOUR]


def test_who_is_away_may_come_back_as_anything() -> None:
    can = {"n2": FEATURES}
    leader = leader_of(can)
    acks(leader, "n2", "n3", now=0.1)
    leader.handle(PeerDisconnected("n3"), 0.11)
    can.clear()
    assert appended(beat(leader, 0.2)) == []
    longest_s = leader.state.config.election_timeout_s[1]
    leader.contact.disconnected.clear()
    assert appended(acks(leader, "n2", now=0.2 + longest_s)) == []  # n3 is silent
    assert [one.features for one in appended(acks(leader, "n3", now=0.3 + longest_s))] == [COLOUR]


def test_who_takes_leave_still_gets_the_log() -> None:
    can = {"n4": FEATURES}
    configuration = Configuration({"n1", "n2", "n3"}, {"n4"}, members={"n4": Member("n4:1")})
    leader = leader_of(can, configuration=configuration)
    removed = at_once(leader, ask(leader, wish({"n1", "n2", "n3"}), 0.1), "n2", "n3", now=0.1)
    request = wish({"n1", "n2", "n3"})
    request.learners = frozenset()
    removed += at_once(leader, ask(leader, request, 0.1), "n2", "n3", now=0.1)
    assert "n4" in leader.members.farewells
    assert not any(one.features for one in appended(removed))
    assert appended(acks(leader, "n2", "n3", now=0.2)) == []


def test_not_before_an_entry_of_its_own_term_is_committed() -> None:
    leader = make_leader([1, 1], features=NEW, turned_on=COLOUR, features_of=lambda _: NEW)
    assert appended(acks(leader, "n2", "n3", now=0.1, index=2) + beat(leader, 0.2)) == []


def test_a_change_turns_on_what_it_needs_or_is_refused() -> None:
    can = {"n3": FEATURES - {PRIORITY}}
    leader = ready(features_of=lambda peer: can.get(peer, FEATURES))
    request = wish(members={"n1": Member(priority=1)})
    ((_, error),) = refused(ask(leader, request, 0.1))
    assert isinstance(error, ChangeRefused)
    assert "'n2' is not: see that it runs" in str(error)
    acks(leader, "n2", "n3", now=0.1)
    ((_, error),) = refused(ask(leader, request, 0.1))
    assert "'n3' runs a version of raft_actors that can't do it: upgrade it" in str(error)
    can.clear()
    (changed,) = appended(ask(leader, request, 0.1))
    assert changed.features == {PRIORITY}
    assert changed.members["n1"].priority == 1


def test_a_newcomer_that_never_answered_is_not_taken_at_its_word() -> None:
    leader = ready(features_of=lambda _: FEATURES)
    acks(leader, "n2", "n3", now=0.1)
    request = wish({"n1", "n2", "n3", "n4"}, members={"n4": Member("n4:1", priority=1)})
    ((_, error),) = refused(ask(leader, request, 0.1))
    assert "'n4' is not: see that it runs" in str(error)


# --- who lacks it -----------------------------------------------------------------------------------------------


def test_a_node_that_lacks_it_does_not_start() -> None:
    with pytest.raises(FeatureMissing, match="what this version of raft_actors can't do: colour"):
        make_state([1, 1], stored_configurations=(stored(2, COLOURED),))
    assert make_state([1, 1], stored_configurations=(stored(2, COLOURED),), features=NEW).configuration == COLOURED


def test_a_follower_that_lacks_it_neither_takes_the_entry_nor_the_snapshot() -> None:
    follower = make_follower([1, 1], leader="n2")
    coloured = EntryBatch.encode(3, 1, EntryKind.CONFIGURATION, [encode_configuration(COLOURED)])
    with pytest.raises(FeatureMissing):
        receive(follower, "n2", AppendEntries(follower.state.term, 2, 1, 0, (coloured,)))
    with pytest.raises(FeatureMissing):
        make_state([1, 1]).reset(SnapshotMetadata(5, 1), stored(4, COLOURED))


def test_a_peer_that_lacks_it_is_refused_by_name() -> None:
    acquaintances = Acquaintances("n1", fail=lambda _: None)
    acquaintances.recovered(make_state([1, 1], stored_configurations=(stored(2, COLOURED),), features=NEW))
    refusal = acquaintances.admit(Greeting("n2", features=FEATURES))
    assert refusal == Refusal("LACKS_FEATURE", "node 'n2' can't do what this cluster does: colour")
    assert acquaintances.admit(Greeting("n2", features=NEW)) is None


def test_who_is_refused_for_it_ends_and_says_why() -> None:
    ends: list[Exception] = []
    acquaintances = Acquaintances("n2", fail=ends.append)
    acquaintances.refused("n1", Refusal("LACKS_FEATURE", "node 'n2' can't do what this cluster does: colour"))
    (error,) = ends
    assert isinstance(error, FeatureMissing)
    assert "can't do what this cluster does: colour. Upgrade raft_actors here" in str(error)


def test_what_is_truncated_is_off_again() -> None:
    configurations = Configurations(Configuration({"n1"}), (stored(3, Configuration({"n1"}, features=COLOUR)),))
    configurations.truncate(3)
    assert configurations.latest.configuration.features == frozenset()
