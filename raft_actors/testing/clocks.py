"""A clock of a node's own, which runs fast or slow, jumps forward, or stands still."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import trio

from raft_actors.clock import NodeClock
from raft_actors.errors import ConfigurationError
from raft_actors.testing.agenda import Agenda, Gate


@attrs.define(eq=False)
class _Sleeper:
    deadline: float
    task: trio.lowlevel.Task
    alarm: int = 0
    """Counts how often it was set anew; an alarm of an earlier setting is void."""


class SimulatedClock:
    """One node's clock. It never runs backwards, as no monotonic clock does.

    Attributes:
        node_clock: for the node itself.
        rate: seconds that pass on it for each second of the simulation.
    """

    def __init__(self, agenda: Agenda, gate: Gate, told: Callable[..., None]) -> None:
        self.node_clock = NodeClock(self.now, self.sleep_until)
        self.rate = 1.0
        self._agenda = agenda
        self._gate = gate
        self._told = told  # of faults: kind, text, and more fields of the trace
        self._since = trio.current_time()
        self._shown = self._since
        self._sleepers: dict[_Sleeper, None] = {}

    def now(self) -> float:
        """What it shows."""
        if self.rate == 1.0 and self._since == self._shown:
            return trio.current_time()  # exactly: rounding must not add up
        return self._shown + (trio.current_time() - self._since) * self.rate

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

    async def sleep_until(self, deadline: float) -> None:
        """Wait until it shows this time or later."""
        if deadline <= self.now():
            await trio.lowlevel.checkpoint()
            return
        sleeper = _Sleeper(deadline, trio.lowlevel.current_task())

        def abort(_raise_cancel: Any) -> trio.lowlevel.Abort:
            del self._sleepers[sleeper]
            return trio.lowlevel.Abort.SUCCEEDED

        self._sleepers[sleeper] = None
        self._set_alarm(sleeper)
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _set_alarms(self) -> None:
        for sleeper in self._sleepers:
            self._set_alarm(sleeper)

    def _set_alarm(self, sleeper: _Sleeper) -> None:
        sleeper.alarm += 1
        if self.rate:
            due = self._since + (sleeper.deadline - self._shown) / self.rate
            self._agenda.at(due, self._gate, self._ring, (sleeper, sleeper.alarm))

    def _ring(self, alarm: tuple[_Sleeper, int]) -> None:
        sleeper, number = alarm
        if sleeper not in self._sleepers or number != sleeper.alarm:
            return
        late = sleeper.deadline - self.now()
        if late > 0:  # by rounding: whoever sleeps must never see an earlier time than it asked for
            soon = trio.current_time() + max(late / self.rate, 1e-9) if self.rate else math.inf
            self._agenda.at(soon, self._gate, self._ring, alarm)
            return
        del self._sleepers[sleeper]
        trio.lowlevel.reschedule(sleeper.task)
