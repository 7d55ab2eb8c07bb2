"""Errors that a simulated disk brought about are no failure of the engine, whichever call they end it through."""

from __future__ import annotations

import pytest

from raft_actors import StorageCorrupt, StorageFailed
from raft_actors.persistence import LogWrite
from raft_actors.testing import simulate
from tests.cluster.support import CommandLog, follower


async def test_a_call_that_is_refused_after_an_injected_error_is_that_errors_doing() -> None:
    """The one who asks next may hear of it first, before the one whose write failed (so reported once, seed 20434)."""
    async with simulate(CommandLog, seed=11) as cluster:
        victim = follower(cluster, await cluster.wait_for_one_leader())
        storage, disk = cluster.node(victim)._supervisor.storage, cluster.disk(victim)
        disk.fail_next_write()
        with pytest.raises(StorageFailed, match="injected") as failed:
            await storage.write([LogWrite(commit_index=0)])
        with pytest.raises(StorageFailed, match="takes no more calls") as refused:
            await storage.write([LogWrite(commit_index=0)])
        assert disk.brought_about(failed.value)
        assert disk.brought_about(refused.value)
        assert not disk.brought_about(StorageFailed("another"))
        cluster.crash(victim)


async def test_a_disk_whose_damage_kept_a_node_from_starting_can_be_replaced() -> None:
    """Nothing that failed to open it holds it (so reported for seed 1: "the files of a node that runs")."""
    async with simulate(CommandLog, seed=12) as cluster:
        await cluster.one(b"to be damaged", 3)
        cluster.crash("n1")
        disk = cluster.disk("n1")
        copy = disk.copy()
        assert disk.damage()
        for _ in range(2):
            with pytest.raises(StorageCorrupt):
                await cluster.start("n1")
        assert disk.holder is None
        disk.replace(copy)
        cluster.lost["n1"] = "it was damaged"


async def test_a_copy_that_lacks_a_start_is_older_though_nothing_else_was_written() -> None:
    async with simulate(CommandLog, seed=18) as cluster:
        await cluster.one(b"x", 3)
        cluster.crash("n2")
        copy = cluster.disk("n2").copy()
        await cluster.start("n2")
        cluster.crash("n2")
        cluster.disk("n2").replace(copy)
        with pytest.raises(StorageCorrupt, match="which were durable, are missing"):
            await cluster.start("n2")
        cluster.lost["n2"] = "its disk was replaced"
