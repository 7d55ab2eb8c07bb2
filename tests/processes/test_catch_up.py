"""Followers that come back after the log they need was compacted away: a snapshot in chunks, then the log."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from tests.processes.harness import CALM, COMPACTING, SNAPSHOT_CHUNKS, Cluster, open_cluster


async def _elections(cluster: Cluster) -> dict[str, int]:
    """How many elections each running worker has started in its life so far."""
    return {node_id: await cluster.ask(node_id, "elections") for node_id in cluster.alive()}


async def test_compacted_while_it_was_away(tmp_path: Path) -> None:
    """A snapshot of several MB goes to a follower while the load goes on, and nobody calls an election."""
    async with open_cluster(tmp_path, **CALM, **COMPACTING) as cluster:
        leader = await cluster.start_filled()
        away = next(node_id for node_id in cluster.voters if node_id != leader)
        await cluster.kill(away)
        elections = await _elections(cluster)
        await cluster.load(4)
        await cluster.compacted(leader, 2)

        await cluster.start(away)
        await cluster.reported(away, "snapshot-installed")
        assert cluster.workers[away].count("chunk") >= SNAPSHOT_CHUNKS
        await cluster.acknowledged(100)
        await cluster.settle()
        assert await _elections(cluster) == {**elections, away: 0}
        assert cluster.leader() == leader


async def test_frozen_while_the_log_was_compacted(tmp_path: Path) -> None:
    """The same, for a follower that kept its memory and its connections."""
    async with open_cluster(tmp_path, **CALM, **COMPACTING) as cluster:
        leader = await cluster.start_filled()
        away = next(node_id for node_id in cluster.voters if node_id != leader)
        await cluster.load(4)
        cluster.workers[away].send_signal(signal.SIGSTOP)
        # So much that more waits for it than the connection holds.
        await cluster.compacted(leader, 4)
        cluster.workers[away].send_signal(signal.SIGCONT)
        await cluster.reported(away, "snapshot-installed")
        await cluster.acknowledged(100)
        await cluster.settle()


async def test_a_follower_without_its_files_is_found_out(tmp_path: Path) -> None:
    """The same id with an empty disk: the vote and the entries that the lost one stood for are gone, so whoever has met
    it refuses it. It ends, saying why, and is welcome again with its own files.
    """
    async with open_cluster(tmp_path, **CALM) as cluster:
        await cluster.start()
        await cluster.started()
        leader = await cluster.wait_leader()
        await cluster.load(4)
        await cluster.acknowledged(100)
        wiped = next(node_id for node_id in cluster.voters if node_id != leader)
        await cluster.kill(wiped)
        files = (tmp_path / wiped).rename(tmp_path / "put aside")
        await cluster.start(wiped, may_end=True)
        worker = cluster.workers[wiped]
        await worker.ended.wait()
        assert worker.process.returncode
        assert "by another store than this one" in worker.log.read_text()
        await cluster.acknowledged(100)
        shutil.rmtree(tmp_path / wiped)
        files.rename(tmp_path / wiped)
        await cluster.start(wiped)
        await cluster.acknowledged(100)
        await cluster.settle()
        assert cluster.leader() == leader
