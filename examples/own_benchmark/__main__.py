"""What a command costs, with a state machine and with one that does nothing: `python -m examples.own_benchmark`."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

import trio

from examples.counter.counter import Add, Counter
from examples.three_nodes import leader_of, three_nodes
from raft_actors import StateMachine, attrs_commands


class Nothing(StateMachine[Add, None]):
    """Takes the same commands, and does nothing: what is left is the cost of replicating them."""

    commands = attrs_commands(Add)

    def apply(self, command: Add) -> None:
        """Do nothing."""

    def snapshot(self) -> Iterable[bytes]:
        """Nothing."""
        return []

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Nothing."""


async def cpu_s_per_command(make: Callable[[], StateMachine[Add, Any]], rounds: int, size: int = 256) -> float:
    """Of all three nodes together, which share this process."""
    async with three_nodes(make) as nodes:
        node = leader_of(nodes)
        begin = time.process_time()
        for number in range(rounds):
            await node.propose_many([Add(f"client {client}", number + 1, 1) for client in range(size)])
        return (time.process_time() - begin) / (rounds * size)


rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
ours, nothing = (trio.run(cpu_s_per_command, make, rounds) for make in (Counter, Nothing))
print(f"Counter: {ours * 1e6:.1f} µs of CPU a command on three nodes")
print(f"a machine that does nothing: {nothing * 1e6:.1f} µs")
