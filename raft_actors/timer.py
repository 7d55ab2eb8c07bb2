"""A deadline that can be moved for the price of an assignment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from raft_actors.clock import NodeClock

#: A timer that fires later than this was held up, by a busy process or a paused machine.
_PUNCTUAL_S = 0.02


class DeadlineTimer:
    """Fires once for each deadline that passes.

    A follower's election deadline moves with every message of its leader. So moving it does not wake anybody: the task
    sleeps until the deadline it knew, looks again, and sleeps on.

    Args:
        deadline: the first one.
        clock: the node's.
        grace_s: how long, at most, to wait on where it fires late: as long as it is late. What held up this timer held
            up what would have moved the deadline, too, and maybe the node that it was to come from.
    """

    def __init__(self, deadline: float, clock: NodeClock | None = None, *, grace_s: float = 0.0) -> None:
        self._deadline = deadline
        self._clock = NodeClock() if clock is None else clock
        self._grace_s = grace_s
        self._fired_for: float | None = None
        self._moved = trio.lowlevel.ParkingLot()

    def arm(self, deadline: float) -> None:
        """Move it, on the node's clock. An earlier deadline than the one before may fire late, at that one."""
        self._deadline = deadline
        if self._fired_for is not None and deadline != self._fired_for:
            self._fired_for = None
            self._moved.unpark_all()

    @trio.lowlevel.enable_ki_protection
    async def run(self, fire: Callable[[], Awaitable[None]]) -> None:
        """Call `fire` whenever the deadline has passed, until cancelled."""
        while True:
            deadline = self._deadline
            await self._clock.sleep_until(deadline)
            if deadline == self._deadline:
                await self._be_lenient(deadline)
            if deadline != self._deadline:
                continue
            self._fired_for = deadline
            await fire()
            if self._has_fired():
                await self._moved.park()

    async def _be_lenient(self, deadline: float) -> None:
        now = self._clock.now()
        grace = min(now - deadline, self._grace_s)
        if grace > _PUNCTUAL_S:
            await self._clock.sleep_until(now + grace)

    def _has_fired(self) -> bool:
        return self._fired_for is not None
