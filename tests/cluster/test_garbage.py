"""Proposals and Python's garbage collector, which counts objects: those made, less those gone since it last looked."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterable, Iterable

import pytest
import trio

from raft_actors import ClusterConfig, StateMachine, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.transports import MemoryNetwork

ROUNDS, PROPOSERS = 20, 1000


class Count(StateMachine[bytes, int]):
    """Counts commands, and keeps no object of any."""

    def __init__(self) -> None:
        self.count = 0

    def apply(self, command: bytes) -> int:
        self.count += 1
        return self.count

    def snapshot(self) -> Iterable[bytes]:
        return [str(self.count).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.count = int(b"".join([chunk async for chunk in chunks]))


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="other implementations count otherwise, or not at all")
async def test_proposals_that_are_answered_together_call_no_garbage_collector() -> None:
    """When it looked at the thousands that wait, in each round anew, it took a quarter of a busy leader's time."""
    collections: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            collections.append(info["generation"])

    cluster, transport = ClusterConfig("c", {"n1": ""}), MemoryNetwork().transport("n1")
    async with open_node(
        "n1", cluster=cluster, state_machine=Count(), storage=MemoryStorage(), transport=transport
    ) as node:
        await node.wait_leader()

        async def propose() -> None:
            for _ in range(ROUNDS):
                if await node.propose(b"x") == PROPOSERS:
                    gc.callbacks.append(note)  # the first round is over: the rest should be as it was

        async with trio.open_nursery() as nursery:
            for _ in range(PROPOSERS):
                nursery.start_soon(propose)
        gc.callbacks.remove(note)
    assert len(collections) < ROUNDS / 2
