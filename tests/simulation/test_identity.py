"""A node without its files: found out where somebody remembers it, and what comes of it where nobody does."""

from __future__ import annotations

from raft_actors import StoreReplaced
from raft_actors.testing import simulate
from tests.cluster.support import CommandLog


async def test_a_node_without_its_files_is_found_out_by_those_who_have_met_it() -> None:
    async with simulate(CommandLog, seed=25) as cluster:
        await cluster.one(b"x", 3)
        leader = await cluster.wait_for_one_leader()
        wiped = next(name for name in cluster.node_ids if name != leader)
        cluster.crash(wiped)
        await cluster.wait_down(wiped)
        disk = cluster.disk(wiped)
        whole = disk.copy()
        disk.wipe()
        cluster.tolerated = (StoreReplaced,)
        node = await cluster.start(wiped)
        await cluster.wait_down(wiped)
        assert isinstance(node.crash, StoreReplaced)
        assert "knows 'n" in str(node.crash)
        refusing = cluster.node(leader).statistics().transport
        assert refusing.refused_by_reason["OTHER_INCARNATION"] >= 1
        await cluster.one(b"y", 2)
        disk.replace(whole, with_mark=True)
        await cluster.start(wiped)
        await cluster.one(b"z", 3)


async def test_nothing_finds_out_about_an_empty_folder_where_nobody_remembers() -> None:
    """What raft can't survive, said plainly: two of three forget a committed entry, and the cluster has lost it."""
    async with simulate(CommandLog, seed=19, invariants=()) as cluster:
        await cluster.one(b"x", 3)
        cluster.crash_all()
        for name in ("n1", "n2"):
            await cluster.wait_down(name)
            cluster.disk(name).wipe()
            await cluster.start(name)
        leader = await cluster.wait_for_one_leader()
        assert await cluster.node(leader).propose(b"y") == 1
        assert cluster.state_machine(leader).commands_applied == [b"y"]
