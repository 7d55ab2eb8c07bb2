"""A sender over streams in memory and a simulated clock; the test plays the peer."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import attrs
import trio
import trio.testing
from trio.testing import MockClock

from raft_actors.node_log import NodeLog
from raft_actors.raft.messages import InstallSnapshot, Message
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.transports import PeerStatistics, TransportStatistics, decode
from raft_actors.transports.tcp.backoff import Backoff
from raft_actors.transports.tcp.sender import PeerSender
from raft_actors.transports.wire.frames import FrameParser, frame
from raft_actors.transports.wire.handshake import THIS_VERSION, Hello, Verdict
from tests.transports.support import MAX_MESSAGE_BYTES, answer

HELLO = frame(Hello("test", "a", "b").encode())
Stream = trio.abc.Stream


@attrs.define(eq=False)
class Line:
    """Where the sender dials: each dial waits for the test to `pick_up` or `refuse`."""

    clock: MockClock
    dials: list[float] = attrs.field(factory=list[float])
    pair: Callable[[], tuple[Stream, Stream]] = trio.testing.memory_stream_pair
    _answers: list[Stream | Exception] = attrs.field(factory=list["Stream | Exception"])
    _dialled: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    async def connect(self) -> Stream:
        self.dials.append(trio.current_time())
        while not self._answers:
            await self._dialled.park()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def refuse(self, error: Exception | None = None) -> None:
        self._answers.append(error or ConnectionRefusedError("nobody there"))
        self._dialled.unpark_all()

    async def pick_up(self, verdict: Verdict = Verdict.ACCEPTED) -> Stream:
        """Answer the next dial with that verdict."""
        stream = await self.pick_up_silently()
        await stream.send_all(answer(verdict))
        await trio.testing.wait_all_tasks_blocked()
        return stream

    async def pick_up_silently(self) -> Stream:
        ours, theirs = self.pair()
        self._answers.append(ours)
        self._dialled.unpark_all()
        said = b""
        while len(said) < len(HELLO):
            said += await theirs.receive_some(len(HELLO) - len(said))
        assert said == HELLO
        return theirs


def make(line: Line, **settings: int) -> PeerSender:
    return PeerSender(
        peer="b",
        log=NodeLog(logging.getLogger(__name__), "a"),
        connect=line.connect,
        hello=lambda: HELLO,
        protocol=THIS_VERSION,
        statistics=PeerStatistics(),
        totals=TransportStatistics(),
        max_message_bytes=MAX_MESSAGE_BYTES,
        max_queue_messages=settings.get("max_queue_messages", 8),
        max_queue_bytes=settings.get("max_queue_bytes", 1_000_000),
        connect_timeout_s=2.0,
        backoff=Backoff(1.0, 8.0, random.Random(1)),
    )


@asynccontextmanager
async def running(sender: PeerSender) -> AsyncGenerator[PeerSender]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        await trio.testing.wait_all_tasks_blocked()
        yield sender
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def connected(line: Line, **settings: int) -> AsyncGenerator[tuple[PeerSender, Stream]]:
    """A sender whose first dial was answered, and the peer's end."""
    async with running(make(line, **settings)) as sender:
        yield sender, await line.pick_up()


async def pass_time(line: Line, seconds: float) -> None:
    await trio.testing.wait_all_tasks_blocked()
    line.clock.jump(seconds)
    await trio.testing.wait_all_tasks_blocked()


async def read(stream: Stream, count: int) -> list[Message]:
    parser, messages = FrameParser(MAX_MESSAGE_BYTES), list[Message]()
    while len(messages) < count:
        messages += map(decode, parser.feed(await stream.receive_some(65_536)))
    return messages


def chunk(size: int) -> Message:
    return InstallSnapshot(1, SnapshotMetadata(1, 1), 0, bytes(size), False)


async def answer_in_lockstep(line: Line) -> Stream:
    """A peer that accepts; from then on the sender's writes wait until they are read."""
    theirs = await line.pick_up_silently()
    await theirs.send_all(answer())
    await trio.testing.wait_all_tasks_blocked()
    return theirs
