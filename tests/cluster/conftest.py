"""Every test here runs in simulated time, which passes when nothing else is left to do."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock


def run_simulated(function: Callable[..., Any], *, clock: object, instruments: Any) -> Any:
    return trio.run(function, clock=MockClock(autojump_threshold=0), instruments=instruments)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # In front of the mark that pytest-trio has added, because the first one names the runner.
    for item in items:
        if Path(__file__).parent in item.path.parents and iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=run_simulated), append=False)
