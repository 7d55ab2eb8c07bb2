"""Clusters of several versions: what their members can do together, and what becomes of one that can't."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from raft_actors import ChangeRefused, FeatureMissing, Member
from raft_actors.raft import features
from raft_actors.raft.features import FEATURES, PRIORITY
from tests.cluster.support import LogCluster, follower, open_log, seeds
from tests.cluster.test_joining import World, leading, three

NEW = FEATURES | {"colour"}


def on(cluster: LogCluster) -> list[frozenset[str]]:
    """What the cluster uses, by each node that runs."""
    return [node.members().features for node in cluster.nodes.values()]


async def upgrade(cluster: LogCluster, *names: str) -> None:
    cluster.network.older.update(dict.fromkeys(names, NEW))
    await cluster.restart(*names)


@pytest.fixture(autouse=True)
def a_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next version has a feature that entries of the log need."""
    monkeypatch.setattr(features, "TURNED_ON", frozenset({"colour"}))


@seeds(4)
async def test_it_is_turned_on_when_the_last_member_can_and_not_turned_off_again(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        order = [leader, *(name for name in cluster.node_ids if name != leader)]
        if seed % 2:
            order.reverse()  # nothing depends on who was first
        for name in order[:2]:
            await upgrade(cluster, name)
            await cluster.one(b"in %s" % name.encode(), 3)
            assert on(cluster) == [frozenset()] * 3
        cluster.crash(order[2])
        await trio.sleep(5.0)
        assert on(cluster) == [frozenset()] * 2  # it may come back as either version
        cluster.network.older[order[2]] = NEW
        await cluster.start(order[2])
        await cluster.wait_for_one_leader()
        await cluster.one(b"all can", 3)
        await trio.sleep(5.0)
        assert on(cluster) == [{"colour"}] * 3
        assert {node.members().config for node in cluster.nodes.values()} != {0}
        # Leaders come and go, snapshots cover the entry, all restart: it stays.
        for node in list(cluster.nodes.values()):
            await node.take_snapshot()
        await cluster.restart(*cluster.node_ids)
        await cluster.wait_for_one_leader()
        await cluster.one(b"later", 3)
        assert on(cluster) == [{"colour"}] * 3
        # Back to the older version: no more.
        cluster.crash("n1")
        cluster.network.older["n1"] = FEATURES
        with pytest.raises(FeatureMissing, match=r"can't do: colour.*upgrade raft_actors on this node"):
            await cluster.start("n1")
        await upgrade(cluster, "n1")
        await cluster.one(b"back", 3)


@seeds(2)
async def test_a_node_that_slept_through_it_is_refused_and_says_why(seed: int) -> None:
    """It is of the older version now, and its own log does not tell it that it can't be."""
    async with open_log(3, seed) as cluster:
        cluster.tolerated = (FeatureMissing,)
        leader = await cluster.wait_for_one_leader()
        late = follower(cluster, leader)
        await cluster.one(b"x", 3)
        cluster.disconnect(late)  # it has answered just now
        changed = await cluster.node(leader).change_members({name: Member(priority=1) for name in cluster.node_ids})
        assert changed.features == {PRIORITY}
        assert cluster.node(late).members().features == frozenset()
        cluster.crash(late)
        cluster.network.older[late] = FEATURES - {PRIORITY}
        cluster.connect(late)
        node = await cluster.start(late)
        await trio.sleep(3.0)
        assert isinstance(node.crash, FeatureMissing)
        assert "can't do what this cluster does: priority. Upgrade raft_actors here" in str(node.crash)
        await cluster.one(b"y", 2)
        cluster.network.older.clear()
        await cluster.start(late)
        await cluster.one(b"z", 3)


@pytest.fixture
def world(autojump_clock: MockClock) -> World:
    return World()


async def test_a_joiner_of_an_older_version_is_refused_before_it_is_a_member(world: World) -> None:
    world.network.older = dict.fromkeys(("n1", "n2", "n3"), NEW)
    async with three(world) as nodes:
        leader = await leading(nodes)
        await leader.propose(b"x")
        while not leader.members().features:  # noqa: ASYNC110 - what members can do is no event
            await trio.sleep(0.1)
        with pytest.raises(FeatureMissing, match="can't do: colour"):
            async with world.opened("n4"):
                await trio.sleep(60)
        assert leader.members().voters == {"n1", "n2", "n3"}
        assert not leader.members().learners
        world.network.older["n4"] = NEW
        async with world.opened("n4") as upgraded:
            while "n4" not in upgraded.members().voters:  # noqa: ASYNC110
                await trio.sleep(0.1)
            assert upgraded.members().features == {"colour"}


async def test_a_change_that_a_learner_can_not_read_is_refused_until_it_can(world: World) -> None:
    """It has no vote, but the same log."""
    world.network.older["n4"] = FEATURES - {PRIORITY}
    async with three(world) as nodes:
        leader = await leading(nodes)
        async with world.opened("n4", voter=False) as learner:
            while "n4" not in learner.members().learners:  # noqa: ASYNC110
                await trio.sleep(0.1)
            await leader.propose(b"x")
            await trio.sleep(0.1)  # all have answered by now
            with pytest.raises(ChangeRefused, match="'n4' runs a version of raft_actors that can't do it: upgrade it"):
                await leader.change_members(priorities={leader.node_id: 1})
            await leader.propose(b"y")
            assert (learner.crash, leader.members().features) == (None, frozenset())
        world.network.older.clear()
        async with world.opened("n4", voter=False) as upgraded:
            await leader.propose(b"z")
            await upgraded.wait_applied(leader.status().last_index)
            await trio.sleep(0.1)  # the leader has heard so
            changed = await leader.change_members(priorities={leader.node_id: 1})
            assert changed.features == {PRIORITY}


async def test_a_change_that_not_all_can_read_is_refused_until_they_can() -> None:
    async with open_log(3, 1) as cluster:
        leader = await cluster.wait_for_one_leader()
        old = follower(cluster, leader)
        cluster.network.older[old] = FEATURES - {PRIORITY}
        await cluster.restart(old)
        await cluster.one(b"x", 3)
        wanted = {name: Member(priority=1) for name in cluster.node_ids}
        with pytest.raises(ChangeRefused, match=f"'{old}' runs a version of raft_actors that can't do it: upgrade it"):
            await cluster.node(leader).change_members(wanted)
        assert cluster.node(leader).members().config == 0
        cluster.network.older.clear()
        await cluster.restart(old)
        await cluster.one(b"y", 3)
        changed = await cluster.node(leader).change_members(wanted)
        assert changed.features == {PRIORITY}
        assert changed.members["n1"].priority == 1
