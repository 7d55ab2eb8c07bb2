"""A network and a disk under the test's thumb."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import trio

from raft_actors.persistence import MemoryStorage
from raft_actors.persistence.abc import SnapshotReader
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.messages import Message
from raft_actors.transports.abc import Endpoint, Transport, TransportStatistics

T = TypeVar("T")


class Outbox(Transport):
    """A transport that keeps what it is given, or refuses it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.accepts = True
        self.refused = 0

    def send_nowait(self, to: str, message: Message) -> bool:
        if self.accepts:
            self.messages.append(message)
        else:
            self.refused += 1
        return self.accepts

    def take(self) -> list[Message]:
        """All messages since the last look."""
        messages, self.messages = self.messages, []
        return messages

    async def run(self, endpoint: Endpoint, *, task_status: Any = None) -> None:
        raise NotImplementedError

    def set_peers(self, peers: Mapping[str, str]) -> None:
        raise NotImplementedError

    def statistics(self) -> TransportStatistics:
        raise NotImplementedError


class GatedReader(SnapshotReader):
    """Reads chunks when the gate is open."""

    def __init__(
        self,
        reader: SnapshotReader,
        gate: Callable[[Awaitable[Any]], Awaitable[Any]],
        readings: list[tuple[int, int]],
    ) -> None:
        self.metadata, self.chunk_count = reader.metadata, reader.chunk_count
        self.closed = False
        self._reader, self._gate, self._readings = reader, gate, readings

    async def read_chunk(self, sequence: int) -> bytes:
        data: bytes = await self._gate(self._reader.read_chunk(sequence))
        return data

    async def read_chunks(self, first: int, most_chunks: int, most_bytes: int) -> Sequence[bytes]:
        self._readings.append((first, most_chunks))
        return await super().read_chunks(first, most_chunks, most_bytes)

    def close(self) -> None:
        self.closed = True
        self._reader.close()


class GatedStorage(MemoryStorage):
    """A memory storage whose reads wait at a gate while it is shut, and are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = trio.Event()
        self.gate.set()
        self.reads = 0
        self.opens = 0
        self.readers: list[GatedReader] = []
        self.readings: list[tuple[int, int]] = []
        """Of chunks: the first, and how many at most."""

    def shut(self) -> None:
        """Let reads wait."""
        self.gate = trio.Event()

    async def _through(self, reading: Awaitable[T]) -> T:
        self.reads += 1
        result = await reading
        await self.gate.wait()
        return result

    async def read_entries(self, first_index: int, last_index: int, max_bytes: int) -> tuple[EntryBatch, ...]:
        return await self._through(super().read_entries(first_index, last_index, max_bytes))

    async def open_snapshot(self) -> SnapshotReader | None:
        self.opens += 1
        reader = await super().open_snapshot()
        if reader is None:
            return None
        self.readers.append(GatedReader(reader, self._through, self.readings))
        return self.readers[-1]
