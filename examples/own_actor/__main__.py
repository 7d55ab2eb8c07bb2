"""A hundred tasks share one proposer: `python -m examples.own_actor`."""

from __future__ import annotations

import trio

from examples.counter.counter import Add, Counter
from examples.own_actor.batcher import Batcher
from examples.three_nodes import leader_of, three_nodes


async def main() -> None:
    """Ask for many at once."""
    async with three_nodes(Counter) as nodes, trio.open_nursery() as nursery:
        batcher = Batcher(leader_of(nodes).propose_many)
        nursery.start_soon(batcher.run)
        async with trio.open_nursery() as askers:
            for number in range(100):
                askers.start_soon(batcher.do, Add(f"client {number}", 1, 1))
        print("in", len(batcher.sizes), "turns:", sum(batcher.sizes), "commands")
        print("sum:", await leader_of(nodes).read(lambda counter: counter.value))
        nursery.cancel_scope.cancel()  # an actor goes on until it is cancelled


trio.run(main)
