"""What a node does for operators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from raft_actors import ClusterConfig, Node, open_node
from raft_actors.node.asking import OperationRefused, ask_cluster, decode, encode
from raft_actors.node.operating import OPERATIONS, Operations
from raft_actors.node.permission import Purpose
from raft_actors.persistence import MemoryStorage
from raft_actors.transports import MemoryNetwork
from raft_actors.transports.conversation import Caller
from tests.cluster.support import CommandLog


@pytest.fixture
async def node() -> AsyncIterator[Node[CommandLog]]:
    async with open_node(
        "n1",
        cluster=ClusterConfig("orders", {"n1": "n1.test:1"}),
        state_machine=CommandLog,
        storage=MemoryStorage(),
        transport=MemoryNetwork().transport("n1"),
    ) as node:
        await node.wait_leader()
        await node.propose(b"x")
        yield node


def operations(node: Node[CommandLog]) -> Operations:
    return Operations(node, node._supervisor)  # pyright: ignore[reportPrivateUsage]


async def asked(node: Node[CommandLog], do: Any, cluster: Any = None, **arguments: Any) -> dict[str, Any]:
    """The reply to a request."""
    request = encode({"cluster": cluster, "do": do, "with": arguments})
    return decode(await operations(node).answer(request, Caller("10.0.0.9")))


async def test_it_says_how_it_stands(node: Node[CommandLog]) -> None:
    status = (await asked(node, "status", "orders"))["done"]
    assert (status["node_id"], status["cluster_id"], status["role"], status["leader"]) == (
        "n1",
        "orders",
        "leader",
        "n1",
    )
    assert status["state"] == "running"
    assert status["commit_index"] == node.status().commit_index
    assert status["peers"] == {}


async def test_it_takes_a_snapshot(node: Node[CommandLog]) -> None:
    done = (await asked(node, "snapshot"))["done"]
    assert done == {"node": "n1", "index": node.status().snapshot_index, "term": 1}
    assert done["index"]


async def test_it_says_why_it_does_not_hand_over(node: Node[CommandLog]) -> None:
    error = (await asked(node, "transfer"))["error"]
    assert error["kind"] == "TransferRefused"
    assert error["text"]


@pytest.mark.parametrize(
    ("do", "cluster", "text"),
    [
        ("status", "stock", "this is node 'n1' of cluster 'orders'"),
        ("dance", None, "can't 'dance'"),
        (None, None, "can't 'None'"),
        (["status"], None, "can't"),
    ],
    ids=str,
)
async def test_what_it_does_not_do(node: Node[CommandLog], do: Any, cluster: Any, text: str) -> None:
    error = (await asked(node, do, cluster))["error"]
    assert text in error["text"]


async def test_arguments_that_are_none(node: Node[CommandLog]) -> None:
    reply = decode(await operations(node).answer(encode({"do": "status", "with": [1]}), Caller("somebody")))
    assert reply["error"]["kind"] == "ProtocolError"
    assert (await asked(node, "transfer", to=7))["error"]["kind"] == "ProtocolError"
    assert decode(await operations(node).answer(b"status", Caller("somebody")))["error"]["kind"] == "ProtocolError"


def test_what_changes_something_takes_the_right_to() -> None:
    assert {name for name, operation in OPERATIONS.items() if operation.purpose in (Purpose.SEE, Purpose.MEET)} <= {
        "status",
        "members",
    }


async def test_a_follower_names_the_leader_and_the_leader_does_it() -> None:
    network = MemoryNetwork()
    cluster = ClusterConfig("orders", {"n1": "one.test:1", "n2": "two.test:1", "n3": "three.test:1"})

    def opened(node_id: str) -> Any:
        return open_node(
            node_id,
            cluster=cluster,
            state_machine=CommandLog,
            storage=MemoryStorage(),
            transport=network.transport(node_id),
        )

    async with opened("n1") as one, opened("n2"), opened("n3"):
        leader = await one.wait_leader()
        follower, target = (node_id for node_id in cluster.voters if node_id != leader)
        ask = network.transport("operator").ask
        done = await ask_cluster(ask, [cluster.voters[follower]], "transfer", cluster_id="orders", to=target)
        assert (done.reply, done.address) == ({"leader": target}, cluster.voters[leader])
        with pytest.raises(OperationRefused, match="cluster 'orders'"), trio.fail_after(60):
            await ask_cluster(ask, ["one.test:1"], "status", cluster_id="stock")
