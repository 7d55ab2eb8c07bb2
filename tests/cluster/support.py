"""What the scenarios share: seeds, a state machine that remembers all, and settings."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import attrs
import pytest

from raft_actors import NodeConfig, StateMachine
from raft_actors.testing import SimulatedCluster, open_cluster
from tests.thorough import rounds

F = TypeVar("F", bound=Callable[..., Any])

LogCluster = SimulatedCluster[bytes, int]


def seeds(count: int, usually: int | None = None) -> Callable[[F], F]:
    """Run a test once for each of so many seeds, or of a part of them: see `tests.thorough.rounds`."""
    return pytest.mark.parametrize("seed", range(1, rounds(count, usually) + 1))


class CommandLog(StateMachine[bytes, int]):
    """Its state is the list of all commands; a command's result is its place in it."""

    def __init__(self) -> None:
        self.commands_applied: list[bytes] = []

    def apply(self, command: bytes) -> int:
        self.commands_applied.append(command)
        return len(self.commands_applied)

    def snapshot(self) -> Iterable[bytes]:
        return [len(command).to_bytes(4) + command for command in self.commands_applied]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        data = b"".join([chunk async for chunk in chunks])
        self.commands_applied.clear()
        position = 0
        while position < len(data):
            start = position + 4
            position = start + int.from_bytes(data[position:start])
            self.commands_applied.append(data[start:position])


def open_log(
    nodes: int, seed: int, *, joiners: int = 0, config: NodeConfig | None = None
) -> AbstractAsyncContextManager[LogCluster]:
    """A cluster that replicates a list of commands, with nodes beside it that may join."""
    return open_cluster(CommandLog, nodes=nodes, joiners=joiners, seed=seed, config=config)


def follower(cluster: LogCluster, leader: str) -> str:
    """Some node that is not the leader."""
    return next(name for name in cluster.node_ids if name != leader)


def snapshotting(entries: int = 10) -> NodeConfig:
    """Settings of nodes that take a snapshot every few entries and keep nothing behind it, for nobody."""
    return NodeConfig(snapshot_entries=entries, trailing_entries=0, max_catch_up_bytes=0, snapshot_chunk_bytes=1024)


@attrs.define
class Commands:
    """Makes commands that differ from all others."""

    prefix: str = "c"
    count: int = 0

    def __call__(self, size: int = 0) -> bytes:
        self.count += 1
        return f"{self.prefix}{self.count}".encode().ljust(size, b".")
