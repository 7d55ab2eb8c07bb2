"""A subscriber's channel: what is merged, what is never lost, and how it ends. See tests/actors for waiting."""

from __future__ import annotations

import pytest
import trio

from raft_actors.errors import SubscriberTooSlow
from raft_actors.node.events import CommitAdvanced, Event, EventChannel, LeaderChanged, RoleChanged
from raft_actors.raft.transitions import RoleName

ROLE = RoleChanged(1, RoleName.FOLLOWER)
LEADER = LeaderChanged(1, "n2")


def channel(*events: Event, capacity: int = 10) -> EventChannel:
    made = EventChannel(capacity)
    for event in events:
        made.put(event)
    return made


def all_of(events: EventChannel) -> list[Event]:
    got: list[Event] = []
    while True:
        try:
            got.append(events.receive_nowait())
        except trio.WouldBlock:
            return got


def test_events_come_in_order() -> None:
    assert all_of(channel(ROLE, LEADER, ROLE)) == [ROLE, LEADER, ROLE]


def test_commits_that_follow_each_other_come_as_the_last() -> None:
    assert all_of(channel(*map(CommitAdvanced, range(100)), capacity=1)) == [CommitAdvanced(99)]


def test_commits_are_not_merged_across_another_event() -> None:
    events = channel(CommitAdvanced(1), ROLE, CommitAdvanced(2), CommitAdvanced(3))
    assert all_of(events) == [CommitAdvanced(1), ROLE, CommitAdvanced(3)]


def test_what_was_fetched_is_not_merged_any_more() -> None:
    events = channel(CommitAdvanced(1))
    assert events.receive_nowait() == CommitAdvanced(1)
    events.put(CommitAdvanced(2))
    assert all_of(events) == [CommitAdvanced(2)]


def test_a_subscriber_that_falls_behind_gets_what_fitted_and_then_the_error() -> None:
    events = channel(ROLE, LEADER, ROLE, LEADER, capacity=2)
    assert [events.receive_nowait(), events.receive_nowait()] == [ROLE, LEADER]
    events.put(ROLE)
    for _ in range(2):
        with pytest.raises(SubscriberTooSlow, match=r"2 events waited .* ask for more capacity"):
            events.receive_nowait()


def test_commits_do_not_overflow_a_full_channel_that_ends_with_one() -> None:
    events = channel(ROLE, CommitAdvanced(1), CommitAdvanced(2), capacity=2)
    assert all_of(events) == [ROLE, CommitAdvanced(2)]


def test_a_closed_channel_gives_what_it_has_and_ends() -> None:
    events = channel(ROLE)
    events.close()
    assert events.receive_nowait() == ROLE
    with pytest.raises(trio.EndOfChannel):
        events.receive_nowait()
