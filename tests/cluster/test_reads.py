"""Reads at every level, at every node, in a simulated cluster."""

from __future__ import annotations

import pytest
import trio

from raft_actors import BoundedStale, Linearizable, Local, NotLeader, ReadYourWrites
from raft_actors.errors import ConfigurationError
from tests.cluster.support import open_log, seeds


@seeds(3)
async def test_every_node_reads_what_was_just_committed(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        for number in range(20):
            command = b"%d" % number
            await cluster.node(leader).propose(command)
            for name in cluster.node_ids:
                assert await cluster.node(name).read(lambda log: log.inner.commands_applied[-1]) == command


@seeds(2)
async def test_reads_append_nothing_and_write_nothing(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).propose(b"x")
        await trio.sleep(3)  # the members have been written down by then, too
        before = {name: cluster.node(name).status().last_index for name in cluster.node_ids}
        writes = {name: cluster.node(name).statistics().persistence for name in cluster.node_ids}
        for _ in range(50):
            for name in cluster.node_ids:
                await cluster.node(name).read(lambda log: len(log.inner.commands_applied))
        assert {name: cluster.node(name).status().last_index for name in cluster.node_ids} == before
        assert {name: cluster.node(name).statistics().persistence for name in cluster.node_ids} == writes


@seeds(3)
async def test_a_follower_that_is_cut_off_answers_only_what_asks_nobody(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        behind = next(name for name in cluster.node_ids if name != leader)
        await cluster.node(leader).propose(b"old")
        await trio.sleep(1)
        cluster.network.disconnect(behind)
        await cluster.node(leader).propose(b"new")
        node = cluster.node(behind)
        for level in (Linearizable(), BoundedStale(seconds=0.0), BoundedStale(entries=5)):
            with trio.move_on_after(1), pytest.raises(NotLeader):
                await node.read(lambda _: pytest.fail("it read"), level)
        token = cluster.node(leader).read_token()
        with trio.move_on_after(1) as patience:
            await node.read(lambda _: pytest.fail("it read"), ReadYourWrites(token))
        assert patience.cancelled_caught
        assert await node.read(lambda log: log.inner.commands_applied, Local()) == [b"old"]
        cluster.network.connect(behind)
        assert await node.read(lambda log: log.inner.commands_applied[-1], ReadYourWrites(token)) == b"new"
        assert node.statistics().pending_proposals == 0, "reads that were given up take no room"


@seeds(3)
async def test_a_result_says_what_it_saw(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).propose(b"x")
        for name in cluster.node_ids:
            node = cluster.node(name)
            result = await node.read_result(lambda log: log.inner.commands_applied[-1])
            status = node.status()
            assert (result.value, result.index, result.term) == (b"x", status.applied_index, status.term)
            assert result.token == node.read_token()
            assert result.age_s is not None
            assert result.age_s < 0.1
            await trio.sleep(2)
            later = await node.read_result(lambda log: log.inner.commands_applied[-1], Local())
            assert later.age_s is not None
            assert 2 <= later.age_s < 2.2


@seeds(2)
async def test_a_bound_in_seconds_asks_only_when_it_has_to(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        follower = next(name for name in cluster.node_ids if name != leader)
        node, link = cluster.node(follower), cluster.network
        await cluster.node(leader).propose(b"x")
        asked = "RequestReadIndex"
        for _ in range(10):
            assert await node.read(lambda log: log.inner.commands_applied, BoundedStale(seconds=5)) == [b"x"]
        assert link.link_statistics(follower, leader).sent[asked] == 1
        await trio.sleep(6)
        await node.read(lambda log: log.inner.commands_applied, BoundedStale(seconds=5))
        assert link.link_statistics(follower, leader).sent[asked] == 2


@seeds(2)
async def test_a_bound_in_entries_waits_for_no_more_than_it_must(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        follower = next(name for name in cluster.node_ids if name != leader)
        await cluster.node(leader).propose_many([b"%d" % number for number in range(10)])
        await trio.sleep(1)
        node = cluster.node(follower)
        cluster.network.cut(leader, follower)
        await cluster.node(leader).propose_many([b"a", b"b"])
        cluster.network.mend(leader, follower)
        applied = await node.read(lambda log: len(log.inner.commands_applied), BoundedStale(entries=2))
        assert applied >= 10
        assert await node.read(lambda log: len(log.inner.commands_applied), BoundedStale(entries=0)) == 12


@seeds(3)
async def test_a_read_at_a_follower_goes_on_at_the_next_leader(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).propose(b"x")
        other, follower = (name for name in cluster.node_ids if name != leader)
        cluster.network.cut(follower, leader)  # it hears the leader, which does not hear it
        read: list[bytes] = []

        async def ask() -> None:
            read.append(await cluster.node(follower).read(lambda log: log.inner.commands_applied[-1]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.1)
            assert read == []
            await cluster.node(leader).transfer_leadership(other)
        assert read == [b"x"]


@pytest.mark.parametrize(
    ("seconds", "entries"), [(None, None), (1.0, 1), (-1.0, None), (None, -1), (float("nan"), None)]
)
def test_a_bound_is_of_one_kind(seconds: float | None, entries: int | None) -> None:
    with pytest.raises(ConfigurationError, match="and not both"):
        BoundedStale(seconds, entries)
