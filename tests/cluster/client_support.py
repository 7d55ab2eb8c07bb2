"""A state machine that clients read from, and clients of a simulated cluster."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import attrs
import trio
from typing_extensions import override

from raft_actors import NodeConfig, RaftClient, attrs_queries, open_client
from raft_actors.node.client_messages import Ask, pack
from raft_actors.testing import SimulatedCluster, open_cluster
from raft_actors.transports.conversation import Caller, Conversation
from tests.cluster.support import CommandLog

Cluster = SimulatedCluster[bytes, int]


@attrs.frozen
class Count:
    """How many commands there are."""

    def __call__(self, log: ReadableLog) -> int:
        return len(log.commands_applied)


@attrs.frozen
class At:
    """The command at a place."""

    place: int

    def __call__(self, log: ReadableLog) -> bytes:
        return log.commands_applied[self.place]


class _MostBytes:
    """Commands are bytes, and there is one that no node can read, as if it were of a newer version."""

    def encode(self, command: bytes) -> bytes:
        """The command itself."""
        return command

    def decode(self, data: bytes) -> bytes:
        """The command itself, unless nobody here can read it."""
        if data == UNREADABLE:
            raise KeyError("of a newer version")
        return data


UNREADABLE = b"unreadable"


class ReadableLog(CommandLog):
    """A list of commands that clients can look at."""

    commands = _MostBytes()

    queries = attrs_queries(Count | At)

    def apply(self, command: bytes) -> int:
        """Take a command in, but for one."""
        if command == b"no":
            raise ValueError("not that one")
        return super().apply(command)


Client = RaftClient[ReadableLog]


def open_readable(
    seed: int, *, nodes: int = 3, joiners: int = 0, config: NodeConfig | None = None
) -> AbstractAsyncContextManager[Cluster]:
    """A cluster of such state machines."""
    return open_cluster(ReadableLog, nodes=nodes, joiners=joiners, seed=seed, config=config or NodeConfig())


def client_of(
    cluster: Cluster, *addresses: str, name: str = "client", patience_s: float = 30.0
) -> AbstractAsyncContextManager[Client]:
    """A client that is told of these addresses, by default of the first node's."""
    return open_client(
        addresses or ("n1.test:1",),
        ReadableLog,
        cluster="simulated",
        dialer=cluster.network.dialer(name),
        patience_s=patience_s,
        seed=cluster.seed,
    )


class Deaf(Conversation):
    """A client that asks whether the node is there, again and again, and never reads that it is."""

    def __init__(self, count: int) -> None:
        self.asks = [pack(Ask.PING, 1)] * count

    @override
    async def send(self, payloads: Sequence[bytes]) -> None:
        await trio.sleep_forever()

    @override
    async def receive(self) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        if not self.asks:
            await trio.sleep_forever()
        return [self.asks.pop()]

    @override
    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def is_left_by_n1(cluster: Cluster, client: Conversation) -> None:
    """See a node end its conversation with a client."""
    endpoint = cluster.network.running["n1"].endpoint
    assert endpoint is not None
    assert endpoint.converse is not None
    with trio.fail_after(1.0):
        await endpoint.converse(client, Caller("deaf"))
