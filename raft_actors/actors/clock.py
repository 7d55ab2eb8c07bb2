"""A node's clock: what tells it the time and wakes it.

Production nodes use Trio's own. A simulation gives each node one that runs at its own rate, jumps, or stands still.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import trio
from typing_extensions import override

from raft_actors.records import frozen

#: The clocks that go on in suspend: Linux's, and macOS's by a name that stands for another one elsewhere.
_CLOCK_ID: int | None = getattr(time, "CLOCK_BOOTTIME", None)
if _CLOCK_ID is None and sys.platform == "darwin":
    _CLOCK_ID = time.CLOCK_MONOTONIC


def suspend_aware_time() -> float:
    """Seconds on a clock that never runs backwards and goes on in suspend, where the system has one.

    Trio's own, CLOCK_MONOTONIC on Linux, stands still meanwhile: a machine that wakes up would take what it knew before
    for news.
    """
    return time.monotonic() if _CLOCK_ID is None else time.clock_gettime(_CLOCK_ID)


class Alarm(ABC):
    """Wakes one task when it is time, and can be moved meanwhile."""

    @abstractmethod
    async def wait(self, deadline: float) -> None:
        """Wait until it is this time, or the one that it was last moved to, or later."""

    @abstractmethod
    def move(self, deadline: float) -> None:
        """Have the task that waits, if one does, wait until then instead. For much less than a wake-up costs."""


class TrioAlarm(Alarm):
    """An alarm on Trio's clock.

    It wakes its task without an exception: raising and catching one would cost more than all the rest.
    """

    def __init__(self) -> None:
        self._scope = trio.CancelScope()

    @override
    async def wait(self, deadline: float) -> None:
        task = trio.lowlevel.current_task()
        with trio.CancelScope(deadline=deadline) as scope:
            self._scope = scope

            def abort(_raise_cancel: Any) -> trio.lowlevel.Abort:
                if trio.current_time() < scope.deadline:
                    return trio.lowlevel.Abort.SUCCEEDED  # the task is cancelled
                trio.lowlevel.reschedule(task)
                return trio.lowlevel.Abort.FAILED

            await trio.lowlevel.wait_task_rescheduled(abort)

    @override
    def move(self, deadline: float) -> None:
        self._scope.deadline = deadline


@frozen
class NodeClock:
    """The time as one node knows it, in seconds. Only differences count; it never runs backwards.

    Attributes:
        now: tells the time that timers go by.
        alarm: makes an alarm that goes by it.
        boottime: tells a time that goes on while the machine is suspended, for what elapsed time decides between nodes.
            It may begin elsewhere than `now` does.
    """

    now: Callable[[], float] = trio.current_time
    alarm: Callable[[], Alarm] = TrioAlarm
    boottime: Callable[[], float] = suspend_aware_time
