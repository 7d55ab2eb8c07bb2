"""What somebody may do who goes by a node's certificate: all while that node is a member, and else ask to be one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from raft_actors import ClusterConfig, Join, Node, NodeConfig, RaftClient, open_client, open_node
from raft_actors.errors import TransportError
from raft_actors.node.asking import OperationRefused, ask_cluster
from raft_actors.node.operating import OPERATIONS
from raft_actors.node.permission import Purpose, refusal_of
from raft_actors.persistence import MemoryDisk, MemoryStorage
from raft_actors.transports import MemoryNetwork
from raft_actors.transports.conversation import Caller, Right
from raft_actors.transports.memory_conversations import MemoryDialer
from tests.cluster.client_support import Count, ReadableLog

CLUSTER = ClusterConfig("orders", {name: f"{name}.test:1" for name in ("n1", "n2", "n3")})
CONFIG = NodeConfig(rejoin_if_wiped=True)


class World:
    """A cluster on a network that knows by certificates who asks."""

    def __init__(self, *, join_requests: bool = True) -> None:
        self.config = attrs.evolve(CONFIG, join_requests=join_requests)
        self.network = MemoryNetwork(certified=True)
        self.disks: dict[str, MemoryDisk] = {}

    @asynccontextmanager
    async def opened(self, name: str, join: Join | None = None) -> AsyncGenerator[Node[ReadableLog]]:
        disk = self.disks.setdefault(name, MemoryDisk())
        async with open_node(
            name,
            cluster=CLUSTER if join is None else ClusterConfig("orders"),
            state_machine=ReadableLog,
            storage=MemoryStorage(disk),
            transport=self.network.transport(name),
            config=self.config,
            join=join or False,
        ) as node:
            yield node

    async def ask(self, name: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Have the cluster do something, by the certificate of this node, which need not run."""
        asked = await ask_cluster(self.network.transport(name).ask, ["n1", "n2"], operation, **arguments)
        return asked.reply

    def refused(self) -> int:
        """How often somebody was, for being no member."""
        counted = [transport.statistics().refused_by_reason for transport in self.network.running.values()]
        return sum(reasons["NOT_A_MEMBER"] for reasons in counted)

    def dialer(self, name: str) -> MemoryDialer:
        """The way of a client that has this node's certificate."""
        return attrs.evolve(self.network.dialer(f"client with the key of {name}"), certified_as=name)

    def client(self, name: str) -> AbstractAsyncContextManager[RaftClient[ReadableLog]]:
        return open_client(["n1", "n2"], ReadableLog, cluster="orders", dialer=self.dialer(name), patience_s=5.0)


async def until(condition: Callable[[], bool], within_s: float) -> None:
    with trio.fail_after(within_s):
        await trio.lowlevel.checkpoint()
        while not condition():  # noqa: ASYNC110 - what a node knows is no event
            await trio.sleep(0.01)


def knows_members(node: Node[ReadableLog], members: set[str]) -> bool:
    found = node.members()
    return found.committed and {*found.members} == members


async def test_a_certificate_is_worth_what_its_node_is(autojump_clock: MockClock) -> None:
    world = World()
    async with world.opened("n1") as one, world.opened("n2") as two:
        async with world.opened("n3"):
            await one.wait_leader()
            async with world.client("n3") as client:
                assert await client.propose(b"a member's") == 1
            conversation = await world.dialer("n3").dial("n2", "orders")
            assert await conversation.receive()

            # It asks for its own end, and hears that it came; its client is parted from at once.
            found = await world.ask("n3", "remove", id="n3")
            assert sorted(found["members"]) == ["n1", "n2"]
            with trio.fail_after(1.0):
                while await conversation.receive():
                    pass
            assert world.refused() == 1
            with pytest.raises(TransportError, match="'n3' is no member"):
                await world.dialer("n3").dial("n2", "orders")
            assert world.refused() == 2

        # It may learn the way in, and ask to be a member itself, and nothing else.
        shown = await world.ask("n3", "members")
        assert shown["initial_voters"] == dict(CLUSTER.voters)
        assert "members" not in shown
        counted = world.refused()
        for operation in sorted(OPERATIONS.keys() - {"members"}):
            with pytest.raises(OperationRefused, match="n3 is no member") as refused:
                await world.ask("n3", operation, id="n2", address="n2.test:1", incarnation="0", to="n2", wiped=True)
            assert refused.value.kind == "NotPermitted"
        assert world.refused() == counted + len(OPERATIONS) - 1
        assert knows_members(one, {"n1", "n2"})

        # As a member again it has its rights again: another node's too, if that asks for them.
        world.disks["n3"] = MemoryDisk()
        async with world.opened("n3", Join(addresses=["n1"], address="n3.test:1")) as three:
            await until(partial(knows_members, one, {"n1", "n2", "n3"}), within_s=60.0)
            await until(lambda: "n3" in one.members().voters and knows_members(two, {"n1", "n2", "n3"}), within_s=60.0)
            async with world.client("n3") as client:
                assert await client.propose(b"a member's again") == 2
                assert await client.read(Count()) == 2
            await three.aclose(leave=True)
        await until(partial(knows_members, one, {"n1", "n2"}), within_s=60.0)
        with pytest.raises(OperationRefused, match="is no member"):
            await world.ask("n3", "status")


async def test_where_an_operator_has_to_add_it_none_comes_back_that_was_removed(autojump_clock: MockClock) -> None:
    """But one that was wiped comes back by itself, where it may: it is a member."""
    world = World(join_requests=False)
    async with world.opened("n1") as one, world.opened("n2") as two:
        async with world.opened("n3"):
            await one.wait_leader()
            await until(lambda: bool(one.members().members["n3"]) and knows_members(two, {*CLUSTER.voters}), 60.0)
            await one.propose(b"x") if one.status().leader == "n1" else await two.propose(b"x")
            await trio.sleep(5.0)  # until the configuration names its store
        world.disks["n3"] = MemoryDisk()
        async with world.opened("n3") as three:
            await until(lambda: three.members().voters == frozenset(CLUSTER.voters) and three.status().is_member, 60.0)
            assert await three.propose(b"y") == 2

        await world.ask("n1", "remove", id="n3")
        with pytest.raises(OperationRefused, match=r"n3 is no member.*raft-actors add"):
            await world.ask("n3", "join", id="n3", address="n3.test:1", incarnation="0")
        world.disks["n3"] = MemoryDisk()
        async with world.opened("n3", Join(addresses=["n1"], address="n3.test:1")) as three:
            await trio.sleep(60.0)
            assert knows_members(one, {"n1", "n2"})
            await world.ask("n1", "add", id="n3", address="n3.test:1")
            await until(lambda: three.members().voters == frozenset(CLUSTER.voters) and three.status().is_member, 60.0)
            assert await three.propose(b"z") == 3


def test_what_a_caller_may_have_done() -> None:
    reader, operator = Caller("reports", frozenset({Right.READ})), Caller("alice", frozenset({Right.OPERATE}))
    newcomer = Caller("n4", speaks_for="n4".__eq__)
    for caller, purpose, node_id, trusted, reason in (
        (reader, Purpose.MEET, None, True, "NO_RIGHT"),
        (operator, Purpose.OPERATE, "n1", True, ""),
        (newcomer, Purpose.OPERATE, "n4", True, ""),
        (newcomer, Purpose.OPERATE, "n4", False, "NOT_A_MEMBER"),
        (newcomer, Purpose.SEE, None, False, "NOT_A_MEMBER"),
        (newcomer, Purpose.MEET, None, False, ""),
        (newcomer, Purpose.JOIN, "n4", False, ""),
        (newcomer, Purpose.JOIN, "n1", False, "NOT_A_MEMBER"),
        (newcomer, Purpose.JOIN, ["n4"], False, "NOT_A_MEMBER"),
    ):
        refusal = refusal_of(caller, purpose, {"id": node_id}, trusted=trusted)
        assert (refusal.reason if refusal else "") == reason
    assert refusal_of(newcomer, Purpose.JOIN, {"id": "n4"}, trusted=False, join_requests=False)
    assert not refusal_of(newcomer, Purpose.JOIN, {"id": "n4"}, trusted=True, join_requests=False)
