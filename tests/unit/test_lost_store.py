"""What a leader's log shows of a node's store: that it lacks what could not be committed without the node."""

from __future__ import annotations

import pytest

from raft_actors.errors import StoreReplaced
from raft_actors.raft.effects import DoubtStore, Effect, Persist
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.inputs import SnapshotReceived, TimerFired
from raft_actors.raft.membership import Configuration, Member
from raft_actors.raft.membership_codec import encode_configuration
from raft_actors.raft.messages import AppendEntries
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.roles import Follower
from tests.unit.builders import became, make_follower, of, receive, stored

ALONE = Configuration({"n1"})


def learn(follower: Follower, configuration: Configuration, *, commit: int = 9, index: int = 1) -> list[Effect]:
    """Have n2 send a configuration, which is committed if its commit index says so."""
    entry = EntryBatch.encode(index, 1, EntryKind.CONFIGURATION, [encode_configuration(configuration)])
    return receive(follower, "n2", AppendEntries(2, index - 1, min(1, index - 1), commit, (entry,)))


@pytest.mark.parametrize("voters", [{"n1"}, {"n1", "n3"}])
def test_a_store_that_lacks_what_needed_its_node_is_not_the_one_that_it_was(voters: set[str]) -> None:
    follower = make_follower(term=2, incarnation="new")
    effects = learn(follower, Configuration(voters))
    assert [type(effect) for effect in effects[:2]] == [DoubtStore, Persist]
    [doubt] = of(DoubtStore, effects)
    assert (doubt.peer, doubt.index) == ("n2", 1)
    with pytest.raises(StoreReplaced, match=r"index 1 .* without the word of 'n1'.* add it again"):
        raise doubt.error
    state = follower.state
    assert (state.log.last_index, state.is_voter, state.may_be_needed) == (1, False, False)
    assert state.has_lost_promises
    assert became(follower.handle(TimerFired(), 99.0)) == []
    assert of(DoubtStore, learn(follower, Configuration(voters), index=2)) == []  # it knows that now


@pytest.mark.parametrize(
    ("configuration", "commit"),
    [
        (ALONE, 0),
        (Configuration({"n1", "n2", "n3"}), 9),
        (Configuration({"n2"}, learners={"n1"}), 9),
        (Configuration({"n1"}, outgoing={"n2", "n3"}), 9),
        (Configuration({"n1"}, members={"n1": Member(incarnation="lost")}), 9),
    ],
    ids=["not committed", "others decide", "a learner", "may have been taken back", "another store"],
)
def test_what_could_be_committed_without_it_shows_nothing(configuration: Configuration, commit: int) -> None:
    follower = make_follower(term=2, incarnation="new")
    assert of(DoubtStore, learn(follower, configuration, commit=commit)) == []
    assert follower.state.log.last_index == 1


def test_what_it_has_shows_nothing_when_it_comes_once_more() -> None:
    follower = make_follower([1], term=2, incarnation="new", stored_configurations=(stored(1, ALONE),))
    assert of(DoubtStore, learn(follower, ALONE)) == []
    assert follower.state.is_voter


def test_a_snapshot_shows_it_too() -> None:
    follower = make_follower(term=2, incarnation="new")
    item = SnapshotReceived(2, "n2", SnapshotMetadata(9, 1), 1, 1, stored(4, ALONE))
    effects = follower.handle(item, 0.0)
    assert [doubt.index for doubt in of(DoubtStore, effects)] == [4]
    assert isinstance(effects[0], DoubtStore)
    assert not follower.state.is_voter


def test_a_store_that_was_taken_in_and_lacks_it_is_lost_again() -> None:
    named = Configuration({"n2"}, learners={"n1"}, members={"n1": Member(incarnation="new")})
    held = (stored(1, Configuration({"n2"})), stored(2, named))
    follower = make_follower([1, 1], term=2, incarnation="new", must_be_named=True, stored_configurations=held)
    with pytest.raises(StoreReplaced, match="without the word of 'n1'"):
        learn(follower, Configuration({"n1"}, members={"n1": Member(incarnation="new")}), index=3)
