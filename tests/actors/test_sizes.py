"""Sizes that differ between nodes, or were lowered since something was stored: a follower gets it all the same."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable
from contextlib import AsyncExitStack, suppress

import pytest
import trio
from trio.testing import MockClock

from raft_actors import ClusterConfig, Node, NodeConfig, StateMachine, open_node
from raft_actors.config import MIB
from raft_actors.errors import LeadershipLost, NotLeader
from raft_actors.persistence import MemoryDisk, MemoryStorage
from raft_actors.transports import MemoryNetwork

LARGE = b"x" * (22 * MIB)  # 20 MiB and a little were taken before, whatever the settings of the sender
SMALL = NodeConfig(trailing_entries=0)
IDS = ("n1", "n2", "n3")
CLUSTER = ClusterConfig("orders", dict.fromkeys(IDS, ""))


class Sizes(StateMachine[bytes, int]):
    """Keeps how large the commands were, and gives all of them back as one snapshot chunk."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def apply(self, command: bytes) -> int:
        self.sizes.append(len(command))
        return len(self.sizes)

    def snapshot(self) -> list[bytes]:
        return [b"".join(b"x" * size + b"|" for size in self.sizes)]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        data = b"".join([chunk async for chunk in chunks])
        self.sizes = [len(piece) for piece in data.split(b"|")[:-1]]


class World:
    """Three disks, and nodes that are started on them."""

    def __init__(self) -> None:
        self.disks = {node_id: MemoryDisk() for node_id in IDS}
        self.network = MemoryNetwork(seed=1)

    async def start(self, stack: AsyncExitStack, node_id: str, config: NodeConfig) -> tuple[Node[Sizes], Sizes]:
        machine = Sizes()
        opening = open_node(
            node_id,
            cluster=CLUSTER,
            state_machine=machine,
            storage=MemoryStorage(self.disks[node_id]),
            transport=self.network.transport(node_id),
            config=config,
        )
        return await stack.enter_async_context(opening), machine


async def propose(nodes: list[Node[Sizes]], command: bytes) -> int:
    """Propose at whoever leads."""
    for node in itertools.cycle(nodes):
        await node.wait_leader()
        with suppress(NotLeader, LeadershipLost):
            await node.propose(command, forward=False)
            return node.status().commit_index
    raise AssertionError("there is always a next node")


@pytest.mark.parametrize("later", ["lowered", "lowered for one"])
@pytest.mark.parametrize(
    ("before", "snapshot"),
    [
        (NodeConfig(max_command_bytes=32 * MIB), False),
        (NodeConfig(max_command_bytes=32 * MIB, snapshot_chunk_bytes=32 * MIB, trailing_entries=0), True),
    ],
    ids=["entries", "snapshot chunks"],
)
async def test_stored_entries_larger_than_the_limits_of_today(
    mock_clock: MockClock, before: NodeConfig, snapshot: bool, later: str
) -> None:
    mock_clock.autojump_threshold = 0
    world = World()
    with trio.fail_after(600):
        async with AsyncExitStack() as stack:
            nodes = [(await world.start(stack, node_id, before))[0] for node_id in ("n1", "n2")]
            index = await propose(nodes, LARGE)
            for node in nodes:
                await node.wait_applied(index)
                if snapshot:
                    await node.take_snapshot()
        async with AsyncExitStack() as stack:
            config = SMALL if later == "lowered" else before
            nodes = [(await world.start(stack, node_id, config))[0] for node_id in ("n1", "n2")]
            index = await propose(nodes, b"later")
            third, machine = await world.start(stack, "n3", SMALL)
            await third.wait_applied(index)
            assert machine.sizes == [len(LARGE), 5]
