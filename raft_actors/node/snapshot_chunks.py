"""A stored snapshot as a state machine, or an application, reads it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import trio

from raft_actors.persistence.abc import SnapshotReader

#: Chunks read at a time: each way to the storage waits for a turn of the event loop, which a busy one gives rarely.
#: More would keep a node's commits waiting behind them.
_READ_CHUNKS = 16
_READ_BYTES = 4 * 1024 * 1024

_SLICE_S = 0.005


class SnapshotChunks:
    """The chunks of a stored snapshot, read a few at a time: `async for chunk in SnapshotChunks(reader)`.

    Other tasks get a turn with each reading, and whenever `slice_s` have passed on the clock `now` since they had one.
    """

    def __init__(
        self, reader: SnapshotReader, now: Callable[[], float] = trio.current_time, slice_s: float = _SLICE_S
    ) -> None:
        self._reader = reader
        self._now = now
        self._slice_s = slice_s
        self._read = deque[bytes]()
        self._next = 0
        self._slice_ends = 0.0

    def __aiter__(self) -> SnapshotChunks:
        return self

    async def __anext__(self) -> bytes:
        if not self._read:
            if self._next >= self._reader.chunk_count:
                raise StopAsyncIteration
            self._read += await self._reader.read_chunks(self._next, _READ_CHUNKS, _READ_BYTES)
            self._next += len(self._read)
            self._slice_ends = self._now() + self._slice_s
        elif self._now() >= self._slice_ends:
            await trio.lowlevel.checkpoint()
            self._slice_ends = self._now() + self._slice_s
        return self._read.popleft()
