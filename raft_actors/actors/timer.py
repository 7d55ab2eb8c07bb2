"""A deadline that can be moved for the price of an assignment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from raft_actors.actors.clock import NodeClock

#: A timer that fires later than this was held up, by a busy process or a paused machine.
_PUNCTUAL_S = 0.02

#: How much too early, or too late, an alarm may ring: to move it costs a little, and messages come by the thousand. Too
#: late by so little must still be punctual.
_EARLY_S, _LATE_S = 0.15, 0.005


class DeadlineTimer:
    """Fires once for each deadline that passes.

    A follower's election deadline moves with every message of its leader. So moving it wakes nobody: it moves the alarm
    if at all, and one that rings too early has the task look again, and sleep on.

    Args:
        deadline: the first one.
        clock: the node's.
        spread_s: by how much deadlines jump up and down from one move to the next.
        grace_s: how long, at most, to wait on where it fires late: as long as it is late. What held up this timer held
            up what would have moved the deadline, too, and maybe the node that it was to come from.
    """

    def __init__(
        self, deadline: float, clock: NodeClock | None = None, *, spread_s: float = 0.0, grace_s: float = 0.0
    ) -> None:
        self._deadline = deadline
        self._alarm_at = deadline
        clock = clock or NodeClock()
        self._now = clock.now
        self._alarm = clock.alarm()
        self._early_s = _EARLY_S + spread_s
        self._grace_s = grace_s
        self._fired_for: float | None = None
        self._moved = trio.lowlevel.ParkingLot()

    def arm(self, deadline: float) -> None:
        """Move it, on the node's clock. To a slightly earlier time, it may fire late by that."""
        self._deadline = deadline
        if not -_LATE_S <= deadline - self._alarm_at <= self._early_s:
            self._alarm_at = deadline
            self._alarm.move(deadline)
        if self._fired_for is not None and deadline != self._fired_for:
            self._fired_for = None
            self._moved.unpark_all()

    @trio.lowlevel.enable_ki_protection
    async def run(self, fire: Callable[[], Awaitable[None]]) -> None:
        """Call `fire` whenever the deadline has passed, until cancelled."""
        while True:
            self._alarm_at = self._deadline
            await self._alarm.wait(self._alarm_at)
            deadline = self._deadline
            if self._now() < deadline:
                continue  # moved a little, or at the very moment when the alarm rang
            await self._be_lenient(deadline)
            if deadline != self._deadline:
                continue
            self._fired_for = deadline
            await fire()
            if self._has_fired():
                await self._moved.park()

    async def _be_lenient(self, deadline: float) -> None:
        now = self._now()
        grace = min(now - deadline, self._grace_s)
        if grace > _PUNCTUAL_S:
            await self._alarm.wait(now + grace)

    def _has_fired(self) -> bool:
        return self._fired_for is not None
