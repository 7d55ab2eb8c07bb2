"""Nodes that join a running cluster, knowing an address and the cluster's id, and nodes that lost their files."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from raft_actors import (
    ClusterConfig,
    ConfigurationError,
    Join,
    MembershipChanged,
    Node,
    NodeConfig,
    StoreReplaced,
    open_node,
)
from raft_actors.node.asking import OperationRefused, ask_cluster
from raft_actors.persistence import MemoryDisk, MemoryStorage
from raft_actors.raft.features import FEATURES
from raft_actors.transports import MemoryNetwork
from tests.cluster.support import CommandLog

CommandNode = Node[CommandLog]
NOBODY = ClusterConfig("orders")


@attrs.define(eq=False)
class World:
    """Nodes on one network, and what their disks hold."""

    network: MemoryNetwork = attrs.field(factory=MemoryNetwork)
    disks: dict[str, MemoryDisk] = attrs.field(factory=dict[str, MemoryDisk])

    def opened(
        self,
        node_id: str,
        cluster: ClusterConfig = NOBODY,
        *,
        config: NodeConfig | None = None,
        voter: bool = True,
        ask: str = "n1.test:1",
        address: str = "",
    ) -> AbstractAsyncContextManager[CommandNode]:
        disk = self.disks.setdefault(node_id, MemoryDisk())
        joins = node_id not in cluster.voters
        return open_node(
            node_id,
            cluster=cluster,
            state_machine=CommandLog,
            storage=MemoryStorage(disk),
            transport=self.network.transport(node_id),
            config=config,
            join=Join(addresses=[ask], address=address or f"{node_id}.test:1", voter=voter) if joins else False,
        )

    async def ask(self, where: str, operation: str, /, **arguments: Any) -> dict[str, Any]:
        asked = await ask_cluster(self.network.transport("operator").ask, [where], operation, **arguments)
        return asked.reply


def cluster_of(*voters: str) -> ClusterConfig:
    return ClusterConfig("orders", {voter: f"{voter}.test:1" for voter in voters})


@pytest.fixture
def world(autojump_clock: MockClock) -> World:
    return World()


async def until(node: CommandNode, condition: Callable[[], bool]) -> None:
    with trio.fail_after(120):
        await trio.lowlevel.checkpoint()
        while not condition():  # noqa: ASYNC110 - what a node knows is no event
            await trio.sleep(0.01)
    assert node.crash is None


async def voting(*nodes: CommandNode) -> None:
    """Wait until all of these nodes know that they, and nobody else, vote."""
    ids = frozenset(node.node_id for node in nodes)

    def known(node: CommandNode) -> bool:
        members = node.members()
        return members.voters == ids and members.committed

    for node in nodes:
        await until(node, partial(known, node))


@asynccontextmanager
async def three(world: World, config: NodeConfig | None = None) -> AsyncGenerator[list[CommandNode]]:
    async with AsyncExitStack() as stack:
        cluster = cluster_of("n1", "n2", "n3")
        yield [await stack.enter_async_context(world.opened(name, cluster, config=config)) for name in cluster.voters]


async def leading(nodes: list[CommandNode]) -> CommandNode:
    leader = await nodes[0].wait_leader()
    return next(node for node in nodes if node.node_id == leader)


async def test_a_cluster_of_one_grows_to_three(world: World) -> None:
    async with world.opened("n1", cluster_of("n1")) as one:
        await one.wait_leader()
        results = [await one.propose(b"%d" % number) for number in range(20)]
        async with world.opened("n2") as two, world.opened("n3", ask="n2.test:1") as three:
            await voting(one, two, three)
            assert [node.cluster.voters for node in (two, three)] == [{"n1": "n1.test:1"}] * 2
            results.append(await one.propose(b"last"))
            await three.wait_applied(one.status().commit_index)
            configuration = three.members()
            assert configuration.members["n2"].address == "n2.test:1"
            stores = {name: world.disks[name].incarnation for name in ("n2", "n3")}
            found = await world.ask("n3.test:1", "members")
            assert {name: found["members"][name]["incarnation"] for name in stores} == stores
    assert results == list(range(1, 22))


async def test_a_node_that_has_joined_needs_nobody_to_start_again(world: World) -> None:
    async with world.opened("n1", cluster_of("n1")) as one:
        await one.wait_leader()
        async with world.opened("n2") as two:
            await voting(one, two)
    async with world.opened("n2", ask="nobody.test:1") as two:
        assert two.members().voters == frozenset({"n1", "n2"})
        async with world.opened("n1", cluster_of("n1")) as one:
            await one.wait_leader()
            leader = await leading([one, two])
            assert await leader.propose(b"x") == 1


async def test_one_may_join_to_learn_only(world: World) -> None:
    async with world.opened("n1", cluster_of("n1")) as one:
        await one.wait_leader()
        async with world.opened("n2", voter=False) as two:
            await until(one, lambda: "n2" in one.members().learners)
            await one.propose(b"x")
            await two.wait_applied(one.status().commit_index)
            assert two.members().voters == frozenset({"n1"})


async def test_who_is_demoted_before_it_knows_that_it_was_promoted_stays_demoted(world: World) -> None:
    async with world.opened("n1", cluster_of("n1")) as one:
        await one.wait_leader()
        async with world.opened("n2") as two:
            await until(one, lambda: len(one.members().voters) == 2 and one.members().committed)
            await one.change_members({"n1"}, {"n2"})
            await trio.sleep(10)
            assert one.members().voters == frozenset({"n1"})
            assert two.members().learners == frozenset({"n2"})


async def test_a_cluster_of_another_id_is_not_joined(world: World) -> None:
    async with world.opened("n1", cluster_of("n1")) as one:
        await one.wait_leader()
        with pytest.raises(OperationRefused, match="of cluster 'orders'"):
            async with world.opened("n2", ClusterConfig("stock")):
                raise AssertionError("it has started")


async def test_a_cluster_without_voters_has_to_be_joined() -> None:
    with pytest.raises(ConfigurationError, match=r"at least one voter: ClusterConfig\(voters="):
        Node(
            "n1",
            cluster=ClusterConfig("orders"),
            state_machine=CommandLog,
            storage=MemoryStorage(),
            transport=MemoryNetwork().transport("n1"),
        )


async def test_a_node_that_was_removed_does_not_join_again_by_itself(world: World) -> None:
    async with world.opened("n1", cluster_of("n1")) as one:
        await one.wait_leader()
        async with world.opened("n2") as two:
            await voting(one, two)
            leader = await leading([one, two])
            await leader.change_members({"n1"})
            await until(one, lambda: not two.status().is_member)
        async with world.opened("n2") as two:
            await trio.sleep(30)
            assert one.members().voters == frozenset({"n1"})
            assert not one.members().learners


async def test_a_wiped_voter_comes_back_as_a_new_member_where_it_may(world: World) -> None:
    config = NodeConfig(rejoin_if_wiped=True)
    async with three(world, config) as nodes:
        leader = await leading(nodes)
        for number in range(5):
            await leader.propose(b"%d" % number)
        wiped = next(node for node in nodes if node is not leader)
        name, old = wiped.node_id, world.disks[wiped.node_id].incarnation
        await wiped.aclose()
        world.disks[name] = MemoryDisk()
        async with world.opened(name, cluster_of("n1", "n2", "n3"), config=config) as back:
            assert not back.status().voted_for
            await until(back, lambda: back.members().config > 0 and back.members().committed)
            await until(back, lambda: name in back.members().voters and back.members().committed)
            new = world.disks[name].incarnation
            assert new != old
            found = await world.ask(f"{name}.test:1", "members")
            assert found["members"][name]["incarnation"] == new
            await leader.propose(b"last")
            await back.wait_applied(leader.status().commit_index)


async def test_a_wiped_voter_comes_back_though_all_others_were_restarted_and_have_never_met_it(world: World) -> None:
    """What they know of its old store is in their logs; that there is somebody of its id must not be taken for it."""
    config, cluster = NodeConfig(rejoin_if_wiped=True), cluster_of("n1", "n2", "n3")
    async with three(world, config) as nodes:
        leader = await leading(nodes)
        await leader.propose(b"x")
        await until(leader, lambda: all(member.incarnation for member in leader.members().members.values()))
        await voting(*nodes)
        assert await leader.propose(b"y") == 2
    world.disks["n2"] = MemoryDisk()
    async with world.opened("n1", cluster, config=config) as one, world.opened("n3", cluster, config=config) as other:
        await one.wait_leader()
        async with world.opened("n2", cluster, config=config) as back:
            await until(back, lambda: back.members().members["n2"].incarnation == world.disks["n2"].incarnation)
            await voting(one, other, back)


async def test_who_says_that_it_was_wiped_is_removed_first_though_it_was_met_with_no_other_store(world: World) -> None:
    """Who was restarted at the same time may have met it only since, and nothing is written down yet."""
    async with three(world) as nodes:
        leader = await leading(nodes)
        await leader.propose(b"x")
        name = next(node for node in nodes if node is not leader).node_id
        seen: list[MembershipChanged] = []
        async with leader.events() as channel:
            await world.ask(
                f"{leader.node_id}.test:1",
                "join",
                id=name,
                address=f"{name}.test:1",
                incarnation=world.disks[name].incarnation,
                features=sorted(FEATURES),
                wiped=True,
            )
            with contextlib.suppress(trio.WouldBlock):
                for _ in range(1_000):
                    event = channel.receive_nowait()
                    if isinstance(event, MembershipChanged):
                        seen.append(event)
        assert any(name not in event.voters | event.learners | event.outgoing for event in seen)
        assert name in seen[-1].voters
        assert leader.members().members[name].incarnation == world.disks[name].incarnation


async def test_a_wiped_voter_that_may_not_ends_and_says_why(world: World) -> None:
    async with three(world) as nodes:
        leader = await leading(nodes)
        await leader.propose(b"x")
        wiped = next(node for node in nodes if node is not leader)
        await wiped.aclose()
        world.disks[wiped.node_id] = MemoryDisk()
        with pytest.raises(StoreReplaced, match="rejoin_if_wiped"):
            async with world.opened(wiped.node_id, cluster_of("n1", "n2", "n3")):
                await trio.sleep(60)
        assert await leader.propose(b"y") == 2


async def test_an_id_that_is_in_use_is_not_given_away(world: World) -> None:
    async with three(world) as nodes:
        leader = await leading(nodes)
        await leader.propose(b"x")
        taken = next(node for node in nodes if node is not leader).node_id
        with pytest.raises(OperationRefused, match="another process uses its id") as refused:
            await world.ask(
                f"{leader.node_id}.test:1", "join", id=taken, address="elsewhere.test:1", incarnation="0123456789abcdef"
            )
        assert refused.value.kind == "StoreReplaced"
        assert leader.members().config == 0


async def test_a_new_node_may_have_the_address_of_one_that_is_gone(world: World) -> None:
    """And who is removed then is the one that is named (rqlite #2778)."""
    async with three(world) as nodes:
        leader = await leading(nodes)
        await leader.propose(b"x")
        gone = next(node for node in nodes if node is not leader)
        await gone.aclose()
        where, address = f"{leader.node_id}.test:1", f"{gone.node_id}.test:1"
        async with world.opened("n4", ask=where, address=address) as four:
            await until(four, lambda: "n4" in four.members().voters and four.members().committed)
            known = leader.members().members
            assert (known["n4"].address, known[gone.node_id].address) == (address, address)
            await world.ask(where, "remove", id=gone.node_id)
            await voting(four, *(node for node in nodes if node is not gone))
            assert await leader.propose(b"y") == 2
            await four.wait_applied(leader.status().commit_index)


async def test_a_node_that_was_away_lets_in_members_that_it_has_never_heard_of(world: World) -> None:
    async with AsyncExitStack() as stack:
        cluster = cluster_of("n1", "n2", "n3")
        one, two = [await stack.enter_async_context(world.opened(name, cluster)) for name in ("n1", "n2")]
        async with world.opened("n3", cluster) as three:
            await three.wait_leader()
        await (await leading([one, two])).propose(b"x")
        four = await stack.enter_async_context(world.opened("n4"))
        await until(four, lambda: "n4" in four.members().voters and four.members().committed)
        five = await stack.enter_async_context(world.opened("n5", ask="n4.test:1"))
        await until(five, lambda: "n5" in five.members().voters and five.members().committed)
        leader = await leading([one, two, four, five])
        changed = await leader.change_members({"n3", "n4", "n5"})
        assert changed.voters == frozenset({"n3", "n4", "n5"})
        await one.aclose()
        await two.aclose()
        # It knows n1, n2 and n3 alone, and both others are gone.
        back = await stack.enter_async_context(world.opened("n3", cluster))
        await until(back, lambda: back.members().voters == frozenset({"n3", "n4", "n5"}) and back.members().committed)
        leader = await leading([back, four, five])
        assert await leader.propose(b"y") == 2


async def test_operators_change_the_members(world: World) -> None:
    async with three(world) as nodes:
        leader = await leading(nodes)
        await leader.propose(b"x")
        other = next(node for node in nodes if node is not leader).node_id
        where = f"{other}.test:1"
        found = await world.ask(where, "demote", id=other)
        assert found["members"][other]["role"] == "learner"
        found = await world.ask(where, "promote", id=other)
        assert found["members"][other]["role"] == "voter"
        async with world.opened("n4", voter=False):
            await until(leader, lambda: "n4" in leader.members().learners)
            with pytest.raises(OperationRefused, match="a member already"):
                await world.ask(where, "add", id="n4", address="n4.test:1")
            found = await world.ask(where, "promote", id="n4")
            assert found["members"]["n4"]["role"] == "voter"
            found = await world.ask(where, "remove", id="n4")
            assert "n4" not in found["members"]
        with pytest.raises(OperationRefused, match="is no member"):
            await world.ask(where, "remove", id="n4")
