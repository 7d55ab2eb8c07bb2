"""A stored snapshot as a state machine, or an application, reads it."""

from __future__ import annotations

from raft_actors.persistence.abc import SnapshotReader


class SnapshotChunks:
    """The chunks of a stored snapshot, read as they are asked for: `async for chunk in SnapshotChunks(reader)`."""

    def __init__(self, reader: SnapshotReader) -> None:
        self._reader = reader
        self._next = 0

    def __aiter__(self) -> SnapshotChunks:
        return self

    async def __anext__(self) -> bytes:
        if self._next >= self._reader.chunk_count:
            raise StopAsyncIteration
        chunk = await self._reader.read_chunk(self._next)
        self._next += 1
        return chunk
