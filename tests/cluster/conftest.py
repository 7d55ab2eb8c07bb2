"""Every test here runs in simulated time, which passes when nothing else is left to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from raft_actors.testing.event_queue import SimulationClock

#: In the clusters' time. Idle nodes beat for ever, so nothing else would end a test that waits for what never comes.
LIMIT_S = 600


def run_simulated(function: Callable[[], Awaitable[Any]], *, clock: object, instruments: Any) -> Any:
    async def limited() -> Any:
        with trio.fail_after(LIMIT_S):
            return await function()

    # A third less CPU than under MockClock, by which simulations of users go, and so tests of those. A test that waits
    # until all tasks are blocked asks for `autojump_clock`: time must not pass meanwhile.
    chosen = clock if isinstance(clock, MockClock) else SimulationClock()
    return trio.run(limited, clock=chosen, instruments=instruments)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # In front of the mark that pytest-trio has added, because the first one names the runner.
    for item in items:
        if Path(__file__).parent in item.path.parents and iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=run_simulated), append=False)
