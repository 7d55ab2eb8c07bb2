"""What is going to happen in a simulation, in order of time: messages that arrive, writes that end, timers that ring.

One task carries all of it out, so a message costs no task, no timer and no cancel scope of its own. Whatever concerns a
node passes its gate; while that is shut (the node is paused), it waits there, and happens in order once it opens.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import attrs
import trio

_Item = tuple[float, int, "Gate | None", Callable[[Any], None], Any]
"""When, a serial number, whose gate, what, with what. The number keeps the heap from looking further."""


@attrs.define(eq=False)
class Gate:
    """What keeps a node's events from it while it is paused.

    Attributes:
        shut: how many reasons there are to keep it shut; 0: it is open.
        held: what has come to a shut gate, in order.
    """

    shut: int = 0
    held: list[tuple[Callable[[Any], None], Any]] = attrs.field(factory=list[tuple[Callable[[Any], None], Any]])


class Agenda:
    """Events to come, on Trio's clock. Run it in a nursery; see the module's text."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._count = 0
        self._scope: trio.CancelScope | None = None

    def at(self, time: float, gate: Gate | None, action: Callable[[Any], None], argument: Any) -> None:
        """Call `action(argument)` at that time (if it has passed: soon), through a node's gate or freely.

        The action runs in the agenda's task. It must neither raise nor assume that what it is for still exists.
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
        """Carry out what is due, for ever."""
        items = self._items
        pop = heapq.heappop
        while True:
            now = trio.current_time()
            while items and items[0][0] <= now:
                _, _, gate, action, argument = pop(items)
                if gate is None or not gate.shut:
                    action(argument)
                else:
                    gate.held.append((action, argument))
            await self._wait(items[0][0] if items else float("inf"))

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
