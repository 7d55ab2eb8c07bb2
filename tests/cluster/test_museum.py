"""Bugs that other engines had, in whole clusters (docs/museum.md says whose). Tests are named after what holds here."""

from __future__ import annotations

import contextlib
import math

import attrs
import pytest
import trio

from raft_actors import LeadershipLost, NodeStopped, NotLeader, RoleName
from tests.cluster.support import Commands, LogCluster, follower, open_log, seeds, snapshotting

#: Of the longest election timeouts of these clusters, a few.
SETTLE_S = 5.0


@seeds(3)
async def test_a_leader_whose_whole_log_is_compacted_away_sends_its_snapshot_unasked(seed: int) -> None:
    """Nothing is proposed any more, so nothing but heartbeats could tell it that a follower lacks something."""
    async with open_log(3, seed, config=attrs.evolve(snapshotting(1_000_000), trailing_entries=0)) as cluster:
        commands = Commands()
        await cluster.one(commands(), 3)
        leader = await cluster.wait_for_one_leader()
        late = follower(cluster, leader)
        cluster.crash(late)
        last = [await cluster.one(commands(), 2) for _ in range(5)][-1]
        await cluster.node(leader).take_snapshot()
        status = cluster.node(leader).status()
        assert (status.first_index, status.last_index) == (last + 1, last)
        await cluster.start(late)
        await cluster.wait_applied(last, 3)
        assert cluster.node(late).status().snapshot_index == last
        assert cluster.node(leader).status().last_index == last


@seeds(3)
async def test_a_node_alone_answers_nothing_that_its_disk_does_not_have(seed: int) -> None:
    async with open_log(1, seed) as cluster:
        node = cluster.node("n1")
        await node.wait_leader()
        assert await node.propose(b"on disk") == 1
        cluster.disk("n1").write_delay_s = math.inf
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_unanswered, cluster, b"not on disk")
            await trio.sleep(SETTLE_S)
            cluster.crash("n1")
        cluster.disk("n1").write_delay_s = 0.001
        node = await cluster.start("n1")
        await node.wait_leader()
        assert await node.propose(b"after") == 2
        assert cluster.state_machine("n1").commands_applied == [b"on disk", b"after"]


async def _unanswered(cluster: LogCluster, command: bytes) -> None:
    with pytest.raises(NodeStopped):
        await cluster.node("n1").propose(command)


@seeds(3)
async def test_reads_at_a_leader_that_hears_nobody_keep_nobody_from_electing_another(seed: int) -> None:
    """What it sends for them arrives, so its followers hear of it; but no answer does, and it gives up."""
    async with open_log(3, seed) as cluster:
        old = await cluster.wait_for_one_leader()
        others = [name for name in cluster.node_ids if name != old]
        for other in others:
            cluster.network.cut(other, old)
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(_keep_reading, cluster, old)
            await trio.sleep(SETTLE_S)
            assert cluster.node(old).status().role is not RoleName.LEADER
            await cluster.one(b"without it", 2)
            nursery.cancel_scope.cancel()


async def _keep_reading(cluster: LogCluster, node_id: str) -> None:
    while True:
        with contextlib.suppress(NotLeader, LeadershipLost):
            await cluster.node(node_id).read(lambda log: len(log.inner.commands_applied))
        await trio.sleep(0.01)
