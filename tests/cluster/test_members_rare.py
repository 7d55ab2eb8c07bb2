"""Moments of a change of members that plans drawn from seeds hardly ever meet. Mutations are caught by these, too."""

from __future__ import annotations

from contextlib import suppress

import trio

from raft_actors import RaftError
from raft_actors.raft.transitions import RoleName
from tests.cluster.membership import change, joint_at, newcomers, until
from tests.cluster.support import Commands, LogCluster, open_log, seeds, snapshotting


async def test_a_snapshot_takes_a_change_that_was_never_committed_along_with_the_log() -> None:
    """The configuration looks newer than that of the snapshot, and its entry is gone (openraft #1808)."""
    command = Commands()
    async with open_log(3, 1, joiners=1, config=snapshotting(5)) as cluster:
        for name in ("n1", "n2", "n3"):  # each has written by then where it is: nothing else is
            old = await cluster.wait_for_one_leader()
            if old != name:
                await cluster.node(old).transfer_leadership(name)
            await cluster.one(command(), 3)
            await trio.sleep(3)
        old = await cluster.wait_for_one_leader()
        node = cluster.node(old)
        known = node.members()
        cluster.disconnect(old)
        with trio.move_on_after(0.05):
            await node.change_members(learners=newcomers("n4"))
        assert node.members().config > known.config
        others = sorted({"n1", "n2", "n3"} - {old})
        await cluster.wait_for_one_leader()
        for _ in range(20):
            await cluster.one(command(), 2)
        for name in others:
            await cluster.node(name).take_snapshot()
        cluster.connect(old)
        await cluster.one(command(), 3)
        assert node.status().snapshot_index > node.members().config  # it came as a snapshot
        assert (node.members().config, node.members().learners) == (known.config, frozenset())


async def elected_without(cluster: LogCluster, gone: str) -> str:
    """Wait for the moment that another node leads."""
    leading: list[str] = []

    def is_led() -> bool:
        leading[:] = [
            name for name, node in cluster.nodes.items() if name != gone and node.status().role is RoleName.LEADER
        ]
        return bool(leading)

    await until(cluster, is_led)
    return leading[0]


@seeds(3)
async def test_a_new_leader_takes_no_joint_configuration_back_before_it_has_committed_anything(seed: int) -> None:
    """It may be that a majority of the new voters has gone on already: nobody can know before (dissertation §4.3)."""
    command = Commands()
    async with open_log(3, seed, joiners=3) as cluster:
        await cluster.one(command(), 3)
        old = await cluster.wait_for_one_leader()

        async def replace_all() -> None:
            with suppress(RaftError):
                await cluster.node(old).change_members(newcomers("n4", "n5", "n6"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(replace_all)
            await until(cluster, lambda: joint_at(cluster, old))
            await until(cluster, lambda: sum(joint_at(cluster, name) for name in cluster.node_ids) > 4)
            cluster.crash(old)
            leader = await elected_without(cluster, old)
            # The new half has elected it, and does not hear of its first entry.
            cluster.disconnect(*{"n4", "n5", "n6"} - {leader})
            index = cluster.node(leader).status().last_index
            await trio.sleep(5)
            assert cluster.node(leader).status().last_index == index
            cluster.connect()
            nursery.cancel_scope.cancel()
        await cluster.start(old)
        await change(cluster, {"n4", "n5", "n6"})
        await cluster.one(command(), 3)
