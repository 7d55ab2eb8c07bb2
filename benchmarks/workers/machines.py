"""State machines that are loaded."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Collection, Hashable, Iterable
from typing import Any

import msgpack  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import override

from raft_actors import StateMachine

KEY_BYTES = 2
"""Commands touch the key that they begin with."""

_CHUNK_COMMANDS = 1024

_msgpack: Any = msgpack


def busy_for(seconds: float) -> None:
    """Compute for this long."""
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        pass


class Count(StateMachine[bytes, int]):
    """Counts the commands. The result of each is its number."""

    def __init__(self) -> None:
        self.count = 0

    @override
    def apply(self, command: bytes) -> int:
        self.count += 1
        return self.count

    @override
    def touches(self, command: bytes) -> Collection[Hashable]:
        return (command[:KEY_BYTES],)

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [self.count.to_bytes(8, "big")]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.count = int.from_bytes(b"".join([chunk async for chunk in chunks]), "big")


class Compute(Count):
    """Computes for a while for each command, on the node that is loaded: all nodes of a benchmark share few cores.

    Attributes:
        loaded: whether this is that node.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self.loaded = False

    @override
    def apply(self, command: bytes) -> int:
        if self.loaded:
            busy_for(self._seconds)
        return super().apply(command)


class Keep(StateMachine[bytes, int]):
    """Keeps every command, so that its snapshot is as large as what it was fed."""

    def __init__(self) -> None:
        self.commands_kept: list[bytes] = []

    @override
    def apply(self, command: bytes) -> int:
        self.commands_kept.append(command)
        return len(self.commands_kept)

    @override
    def snapshot(self) -> Iterable[bytes]:
        kept = self.commands_kept[:]
        return (_msgpack.packb(kept[start : start + _CHUNK_COMMANDS]) for start in range(0, len(kept), _CHUNK_COMMANDS))

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.commands_kept = []
        unpacker = _msgpack.Unpacker()
        async for chunk in chunks:
            unpacker.feed(chunk)
            for commands in unpacker:
                self.commands_kept += commands
