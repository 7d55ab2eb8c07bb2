"""A deadline that can be moved for the price of an assignment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class DeadlineTimer:
    """Fires once for each deadline that passes.

    A follower's election deadline moves with every message of its leader. So moving it does not wake anybody: the task
    sleeps until the deadline it knew, looks again, and sleeps on.
    """

    def __init__(self, deadline: float, sleep_until: Callable[[float], Awaitable[None]] = trio.sleep_until) -> None:
        self._deadline = deadline
        self._sleep_until = sleep_until
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
            await self._sleep_until(deadline)
            if deadline != self._deadline:
                continue
            self._fired_for = deadline
            await fire()
            if self._has_fired():
                await self._moved.park()

    def _has_fired(self) -> bool:
        return self._fired_for is not None
