"""AnyIO's task groups, cancel scopes and threads around a node, on the Trio backend: `python -m examples.anyio_app`."""

from __future__ import annotations

import anyio
import anyio.from_thread
import anyio.to_thread

from examples.counter.counter import Add, Counter
from examples.three_nodes import leader_of, three_nodes
from raft_actors import Node


async def add(node: Node[Counter], client: str) -> None:
    """Propose some, within AnyIO's own bound."""
    with anyio.fail_after(5):
        for number in range(1, 4):
            await node.propose(Add(client, number, 1))


async def main() -> None:
    """Propose from tasks, and from a thread."""
    async with three_nodes(Counter) as nodes:
        node = leader_of(nodes)
        async with anyio.create_task_group() as group:
            group.start_soon(add, node, "anna")
            group.start_soon(add, node, "bert")

        def in_a_thread() -> int:
            result: int = anyio.from_thread.run(node.propose, Add("cleo", 1, 4))
            return result

        print("of a thread:", await anyio.to_thread.run_sync(in_a_thread))
        print("all:", await node.read(lambda counter: counter.value))


anyio.run(main, backend="trio")
