"""Errors that a simulated disk brought about are no failure of the engine, whichever call they end it through."""

from __future__ import annotations

import pytest

from raft_actors import StorageFailed
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
