"""A receiver over streams in memory and a simulated clock; the test plays the peers."""

from __future__ import annotations

import attrs
import trio
import trio.testing
from trio.testing import MockClock

from raft_actors.raft.messages import Message
from raft_actors.transports import Endpoint, PeerStatistics, TransportStatistics, encode
from raft_actors.transports.tcp.receiver import Receiver
from raft_actors.transports.tcp.strangers import Strangers
from raft_actors.transports.wire.frames import FrameParser, frame
from raft_actors.transports.wire.handshake import THIS_VERSION, Answer, Hello, Verdict
from tests.transports.support import MAX_MESSAGE_BYTES, numbered

Stream = trio.abc.Stream


def hello(sender: str = "b", **changes: object) -> bytes:
    return frame(attrs.evolve(Hello("test", sender, "a"), **changes).encode())  # type: ignore[arg-type]


@attrs.define(eq=False)
class Node:
    """A receiver of node a, and what it delivers."""

    nursery: trio.Nursery
    clock: MockClock
    receiver: Receiver
    received: list[tuple[str, Message]]
    heard_of: list[str]

    @classmethod
    def make(cls, nursery: trio.Nursery, clock: MockClock) -> Node:
        received: list[tuple[str, Message]] = []
        heard_of: list[str] = []

        def deliver(sender: str, message: Message) -> bool:
            received.append((sender, message))
            return True

        peers = {"b": PeerStatistics(), "c": PeerStatistics()}
        receiver = Receiver(
            endpoint=Endpoint("test", "a", {"b": "", "c": ""}, deliver, MAX_MESSAGE_BYTES),
            peers=peers,
            totals=TransportStatistics(peers=peers),
            strangers=Strangers(3, 3, 2.0),
            heard_of=lambda greeting: heard_of.append(greeting.sender),
            protocol=THIS_VERSION,
        )
        return cls(nursery, clock, receiver, received, heard_of)

    async def connect(self, *said: bytes) -> Stream:
        """Open a connection, and say that."""
        ours, theirs = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.receiver.serve, theirs)
        for data in said:
            await say(ours, data)
        await trio.testing.wait_all_tasks_blocked()
        return ours

    async def join(self, sender: str = "b") -> Stream:
        stream = await self.connect(hello(sender))
        assert await verdict_of(stream) is Verdict.ACCEPTED
        return stream

    @property
    def totals(self) -> TransportStatistics:
        return self.receiver.totals


async def say(stream: Stream, data: bytes) -> None:
    await stream.send_all(data)
    await trio.testing.wait_all_tasks_blocked()


async def verdict_of(stream: Stream) -> Verdict:
    (payload,) = FrameParser(1_000).feed(await stream.receive_some())
    return Answer.decode(payload).verdict


async def assert_closed(stream: Stream) -> None:
    assert await stream.receive_some() == b""
    await trio.testing.wait_all_tasks_blocked()


async def assert_open(stream: Stream, node: Node, sender: str) -> None:
    await say(stream, frame(encode(numbered(99))))
    assert node.received[-1] == (sender, numbered(99))
