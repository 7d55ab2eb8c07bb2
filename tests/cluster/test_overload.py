"""A node that takes on no more says why, and when to come back; what is cancelled in the queue is not proposed."""

from __future__ import annotations

import math

import pytest
import trio

from raft_actors import NodeConfig, OverloadCause, Overloaded
from tests.cluster.support import LogCluster, follower, open_log

CONFIG = NodeConfig(max_pending_proposals=3)


async def refusal_of_a_full_leader(cluster: LogCluster, leader: str) -> Overloaded:
    """Have as much proposed as there is room for, of which nothing comes through, and some time later one more."""
    node = cluster.node(leader)
    for _ in range(3):
        node.propose_nowait(b"x")
    await trio.sleep(0.1)
    with pytest.raises(Overloaded) as refused:
        node.propose_nowait(b"x")
    assert refused.value.cause is OverloadCause.PROPOSALS, "too early to tell"
    await trio.sleep(0.5)
    with pytest.raises(Overloaded) as refused:
        node.propose_nowait(b"x")
    assert refused.value.retry_after_s >= node.config.election_timeout_s[1]
    return refused.value


async def test_no_majority_answers() -> None:
    async with open_log(3, 1, config=CONFIG) as cluster:
        leader = await cluster.wait_for_one_leader()
        cluster.partition({leader}, set(cluster.node_ids) - {leader})
        assert (await refusal_of_a_full_leader(cluster, leader)).cause is OverloadCause.NO_MAJORITY


async def test_the_disks_of_a_majority_hang() -> None:
    async with open_log(3, 1, config=CONFIG) as cluster:
        leader = await cluster.wait_for_one_leader()
        for node_id in (leader, follower(cluster, leader)):
            cluster.disk(node_id).write_delay_s = math.inf
        assert (await refusal_of_a_full_leader(cluster, leader)).cause is OverloadCause.DISK


async def test_what_waits_for_room_and_is_cancelled_is_not_proposed() -> None:
    async with open_log(3, 1, config=CONFIG) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        cluster.partition({leader}, set(cluster.node_ids) - {leader})
        for number in range(3):
            node.propose_nowait(b"%d" % number)
        with trio.move_on_after(0.1):
            await node.propose(b"never")
        with trio.move_on_after(0.1):
            await node.propose_many([b"nor", b"these"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.propose, b"yet")
            await trio.sleep(0.1)
            assert node.statistics().waiting_proposals == 1
            cluster.heal()
        assert node.statistics().waiting_proposals == 0
        applied = cluster.state_machine(leader).commands_applied
        assert b"yet" in applied
        assert not {b"never", b"nor", b"these"} & set(applied)
