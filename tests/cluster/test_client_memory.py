"""What a node counts as held for a client: requests under way, and answers that it has not read."""

from __future__ import annotations

from collections.abc import Sequence

import trio
from typing_extensions import override

from raft_actors.node.client_messages import Ask, Tell, pack, packed, unpack
from raft_actors.raft.sessions import numbered
from raft_actors.transports.conversation import Caller, Conversation
from tests.cluster.client_support import Count, ReadableLog, open_readable


class Counting(Conversation):
    """A client that says what it is told to, and reads nothing until it may."""

    def __init__(self) -> None:
        self.says, self.asks = trio.open_memory_channel[bytes](10_000)
        self.may_read = trio.Event()
        self.held = 0
        self.told: list[bytes] = []

    @override
    async def send(self, payloads: Sequence[bytes]) -> None:
        await self.may_read.wait()
        self.told += payloads

    @override
    async def receive(self) -> list[bytes]:
        return [await self.asks.receive()]

    @override
    def hold(self, size: int) -> None:
        self.held += size

    @override
    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_requests_that_wait_and_answers_that_are_not_read_are_counted_while_they_are_held() -> None:
    async with open_readable(1) as cluster:
        await cluster.wait_for_one_leader()
        cluster.partition({"n1"}, {"n2", "n3"})
        endpoint = cluster.network.running["n1"].endpoint
        assert endpoint is not None
        assert endpoint.converse is not None
        client = Counting()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(endpoint.converse, client, Caller("counting"))
            # Proposals wait for a leader, and reads for what will be applied some day.
            for number in (1, 2, 3):
                client.says.send_nowait(pack(Ask.PROPOSE, number, packed([numbered(9, number, 0, bytes(100_000))])))
            count = ReadableLog.queries.encode(Count())
            query = {"query": count, "level": "ReadYourWrites", "bound": 10**9, "padding": bytes(100_000)}
            for number in (4, 5, 6):
                client.says.send_nowait(pack(Ask.READ, number, packed(query)))
            await trio.sleep(0.1)
            assert 600_000 <= client.held < 700_000
            for number in range(1, 7):
                client.says.send_nowait(pack(Ask.CANCEL, number))
            await trio.sleep(0.1)
            assert client.held < 100_000
            for _ in range(9_000):
                client.says.send_nowait(pack(Ask.PING, 1))
            await trio.sleep(0.1)
            unread = client.held
            client.may_read.set()
            await trio.sleep(0.1)
            assert (unread > 0, client.held) == (True, 0)
            assert sum(unpack(told)[0] == Tell.PONG for told in client.told) == 9_000
            nursery.cancel_scope.cancel()
