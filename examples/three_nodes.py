"""Three nodes in one process, for examples that are about something else than processes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from raft_actors import ClusterConfig, Node, StateMachine, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.transports import MemoryNetwork

M = TypeVar("M", bound=StateMachine[Any, Any])


@asynccontextmanager
async def three_nodes(make: Callable[[], M]) -> AsyncGenerator[Mapping[str, Node[M]], None]:
    """Open n1, n2 and n3; the block begins when all know the leader. They forget everything at the end."""
    network = MemoryNetwork()
    cluster = ClusterConfig("example", voters=dict.fromkeys(("n1", "n2", "n3"), "memory"))
    async with AsyncExitStack() as stack:
        nodes: dict[str, Node[M]] = {}
        for name in cluster.voters:
            opening = open_node(
                name, cluster=cluster, state_machine=make, storage=MemoryStorage(), transport=network.transport(name)
            )
            nodes[name] = await stack.enter_async_context(opening)
        for node in nodes.values():
            await node.wait_leader()
        yield nodes


def leader_of(nodes: Mapping[str, Node[M]]) -> Node[M]:
    """The node that leads."""
    return next(node for node in nodes.values() if node.status().role == "leader")


def follower_of(nodes: Mapping[str, Node[M]]) -> Node[M]:
    """One that does not."""
    return next(node for node in nodes.values() if node.status().role == "follower")
