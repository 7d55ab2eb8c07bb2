"""Figure 3 of the Raft paper, on roles driven by a random scheduler that loses, repeats and reorders what it can.

A failure names its seed: `run(seed, STEPS)` repeats it exactly.
"""

from __future__ import annotations

import pytest

from raft_actors.raft.entries import EntryKind
from tests.unit.model.cluster import ModelCluster

STEPS = 3_000


def run(seed: int, steps: int) -> ModelCluster:
    """Let faults befall a cluster, then let it recover."""
    cluster = ModelCluster(seed)
    try:
        for _ in range(steps):
            cluster.step()
        cluster.heal()
        applied = {
            command
            for node in cluster.nodes.values()
            for _, kind, command in node.disk.entries.values()
            if kind is EntryKind.COMMAND
        }
        cluster.checks.finally_applied(applied)
    except BaseException as error:
        error.add_note(f"seed {seed}\n{cluster.describe()}")
        raise
    return cluster


@pytest.mark.parametrize("first_seed", range(0, 300, 10))
def test_no_schedule_breaks_a_safety_property_and_every_cluster_recovers(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 10):
        run(seed, STEPS)


def test_the_schedules_reach_what_they_are_meant_to_test() -> None:
    clusters = [run(seed, STEPS) for seed in range(20)]
    assert sum(len(cluster.checks.leaders) for cluster in clusters) > 60
    assert sum(len(cluster.checks.committed) for cluster in clusters) > 400
    assert any(node.state.log.snapshot for cluster in clusters for node in cluster.nodes.values())
