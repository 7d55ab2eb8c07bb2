"""What goes on only while a node leads, and ends with its leadership or its lease."""

from __future__ import annotations

from typing import Protocol

import trio

from raft_actors.actors.clock import NodeClock
from raft_actors.raft.roles import Leader

#: How long before the lease ends they do, at least; at most twice as long. What is cancelled takes a turn to notice.
_EARLY_S = 0.001


class Scope(Protocol):
    """One of them."""

    leader: Leader

    def end(self, why: str) -> None:
        """Cancel it."""


class Scopes:
    """Those that are open at one node."""

    def __init__(self) -> None:
        # A dict for its order, so that a simulation repeats itself.
        self._open: dict[Scope, None] = {}
        self._added = trio.lowlevel.ParkingLot()

    def add(self, scope: Scope) -> None:
        """Let it go on, and its leader renew the lease for it."""
        self._open[scope] = None
        scope.leader.lease.held += 1
        self._added.unpark_all()

    def discard(self, scope: Scope) -> None:
        """It is over."""
        if scope in self._open:
            del self._open[scope]
            scope.leader.lease.held -= 1

    def end_all(self, why: str) -> None:
        """Cancel all, at once: none of their tasks goes on beyond the point where it waits now."""
        for scope in [*self._open]:
            scope.end(why)
            self.discard(scope)

    @trio.lowlevel.enable_ki_protection
    async def watch(self, leader: Leader, clock: NodeClock) -> None:
        """End them when this leader's lease runs out, unless it was renewed. Runs as long as it leads.

        Alarms stand still in suspend, and the lease does not. So it looks again and again, while there are any.
        """
        alarm, look_s = clock.alarm(), leader.state.config.heartbeat_interval_s
        while True:
            await trio.lowlevel.checkpoint()
            if not self._open:
                await self._added.park()
            left_s = leader.lease.left_s - _EARLY_S
            if left_s > _EARLY_S:
                await alarm.wait(clock.now() + min(left_s, look_s))
            else:
                self.end_all("the lease ran out: a majority has not answered in time")
