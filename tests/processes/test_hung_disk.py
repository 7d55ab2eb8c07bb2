"""Disks that hang while heartbeats go on: what is not on enough disks is not acknowledged."""

from __future__ import annotations

from pathlib import Path

from tests.processes.harness import CALM, Cluster, open_cluster

#: Orders answered by a worker, for it to do meanwhile what it should not.
TURNS = 100


async def _take_turns(cluster: Cluster) -> None:
    for _ in range(TURNS):
        for node_id in cluster.alive():
            await cluster.ask(node_id, "status")


async def test_all_disks_hang(tmp_path: Path) -> None:
    """Nothing is acknowledged from then on, and all that was is there after a kill."""
    async with open_cluster(tmp_path) as cluster:
        await cluster.start(load=8)
        await cluster.acknowledged(100)
        for node_id in cluster.voters:
            await cluster.ask(node_id, "hang")
        await cluster.load(2)  # something to write, for each: who proposed before may wait for an answer already
        for node_id in cluster.voters:
            await cluster.reported(node_id, "held")
        await _take_turns(cluster)
        await cluster.kill(*cluster.voters)
        await cluster.start()
        await cluster.started()
        await cluster.settle()


async def test_the_leaders_disk_hangs(tmp_path: Path) -> None:
    """The followers' disks are a majority, so work goes on: the leader's own is one vote like any other."""
    async with open_cluster(tmp_path, **CALM) as cluster:
        await cluster.start(load=8)
        await cluster.acknowledged(100)
        leader = await cluster.wait_leader()
        await cluster.ask(leader, "hang")
        await cluster.reported(leader, "held")
        await cluster.acknowledged(100)
        assert cluster.leader() == leader
        await cluster.kill(leader)
        await cluster.start(leader)
        await cluster.started(leader)
        await cluster.settle()
