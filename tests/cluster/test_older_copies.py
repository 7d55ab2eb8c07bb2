"""A node that comes back with an older copy of its store: the one that it had is missing what the node promised."""

from __future__ import annotations

import copy

import pytest
import trio
from trio.testing import MockClock

from raft_actors import NodeConfig, StoreReplaced
from raft_actors.persistence import MemoryDisk
from raft_actors.transports import MemoryNetwork
from tests.cluster.test_joining import World, cluster_of, leading, three, until

CLUSTER = cluster_of("n1", "n2", "n3")
MAY_REJOIN = NodeConfig(rejoin_if_wiped=True)


@pytest.fixture
def world(autojump_clock: MockClock) -> World:
    return World(MemoryNetwork(encode=True))


async def copied_and_gone_on(
    world: World, config: NodeConfig | None = None, *, bound: bool = False
) -> tuple[str, str, MemoryDisk]:
    """Run three nodes; copy what one of them that is stopped has, and let it acknowledge more.

    `bound`: only once the configuration names everybody's store.

    Returns its id, that of the one that has led meanwhile (in memory, others need not have met it), and the copy.
    """
    async with three(world, config) as nodes:
        leader = await leading(nodes)
        await leader.propose(b"x")
        stopped = next(node for node in nodes if node is not leader)
        if bound:
            await until(stopped, lambda: all(one.incarnation for one in stopped.members().members.values()))
        name = stopped.node_id
        await stopped.aclose()
        older = copy.deepcopy(world.disks[name])
        async with world.opened(name, CLUSTER, config=config) as back:
            for number in range(30):
                await leader.propose(b"%d" % number)
            await back.wait_applied(leader.status().commit_index)
        return name, leader.node_id, older


async def test_an_older_copy_is_found_out_though_all_others_were_restarted_and_however_often_it_is_tried(
    world: World,
) -> None:
    name, first, older = await copied_and_gone_on(world)
    whole = world.disks[name]
    (second,) = CLUSTER.voters.keys() - {name, first}
    async with world.opened(first, CLUSTER) as one:  # one that knows is enough
        world.disks[name] = older
        for _ in range(3):
            with pytest.raises(StoreReplaced, match=rf"'{first}' has met '{name}' at start 2 .* remove it and add it"):
                async with world.opened(name, CLUSTER):
                    await trio.sleep(60)
        world.disks[name] = whole
        async with world.opened(second, CLUSTER), world.opened(name, CLUSTER) as back:
            await one.wait_leader()
            await back.wait_applied(32)
            assert back.members().members[name].incarnation in ("", whole.incarnation)


@pytest.mark.parametrize("bound", [False, True])
async def test_an_older_copy_joins_anew_as_another_store_where_it_may(world: World, bound: bool) -> None:
    name, first, older = await copied_and_gone_on(world, MAY_REJOIN, bound=bound)
    store = older.incarnation
    (second,) = CLUSTER.voters.keys() - {name, first}
    async with world.opened(first, CLUSTER, config=MAY_REJOIN) as one, world.opened(second, CLUSTER, config=MAY_REJOIN):
        await one.wait_leader()
        world.disks[name] = older
        async with world.opened(name, CLUSTER, config=MAY_REJOIN) as back:
            assert world.disks[name].incarnation != store
            assert back.status().last_index >= 2  # what it holds is kept
        # Stopped before it was a member again, maybe: it goes on, though it does not ask the others any more.
        async with world.opened(name, CLUSTER) as back:
            await until(back, lambda: back.members().members[name].incarnation == world.disks[name].incarnation)
            await until(back, lambda: name in back.members().voters and back.members().committed)
            await back.wait_applied(one.status().commit_index)
            assert one.members().members[name].incarnation == world.disks[name].incarnation


async def test_who_comes_back_with_its_own_files_is_never_taken_for_a_copy(world: World) -> None:
    """Not where it was killed before it greeted anybody, nor where it missed what the others did, nor by itself."""
    config = NodeConfig(rejoin_if_wiped=True)
    async with three(world, config) as nodes:
        leader = await leading(nodes)
        name = next(node for node in nodes if node is not leader).node_id
        store = world.disks[name].incarnation
        await next(node for node in nodes if node.node_id == name).aclose()
        for number in range(5):
            world.network.disconnect(name)
            async with world.opened(name, CLUSTER, config=config):
                await trio.sleep(0.1 * number)
            await leader.propose(b"%d" % number)
            world.network.connect(name)
            async with world.opened(name, CLUSTER, config=config) as back:
                await back.wait_applied(leader.status().commit_index)
        assert world.disks[name].incarnation == store
