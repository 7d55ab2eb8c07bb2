"""A bound on the memory of all clients together: large requests under way have to claim room.

Each connection may hold `FREE_BYTES` unasked. A request that will be larger waits for room before the rest of it is
read, so that its sender waits in the end: its network buffers fill. Room is given in order of arrival. Whoever got
room and does not use it would keep others from it for ever, so a client that has held it for `patience_s`, while
others wait, is given up, the longest holder first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

import trio

from raft_actors.config import KIB
from raft_actors.records import define

FREE_BYTES = 64 * KIB

ARGUMENT_BYTES = 56
"""What Python takes for an argument beside its bytes: the head of its object (33), what is rounded up (to 16), and its
place in a list that grew. Without it, a request of many short ones would count for a sixth of what it takes."""


class GivenUp(Exception):
    """This connection held room for too long while others waited for it."""


@define(eq=False)
class Claim:
    """What one connection holds.

    Attributes:
        size: bytes; 0 while it holds what is free.
        since: when it came to hold any.
        waiting: there while it waits for its client or for more room, and not for the node: it may be given up.
    """

    size: int = 0
    since: float = 0.0
    waiting: trio.CancelScope | None = None

    @contextmanager
    def may_be_given_up(self) -> Generator[None]:
        """Wait within this.

        Raises:
            GivenUp: the wait was ended for the sake of others.
        """
        with trio.CancelScope() as scope:
            self.waiting = scope
            try:
                yield
            finally:
                self.waiting = None
        if scope.cancelled_caught:
            raise GivenUp


class ClientMemory:
    """Room for what is not free.

    Attributes:
        limit: bytes in all; a single claim may be larger when it is the only one.
        used: bytes that are claimed now.
    """

    def __init__(self, limit: int, patience_s: float) -> None:
        self.limit = limit
        self.used: int = 0
        self._patience_s = patience_s
        self._claims: dict[Claim, None] = {}
        self._queue: deque[Claim] = deque()
        self._changed = trio.lowlevel.ParkingLot()
        self._closed = False

    async def resize(self, claim: Claim, size: int) -> None:
        """Have a claim cover `size` bytes, waiting for room if it grows. What is free need not be claimed.

        Raises:
            GivenUp: it held some for too long meanwhile.
        """
        if size <= FREE_BYTES:
            size = 0
        if size > claim.size:
            await self._wait_for_room(claim, size)
        if not claim.size:
            claim.since = trio.current_time()
        self.used += size - claim.size
        shrunk = size < claim.size
        claim.size = size
        if size:
            self._claims[claim] = None
        else:
            self._claims.pop(claim, None)
        if shrunk:
            self._changed.unpark_all()

    def release(self, claim: Claim) -> None:
        """Give all of a claim back."""
        self.used -= claim.size
        claim.size = 0
        self._claims.pop(claim, None)
        self._changed.unpark_all()

    def close(self) -> None:
        """Let all go who wait: nothing more will be read."""
        self._closed = True
        self._changed.unpark_all()

    async def _wait_for_room(self, claim: Claim, size: int) -> None:
        self._queue.append(claim)
        try:
            with claim.may_be_given_up():
                while not self._closed and (self._queue[0] is not claim or not self._fits(claim, size)):
                    await self._wait_for_change()
        finally:
            self._queue.remove(claim)
            self._changed.unpark_all()

    def _fits(self, claim: Claim, size: int) -> bool:
        return self.used == claim.size or self.used + size - claim.size <= self.limit

    async def _wait_for_change(self) -> None:
        """Until room was given back; or until the longest holder has had its time, which then is up."""
        oldest = min((one for one in self._claims if one.waiting), key=lambda one: one.since, default=None)
        deadline = float("inf") if oldest is None else oldest.since + self._patience_s
        with trio.CancelScope(deadline=deadline) as patience:
            await self._changed.park()
        if patience.cancelled_caught and oldest in self._claims and oldest.waiting is not None:
            oldest.waiting.cancel()
            del self._claims[oldest]  # told once: its room comes back when its task has ended
