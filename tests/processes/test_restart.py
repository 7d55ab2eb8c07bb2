"""All nodes at once: killed under load, or stopped gracefully, and started again."""

from __future__ import annotations

import random
from pathlib import Path

from tests.processes.harness import open_cluster


async def test_all_killed_at_once(tmp_path: Path) -> None:
    rng = random.Random(3)
    async with open_cluster(tmp_path) as cluster:
        for _ in range(4):
            await cluster.start(load=16)
            await cluster.acknowledged(rng.choice([1, 50, 500]))
            await cluster.kill(*cluster.voters)
        await cluster.start()
        await cluster.started()
        await cluster.settle()


async def test_all_stopped_gracefully_at_once(tmp_path: Path) -> None:
    """Whoever proposes meanwhile is told that the node stops; what had been taken on before is finished first."""
    async with open_cluster(tmp_path) as cluster:
        for _ in range(2):
            await cluster.start(load=16)
            await cluster.acknowledged(200)
            await cluster.close()
            for node_id in cluster.voters:
                ended = await cluster.end_of(node_id)
                assert (ended["error"], ended["threads"]) == (None, [])
        await cluster.start()
        await cluster.started()
        await cluster.settle()


async def test_one_after_another(tmp_path: Path) -> None:
    """A rolling restart: each node is stopped and started again while the others go on."""
    async with open_cluster(tmp_path) as cluster:
        await cluster.start(load=8)
        await cluster.acknowledged(50)
        for node_id in cluster.voters:
            await cluster.close(node_id)
            await cluster.acknowledged(50)
            await cluster.start(node_id, load=8)
            await cluster.started(node_id)
        await cluster.settle()
