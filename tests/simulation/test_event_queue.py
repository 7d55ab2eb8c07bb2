"""What is going to happen in a simulation."""

from __future__ import annotations

import pytest
import trio
import trio.abc
from trio.testing import MockClock

from raft_actors.testing.event_queue import EventQueue, SimulationClock
from raft_actors.testing.failure import CheckFailed


@pytest.mark.parametrize("clock", [SimulationClock(), MockClock(autojump_threshold=0)], ids=["its own", "Trio's"])
def test_events_that_make_each_other_for_ever_at_one_moment_are_told(
    clock: trio.abc.Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a simulation would never end, and say nothing."""
    monkeypatch.setattr("raft_actors.testing.event_queue._MOST_AT_ONCE", 1000)
    queue = EventQueue()

    def again(_argument: object) -> None:
        queue.at(1.5, None, again, None)

    async def until_told() -> None:
        for moment in range(2000):
            queue.at(moment / 2000, None, lambda _argument: None, None)
        queue.at(1.5, None, again, None)
        await queue.run()

    with pytest.raises(CheckFailed, match=r"time stands still at 1\.5\d* s, where 1,001 events"):
        trio.run(until_told, clock=clock)
