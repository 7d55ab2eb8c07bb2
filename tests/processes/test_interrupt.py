"""Ctrl-C to a program that embeds a node, while the node works: it ends with KeyboardInterrupt and nothing else.

Python raises KeyboardInterrupt between any two instructions of the main thread. In an actor's task, or between a
task's registration for a result and its wait, that would leave things half done; so this library has Trio deliver it
elsewhere.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.processes.harness import Cluster, open_cluster
from tests.thorough import rounds

ROUNDS = rounds(12)


async def _check_interrupted(cluster: Cluster, node_id: str) -> None:
    """The worker's end is that of any program that Ctrl-C ended."""
    ended = await cluster.end_of(node_id)
    worker = cluster.workers[node_id]
    log = worker.log.read_text()
    where = worker.last("interrupted")
    assert ended["error"] == "KeyboardInterrupt", where
    assert ended["threads"] == [], where
    assert worker.process.returncode == -signal.SIGINT, where
    assert log.count("Traceback") == 1, where
    assert log.endswith("\nKeyboardInterrupt\n"), where


@pytest.mark.parametrize("seed", [4, 5])
async def test_interrupted_from_outside(tmp_path: Path, seed: int) -> None:
    """At a moment that is counted in acknowledgements, or as soon as it has opened."""
    rng = random.Random(seed)
    async with open_cluster(tmp_path, 1, snapshot_entries=300, trailing_entries=50) as cluster:
        for number in range(ROUNDS):
            await cluster.start("n1", load=16, may_end=True)
            if number % 4:
                await cluster.acknowledged(rng.randrange(1, 500))
            else:
                await cluster.until(lambda: cluster.workers["n1"].count(rng.choice(["opening", "started"])))
            cluster.workers["n1"].send_signal(signal.SIGINT)
            await _check_interrupted(cluster, "n1")
        await cluster.start()
        await cluster.started()
        await cluster.settle()


@pytest.mark.parametrize("seed", [6, 7])
async def test_interrupted_inside(tmp_path: Path, seed: int) -> None:
    """At a call of a function of this library, counted from its opening; in a cluster that goes on."""
    rng = random.Random(seed)
    async with open_cluster(tmp_path, snapshot_entries=300, trailing_entries=50) as cluster:
        await cluster.start("n2", "n3", load=4)
        for number in range(ROUNDS // 2):
            calls = rng.randrange(1, 200) if number % 3 == 0 else rng.randrange(200, 20_000)
            await cluster.start("n1", load=4, may_end=True, interrupt_at=calls)
            await _check_interrupted(cluster, "n1")
        await cluster.start("n1", load=4)
        await cluster.started("n1")
        await cluster.settle()
