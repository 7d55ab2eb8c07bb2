"""What a leader decides where its lease has run out under those who hold it."""

from __future__ import annotations

from raft_actors.config import Leases
from raft_actors.raft.effects import EndScopes
from raft_actors.raft.inputs import TimerFired
from raft_actors.raft.roles import Leader
from tests.unit.builders import make_leader, of


def leased(*, held: int) -> Leader:
    """A leader with a lease of a second, which began at time 0."""
    leader = make_leader([1])
    leader.lease.settings = Leases(1.0)
    leader.lease.confirmed = leader.lease.now()
    leader.lease.held = held
    return leader


def ended(leader: Leader) -> list[EndScopes]:
    return of(EndScopes, leader.handle(TimerFired(), leader.deadline))


def test_a_beat_ends_what_goes_on_by_a_lease_that_ran_out_in_suspend() -> None:
    leader = leased(held=1)
    assert ended(leader) == []
    leader.state.boottime = lambda: 2.0  # the clock that alarms go by stands still
    assert len(ended(leader)) == 1


def test_a_beat_ends_nothing_where_nothing_goes_on() -> None:
    leader = leased(held=0)
    leader.state.boottime = lambda: 2.0
    assert ended(leader) == []


def test_a_beat_ends_nothing_where_there_are_no_leases() -> None:
    leader = leased(held=1)
    leader.lease.settings = None
    assert ended(leader) == []
