"""A clock of a node's own, which runs fast or slow, jumps forward, or stands still."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import trio
from typing_extensions import override

from raft_actors.actors.clock import Alarm, NodeClock
from raft_actors.errors import ConfigurationError
from raft_actors.testing.event_queue import EventQueue, Gate


class SimulatedClock:
    """One node's clock. It never runs backwards, as no monotonic clock does.

    Attributes:
        node_clock: for the node itself.
        rate: seconds that pass on it for each second of the simulation.
        boottime_rate: the same for the clock that goes on in suspend. It is another one: it neither jumps nor stands
            still. To be set before the node starts.
    """

    def __init__(self, event_queue: EventQueue, gate: Gate, told: Callable[..., None]) -> None:
        self.node_clock: NodeClock = NodeClock(self.now, lambda: SimulatedAlarm(self), self.boottime)
        self.rate: float = 1.0
        self.boottime_rate: float = 1.0
        self._event_queue = event_queue
        self._gate = gate
        self._told = told  # of faults: kind, text, and more fields of the trace
        self._since = trio.current_time()
        self._shown = self._since
        self._waited_for: dict[SimulatedAlarm, None] = {}

    def now(self) -> float:
        """What it shows."""
        if self.rate == 1.0 and self._since == self._shown:
            return trio.current_time()  # exactly: rounding must not add up
        return self._shown + (trio.current_time() - self._since) * self.rate

    def boottime(self) -> float:
        """What the clock shows that goes on in suspend."""
        return trio.current_time() * self.boottime_rate

    def set_rate(self, rate: float) -> None:
        """Let it run at another rate from now on; 0: it stands still.

        Raises:
            ConfigurationError: it would run backwards.
        """
        if not 0 <= rate < math.inf:
            raise ConfigurationError(f"a clock's rate is a number from 0 on, not {rate}")
        self._shown, self._since = self.now(), trio.current_time()
        if rate != self.rate:
            self._told("fault", f"runs at {rate:.3f} of the right rate", lasts=False)
        self.rate = rate
        self._set_alarms()

    def jump(self, seconds: float) -> None:
        """Let it jump forward.

        Raises:
            ConfigurationError: it would jump back.
        """
        if not 0 <= seconds < math.inf:
            raise ConfigurationError(f"a clock jumps forward by some seconds, not by {seconds}")
        self._told("fault", f"jumps by {seconds:.3f} s", lasts=False)
        self._shown, self._since = self.now() + seconds, trio.current_time()
        self._set_alarms()

    def set(self, alarm: SimulatedAlarm) -> None:
        """Have an alarm ring at its deadline (for the alarm). What it was set to before is void."""
        self._waited_for[alarm] = None
        alarm.setting += 1
        if self.rate:
            due = self._since + (alarm.deadline - self._shown) / self.rate
            self._event_queue.at(due, self._gate, self._ring, (alarm, alarm.setting))

    def forget(self, alarm: SimulatedAlarm) -> None:
        """Nobody waits for it any more (for the alarm)."""
        self._waited_for.pop(alarm, None)

    def _set_alarms(self) -> None:
        for alarm in self._waited_for:
            self.set(alarm)

    def _ring(self, setting: tuple[SimulatedAlarm, int]) -> None:
        alarm, number = setting
        if alarm not in self._waited_for or number != alarm.setting:
            return
        late = alarm.deadline - self.now()
        if late > 0:  # by rounding: whoever sleeps must never see an earlier time than it asked for
            soon = trio.current_time() + max(late / self.rate, 1e-9) if self.rate else math.inf
            self._event_queue.at(soon, self._gate, self._ring, setting)
            return
        self.forget(alarm)
        alarm.ring()


class SimulatedAlarm(Alarm):
    """An alarm that goes by a simulated clock.

    Attributes:
        deadline: when it rings.
        setting: counts how often it was set.
    """

    def __init__(self, clock: SimulatedClock) -> None:
        self.deadline: float = math.inf
        self.setting = 0
        self._clock = clock
        self._task: trio.lowlevel.Task | None = None

    @override
    async def wait(self, deadline: float) -> None:
        if deadline <= self._clock.now():
            await trio.lowlevel.checkpoint()
            return
        self._task = trio.lowlevel.current_task()
        self.deadline = deadline
        self._clock.set(self)
        await trio.lowlevel.wait_task_rescheduled(self._abandon)

    @override
    def move(self, deadline: float) -> None:
        if self._task is not None:
            self.deadline = deadline
            self._clock.set(self)

    def ring(self) -> None:
        """Wake who waits (for the clock)."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _abandon(self, _raise_cancel: Any) -> trio.lowlevel.Abort:
        self._task = None
        self._clock.forget(self)
        return trio.lowlevel.Abort.SUCCEEDED
