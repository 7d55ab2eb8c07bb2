"""Nodes that join under an id that others had: the log tells of those, and the stores of these are none of theirs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock
from typing_extensions import override

from raft_actors import Member, MembershipChanged, NodeConfig, open_node
from raft_actors.node.asking import ask_cluster
from raft_actors.persistence import MemoryDisk, MemoryStorage
from raft_actors.persistence.abc import StoreIdentity
from raft_actors.raft.persistent_state import Recovered
from raft_actors.raft.starts import Renewed, Starts
from tests.cluster.support import CommandLog
from tests.cluster.test_joining import CommandNode, World, cluster_of, leading, three, until, voting


@pytest.fixture
def world(autojump_clock: MockClock) -> World:
    return World()


@asynccontextmanager
async def without_who_began(world: World) -> AsyncGenerator[CommandNode]:
    """A cluster that n1 began alone, and that has gone on as n2 alone; n1's files are lost."""
    async with world.opened("n1", cluster_of("n1")) as one, world.opened("n2") as two:
        await voting(one, two)
        await one.propose(b"x")
        await one.change_members({"n2"})
        await voting(two)
        await one.aclose()
        world.disks["n1"] = MemoryDisk()
        yield two


def store_of(node: CommandNode, name: str) -> str:
    """Which store a member has, as the log of another one says."""
    member = node.members().members.get(name)
    return "" if member is None else member.incarnation


async def test_who_joins_again_is_not_the_voter_that_the_cluster_began_with(world: World) -> None:
    """It learns that the cluster began with itself alone, and then nobody can be reached: it must not lead."""
    async with without_who_began(world), world.opened("n1", ask="n2.test:1") as back:
        world.network.disconnect("n1")
        await trio.sleep(30)
        status = back.status()
        assert (str(status.role), status.leader, status.last_index) == ("follower", None, 0)


async def test_it_is_not_after_a_start_in_between_either(world: World) -> None:
    """It was stopped while it held the beginning of the log: its settings name nobody, and the log nothing but it."""
    async with without_who_began(world):
        async with world.opened("n1", ask="n2.test:1"):
            world.network.disconnect("n1")
        async with world.opened("n1", ask="n2.test:1") as back:
            await trio.sleep(30)
            assert back.status().leader is None


async def test_it_becomes_a_voter_once_the_members_have_agreed_on_its_store(world: World) -> None:
    async with without_who_began(world) as two, world.opened("n1", ask="n2.test:1") as back:
        await voting(two, back)
        assert store_of(two, "n1") == world.disks["n1"].incarnation
        await two.transfer_leadership("n1")
        assert await back.propose(b"y") == 2


@pytest.mark.parametrize("removed", [False, True])
async def test_a_wiped_voter_knows_that_it_was_at_its_next_start_too(world: World, removed: bool) -> None:
    """Its first start has found out that another store is known. By the second one it may have learned a part of the
    log, and nobody may know of the old store any more.
    """
    config, cluster = NodeConfig(rejoin_if_wiped=True), cluster_of("n1", "n2", "n3")
    async with three(world, config) as nodes:
        leader = await leading(nodes)
        await leader.propose(b"x")
        wiped = next(node for node in nodes if node is not leader)
        name = wiped.node_id
        await until(leader, lambda: bool(store_of(leader, name)))
        await wiped.aclose()
        world.disks[name] = MemoryDisk()
        async with world.opened(name, cluster, config=config):
            world.network.disconnect(name)
        assert world.disks[name].renewed
        found_out = world.disks[name].incarnation
        if removed:
            await leader.change_members(set(cluster.voters) - {name})
        world.network.heal()
        async with world.opened(name, cluster, config=config) as back:
            named = world.disks[name].incarnation
            await until(leader, lambda: store_of(leader, name) == named)
            await voting(back, *(node for node in nodes if node is not wiped))
        assert named == found_out


async def test_an_initial_voter_that_was_removed_and_lost_its_files_joins_anew_where_it_may(world: World) -> None:
    """Nobody knows its old store any more, but that it is no voter now, and was one."""
    config, cluster = NodeConfig(rejoin_if_wiped=True), cluster_of("n1", "n2", "n3")
    async with three(world, config) as nodes:
        leader = await leading(nodes)
        gone, other = (node for node in nodes if node is not leader)
        await leader.change_members({leader.node_id, other.node_id})
        await voting(leader, other)
        await gone.aclose()
        world.disks[gone.node_id] = MemoryDisk()
        async with world.opened(gone.node_id, cluster, config=config) as back:
            await voting(leader, other, back)
            assert world.disks[gone.node_id].renewed


async def test_an_older_copy_of_who_began_alone_asks_whom_its_log_names(world: World) -> None:
    """Its settings name nobody else."""
    config = NodeConfig(rejoin_if_wiped=True)
    async with world.opened("n2", cluster_of("n1")) as two, world.opened("n3", cluster_of("n1")) as third:
        async with world.opened("n1", cluster_of("n1"), config=config) as one:
            await one.wait_leader()
            await one.change_members({name: Member(f"{name}.test:1") for name in ("n1", "n2", "n3")})
        older = deepcopy(world.disks["n1"])
        async with world.opened("n1", cluster_of("n1"), config=config) as one:
            await voting(one, two, third)
            await one.wait_leader()
        world.disks["n1"] = older
        async with world.opened("n1", cluster_of("n1"), config=config) as back:
            await until(two, lambda: store_of(two, "n1") == older.incarnation)
            await voting(two, third, back)
    assert older.renewed


def held_up(monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    """Have no request to join be heard before this is set."""
    asked = trio.Event()

    async def ask_late(*arguments: Any, **more: Any) -> Any:
        if "join" in arguments:
            await asked.wait()
        return await ask_cluster(*arguments, **more)

    monkeypatch.setattr("raft_actors.node.joining.ask_cluster", ask_late)
    return asked


async def taken_in_anew(back: CommandNode, one: CommandNode, two: CommandNode, asked: trio.Event) -> None:
    """Let its request to join be heard, and see it removed, added, lead, and ask for no more."""
    async with (await leading([one, two])).events() as events:
        asked.set()
        with trio.fail_after(120):
            async for event in events:
                if isinstance(event, MembershipChanged) and back.node_id not in event.voters:
                    break
    await voting(one, two, back)
    await (await leading([one, two, back])).transfer_leadership(back.node_id)
    settled = back.members().config
    await trio.sleep(30)
    assert (back.members().config, str(back.status().role)) == (settled, "leader")


async def test_a_wiped_voter_that_is_named_before_it_is_removed_is_not_the_one_that_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader was restarted, and has met only the new store; and the node's request to be a new member is late."""
    began = cluster_of("n1", "n2", "n3")
    async with world.opened("n1", began) as one, world.opened("n2", began), world.opened("n3", began):
        await one.wait_leader()
        await trio.sleep(0.3)  # n3 has voted, and acknowledged an entry
        assert not store_of(one, "n3")
    world.disks["n3"] = MemoryDisk()
    asked = held_up(monkeypatch)
    async with world.opened("n1", began) as one, world.opened("n2", began) as two:
        leader = await leading([one, two])
        await until(leader, lambda: bool(store_of(leader, "n2")))
        async with world.opened("n3") as back:
            await until(back, lambda: bool(store_of(back, "n3")))
            assert "n3" in back.members().voters  # as the leader had it written, in the place of the one before
            for other in ("n1", "n2"):
                world.network.disconnect(other)
            await trio.sleep(5)
            assert back.status().voted_for is None
            assert str(back.status().role) == "follower"
            world.network.heal()
            await taken_in_anew(back, one, two, asked)


async def test_a_wiped_voter_that_was_named_in_its_own_place_goes_on_to_join_at_its_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader has met only the new store, and named it; the other member knows the lost one."""
    began, config = cluster_of("n1", "n2", "n3"), NodeConfig(rejoin_if_wiped=True)
    async with world.opened("n2", began, config=config) as two:
        async with world.opened("n1", began, config=config) as one, world.opened("n3", began, config=config):
            await one.wait_leader()
            await trio.sleep(0.3)
            assert not store_of(one, "n3")
        world.disks["n3"] = MemoryDisk()
        asked = held_up(monkeypatch)
        async with world.opened("n1", began, config=config) as one:
            if await leading([one, two]) is two:
                await two.transfer_leadership("n1")
            async with world.opened("n3", began, config=config) as back:
                await until(back, lambda: bool(store_of(back, "n3")))
                assert "n3" in back.members().voters
            async with world.opened("n3", began, config=config) as back:
                await taken_in_anew(back, one, two, asked)


# --- who is no such node ----------------------------------------------------------------------------------------------


async def test_a_voter_that_the_cluster_began_with_may_join_at_its_first_start(world: World) -> None:
    """Nobody leads without its vote, so nobody could make it a member."""
    async with world.opened("n1", cluster_of("n1", "n2")) as one, world.opened("n2") as two:
        with trio.fail_after(10):
            await one.wait_leader()
        await voting(one, two)
        assert not world.disks["n2"].renewed


async def test_a_store_with_a_log_that_does_not_say_who_began_is_kept(world: World) -> None:
    """Versions before did not write that down."""
    cluster = cluster_of("n1", "n2")
    async with world.opened("n1", cluster) as one:
        async with world.opened("n2", cluster) as two:
            leader = await leading([one, two])
            await leader.propose(b"x")
            await two.wait_applied(leader.status().commit_index)
        store = world.disks["n2"].incarnation
        world.disks["n2"].identity = StoreIdentity("orders", "n2")
        async with world.opened("n2") as two:
            assert (world.disks["n2"].renewed, world.disks["n2"].incarnation) == (Renewed.NO, store)
            with trio.fail_after(10):
                await (await leading([one, two])).propose(b"y")


class Nameless(MemoryStorage):
    """A storage that draws no incarnation, as it may."""

    @override
    async def open(self, identity: StoreIdentity, *, tail_bytes: int) -> Recovered:
        return attrs.evolve(await super().open(identity, tail_bytes=tail_bytes), incarnation="", starts=Starts())


@pytest.mark.parametrize("metadata", [0, 4086])
async def test_who_says_nothing_of_its_store_becomes_a_voter_and_so_does_who_has_much_to_say(
    world: World, metadata: int
) -> None:
    """As much as is allowed: the store's name is not the application's, and needs no room of it."""
    disk = MemoryDisk()
    storage = MemoryStorage(disk) if metadata else Nameless(disk)
    members = {"n1": Member("n1.test:1"), "n2": Member("n2.test:1", {"k": "v" * metadata})}
    async with (
        world.opened("n1", cluster_of("n1")) as one,
        open_node(
            "n2",
            cluster=cluster_of("n1"),
            state_machine=CommandLog,
            storage=storage,
            transport=world.network.transport("n2"),
            join=True,
        ) as two,
    ):
        await one.wait_leader()
        with trio.fail_after(10):
            await one.change_members(members)
        await voting(one, two)
        assert store_of(one, "n2") == (disk.incarnation if metadata else "")
