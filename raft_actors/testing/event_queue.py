"""What is going to happen in a simulation, in order of time: messages that arrive, writes that end, timers that ring.

One task carries all of it out, so a message costs no task, no timer and no cancel scope of its own; under a
`SimulationClock` the clock itself does, which is faster still. Whatever concerns a
node passes its gate; while that is shut (the node is paused), it waits there, and happens in order once it opens.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import attrs
import trio

from raft_actors.errors import ConfigurationError
from raft_actors.testing.failure import CheckFailed

_Item = tuple[float, int, "Gate | None", Callable[[Any], None], Any]
"""When, a serial number, whose gate, what, with what. The number keeps the heap from looking further."""

#: Events at one moment, beyond which they must be making each other for ever.
_MOST_AT_ONCE = 500_000


@attrs.define(eq=False)
class Gate:
    """What keeps a node's events from it while it is paused.

    Attributes:
        shut: how many reasons there are to keep it shut; 0: it is open.
        held: what has come to a shut gate, in order.
    """

    shut: int = 0
    held: list[tuple[Callable[[Any], None], Any]] = attrs.field(factory=list[tuple[Callable[[Any], None], Any]])


class EventQueue:
    """Events to come, on Trio's clock. Run it in a nursery; see the module's text."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._count = 0
        self._scope: trio.CancelScope | None = None
        self._moment = -math.inf
        self._at_once = 0
        self._stands_still = trio.Event()

    def at(self, time: float, gate: Gate | None, action: Callable[[Any], None], argument: Any) -> None:
        """Call `action(argument)` at that time (if it has passed: soon), through a node's gate or freely.

        The action runs in the queue's task. It must neither raise nor assume that what it is for still exists.
        """
        self._count += 1
        heapq.heappush(self._items, (time, self._count, gate, action, argument))
        scope = self._scope
        if scope is not None and time < scope.deadline:
            scope.deadline = time

    def open(self, gate: Gate) -> None:
        """Take away one reason to keep a gate shut. With the last, what it held back happens now, in order."""
        gate.shut = max(0, gate.shut - 1)
        if gate.shut:
            return
        held, gate.held = gate.held, []
        now = trio.current_time()
        for action, argument in held:
            self.at(now, gate, action, argument)

    async def run(self) -> None:
        """Carry out what is due, for ever.

        Raises:
            CheckFailed: time stands still, because what is due makes more that is due at the same moment, without end.
        """
        clock = trio.lowlevel.current_clock()
        if isinstance(clock, SimulationClock):
            with clock.driven_by(self):
                await self._stands_still.wait()
        while not self._stands_still.is_set():
            await self._wait(self.carry_out(trio.current_time()))
        text = f"liveness: time stands still at {self._moment:.6f} s, where {self._at_once:,} events follow each other"
        raise CheckFailed(text, "liveness")

    def next_at(self) -> float:
        """When something happens next."""
        return self._items[0][0] if self._items else math.inf

    def carry_out(self, now: float) -> float:
        """Carry out what is due by now, and what that makes due; return when the next is."""
        items, pop = self._items, heapq.heappop
        if now > self._moment:
            self._moment, self._at_once = now, 0
        while items and items[0][0] <= now:
            _, _, gate, action, argument = pop(items)
            self._at_once += 1
            if self._at_once > _MOST_AT_ONCE:
                self._stands_still.set()
                return now
            if gate is None or not gate.shut:
                action(argument)
            else:
                gate.held.append((action, argument))
        return items[0][0] if items else math.inf

    async def _wait(self, until: float) -> None:
        """Wait until the scope's deadline, which an earlier event may move.

        A deadline that passes wakes the task without an exception: raising and catching one would cost more than all
        the rest.
        """
        task = trio.lowlevel.current_task()
        with trio.CancelScope(deadline=until) as self._scope:
            scope = self._scope

            def abort(_raise_cancel: Any) -> trio.lowlevel.Abort:
                if trio.current_time() < scope.deadline:
                    return trio.lowlevel.Abort.SUCCEEDED  # the simulation ends
                trio.lowlevel.reschedule(task)
                return trio.lowlevel.Abort.FAILED

            await trio.lowlevel.wait_task_rescheduled(abort)
        self._scope = None


class SimulationClock(trio.abc.Clock):
    """A clock for programs that do nothing but simulate: `trio.run(…, clock=SimulationClock())`.

    Like `trio.testing.MockClock(autojump_threshold=0)`, time passes when nothing else is left to do. But when Trio asks
    how long it may sleep, this one does what is due next then and there, instead of waking a task to do it. It does not
    go with other simulations in one program, with threads, or with input and output.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._event_queue: EventQueue | None = None

    def start_clock(self) -> None:
        """Nothing needs to be started."""

    def current_time(self) -> float:
        """The simulated time."""
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Called when no task can run: let time pass until something happens."""
        if deadline <= self._now:
            return 0.0
        next_at = self._event_queue.next_at() if self._event_queue is not None else math.inf
        if next_at <= deadline and self._event_queue is not None and next_at < math.inf:
            self._now = max(self._now, next_at)
            self._event_queue.carry_out(self._now)
        elif deadline < math.inf:
            self._now = deadline
        else:
            return math.inf
        return 0.0

    @contextmanager
    def driven_by(self, event_queue: EventQueue) -> Generator[None, None, None]:
        """Carry out this queue for the length of the block."""
        if self._event_queue is not None:
            raise ConfigurationError("one SimulationClock drives one simulation at a time")
        self._event_queue = event_queue
        try:
            yield
        finally:
            self._event_queue = None


def is_simulated(clock: trio.abc.Clock) -> bool:
    """Whether what goes by a clock repeats itself."""
    if isinstance(clock, SimulationClock):
        return True
    # Not at the top: it imports pytest, where there is one, and every process of a sweep would wait for that.
    from trio.testing import MockClock  # noqa: PLC0415

    return isinstance(clock, MockClock)
