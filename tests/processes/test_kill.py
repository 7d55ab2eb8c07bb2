"""SIGKILL at seeded moments, under load: nothing acknowledged is lost, nothing is applied without having been asked."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.processes.harness import Cluster, open_cluster
from tests.thorough import rounds

ROUNDS = rounds(15, usually=6)


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    async with open_cluster(tmp_path, snapshot_entries=500, trailing_entries=100) as cluster:
        await cluster.start(load=4)
        for _ in range(ROUNDS):
            await _round(cluster, rng)
        state = await cluster.settle()
        assert state["total"] >= cluster.book.acknowledged


async def _round(cluster: Cluster, rng: random.Random) -> None:
    """Kill some, at a moment counted in acknowledgements; let the others go on where they can; start them again."""
    await cluster.acknowledged(rng.choice([1, 5, 40, 200]))
    leader = await cluster.wait_leader()
    followers = sorted(set(cluster.voters) - {leader})
    one = rng.choice(followers)
    victims = rng.choice([[leader], [one], [leader, one], followers, [leader, *followers]])
    await cluster.kill(*victims)
    if len(victims) == 1:
        await cluster.acknowledged(rng.choice([1, 20]))
    rng.shuffle(victims)
    await cluster.start(*victims, load=4)
    if rng.random() < 0.3:  # while it recovers, or before it has even begun to
        await cluster.kill(victims[0])
        await cluster.start(victims[0], load=4)
