"""Every test here runs in simulated time, which passes when nothing else is left to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

#: In the clusters' time. Idle nodes beat for ever, so nothing else would end a test that waits for what never comes.
LIMIT_S = 600


def run_simulated(function: Callable[[], Awaitable[Any]], *, clock: object, instruments: Any) -> Any:
    async def limited() -> Any:
        with trio.fail_after(LIMIT_S):
            return await function()

    return trio.run(limited, clock=MockClock(autojump_threshold=0), instruments=instruments)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # In front of the mark that pytest-trio has added, because the first one names the runner.
    for item in items:
        if Path(__file__).parent in item.path.parents and iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=run_simulated), append=False)
