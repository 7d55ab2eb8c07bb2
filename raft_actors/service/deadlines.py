"""When keys expire, by log time: the milliseconds that leaders have counted, so the same on every replica.

Log time comes with entries of the log. A key is removed by the entry that brings the time to its deadline, whoever
looks at it when, so nothing about it depends on a replica's clock. Only how much time is left, which somebody may ask
at any moment, is reckoned with the time that has passed here since the last such entry.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

import trio

MOST_AT_ONCE = 10_000
"""Keys that one entry removes: heartbeats wait meanwhile. The rest goes with the next one."""

_FEW = 1000  # it is not worth while to look for fewer numbers that have no meaning any more


class Deadlines:
    """The deadlines of one state machine.

    Attributes:
        now_ms: log time.
        at: key → its deadline. Keys that never expire are not in it.
        clock: seconds on this machine.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.now_ms: int = 0
        self.at: dict[bytes, int] = {}
        self.clock = clock
        self._told_at = 0.0
        self._heap: list[tuple[int, bytes]] = []
        self._changed = trio.lowlevel.ParkingLot()

    def set(self, key: bytes, deadline_ms: int) -> None:
        """Have a key expire then."""
        heap = self._heap
        self.at[key] = deadline_ms
        heapq.heappush(heap, (deadline_ms, key))
        if heap[0][1] is key:
            self._changed.unpark_all()
        if len(heap) > 2 * len(self.at) + _FEW:
            self._fill_heap()

    def replace(self, now_ms: int, at: dict[bytes, int]) -> None:
        """Take over what a snapshot says."""
        self.now_ms, self.at = now_ms, at
        self._fill_heap()
        self._changed.unpark_all()

    def _fill_heap(self) -> None:
        self._heap = [(deadline_ms, key) for key, deadline_ms in self.at.items()]
        heapq.heapify(self._heap)

    def pass_time(self, now_ms: int) -> Iterator[bytes]:
        """Let log time come to this; give the keys that have expired, which are forgotten here."""
        self._told_at = self.clock()
        if now_ms <= self.now_ms:
            return
        self.now_ms = now_ms
        heap, count = self._heap, 0
        while heap and heap[0][0] <= now_ms and count < MOST_AT_ONCE:
            deadline_ms, key = heapq.heappop(heap)
            if self.at.get(key) == deadline_ms:
                del self.at[key]
                count += 1
                yield key

    def left_ms(self, key: bytes, passed_ms: int = 0) -> int:
        """How much time a key has; −1: it never expires."""
        deadline_ms = self.at.get(key)
        return -1 if deadline_ms is None else max(0, deadline_ms - self.now_ms - passed_ms)

    def passed_ms(self) -> int:
        """What has passed here since log time was told."""
        return max(0, int((self.clock() - self._told_at) * 1000))

    # --- waiting for them ------------------------------------------------------------------------------------

    async def wait_any(self) -> None:
        """Wait until some key is to expire at some time."""
        await trio.lowlevel.checkpoint()
        while not self.at:
            await self._changed.park()

    async def wait_sooner(self) -> None:
        """Wait until one is to expire sooner than all others."""
        await self._changed.park()

    def left_s(self, most_s: float) -> float:
        """How long until the first one is due, as far as is known here; at most this."""
        heap, at = self._heap, self.at
        while heap and at.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return min(most_s, max(1, heap[0][0] - self.now_ms - self.passed_ms()) / 1000) if heap else most_s
