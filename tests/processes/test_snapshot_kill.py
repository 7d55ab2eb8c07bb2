"""SIGKILL while a snapshot is being taken, or installed: the node starts with the state before or after, never between.

The moments are chunks counted as they are written, and the commit of the whole.
"""

from __future__ import annotations

import random
from pathlib import Path

from tests.processes.harness import CALM, COMPACTING, SNAPSHOT_CHUNKS, Process, open_cluster
from tests.thorough import rounds

ROUNDS = rounds(6)


def _moment(worker: Process, rng: random.Random) -> tuple[str, int]:
    """An event to kill the worker at, as its name and the count at which it comes."""
    if rng.random() < 0.4:
        return "committing", worker.count("committing") + 1
    return "chunk", worker.count("chunk") + rng.randrange(1, SNAPSHOT_CHUNKS)


async def test_killed_while_taking_one(tmp_path: Path) -> None:
    rng = random.Random(8)
    async with open_cluster(tmp_path, **COMPACTING) as cluster:
        await cluster.start_filled()
        await cluster.load(4)
        for _ in range(ROUNDS):
            victim = rng.choice(sorted(cluster.voters))
            event, count = _moment(cluster.workers[victim], rng)
            await cluster.reported(victim, event, count)
            await cluster.kill(victim)
            await cluster.acknowledged(5)
            await cluster.start(victim, load=4)
            await cluster.started(victim)
        await cluster.settle()


async def test_killed_while_installing_one(tmp_path: Path) -> None:
    rng = random.Random(9)
    async with open_cluster(tmp_path, **CALM, **COMPACTING) as cluster:
        leader = await cluster.start_filled()
        await cluster.load(4)
        victim = next(node_id for node_id in cluster.voters if node_id != leader)
        await cluster.kill(victim)
        await cluster.compacted(leader, 2)
        for _ in range(ROUNDS):
            await cluster.start(victim)
            event, count = _moment(cluster.workers[victim], rng)
            await cluster.reported(victim, event, count)
            await cluster.kill(victim)
            # Without it the others compact away what it may have got by now, so that it needs a snapshot again.
            await cluster.compacted(leader, 2)
        await cluster.start(victim)
        await cluster.reported(victim, "snapshot-installed")
        await cluster.settle()
