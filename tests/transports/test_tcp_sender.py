"""The way out, over streams in memory and a simulated clock; the test plays the peer."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from raft_actors.messages import InstallSnapshot, Message, SnapshotMetadata
from raft_actors.transports import PeerStatistics, TransportStatistics, decode, encode
from raft_actors.transports.codec import size_bound
from raft_actors.transports.frames import FrameParser, frame
from raft_actors.transports.handshake import Hello, Verdict, encode_answer
from raft_actors.transports.tcp_sender import Backoff, PeerSender
from tests.transports.support import MAX_MESSAGE_BYTES, numbered

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
        await stream.send_all(frame(encode_answer(verdict)))
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


@pytest.fixture
def line(mock_clock: MockClock) -> Line:
    """Time stands still until the test moves it, if that too asks for `mock_clock`."""
    return Line(mock_clock)


def make(line: Line, **settings: int) -> PeerSender:
    return PeerSender(
        peer="b",
        connect=line.connect,
        hello=HELLO,
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


# --- sending -------------------------------------------------------------------------------------------------


async def test_messages_are_sent_in_order(line: Line) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up()
        for number in range(3):
            assert sender.send_nowait(numbered(number))
        assert await read(stream, 3) == [numbered(number) for number in range(3)]


async def test_all_that_is_queued_shares_one_write(line: Line) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up()
        for number in range(5):
            sender.send_nowait(numbered(number))
        await trio.testing.wait_all_tasks_blocked()
        # Without the join, only the first frame would be in the first read.
        assert await stream.receive_some(65_536) == b"".join(frame(encode(numbered(number))) for number in range(5))


async def test_a_long_queue_is_written_in_several_parts(line: Line) -> None:
    line.pair = trio.testing.lockstep_stream_pair
    async with running(make(line)) as sender:
        theirs = await answer_in_lockstep(line)
        for _ in range(5):
            assert sender.send_nowait(chunk(90_000))
        await trio.testing.wait_all_tasks_blocked()
        assert sender.fill_in().queued_messages == 2  # three make 256 KiB
        await read(theirs, 5)
        assert sender.fill_in().queued_messages == sender.fill_in().queued_bytes == 0


async def answer_in_lockstep(line: Line) -> Stream:
    """A peer that accepts; from then on the sender's writes wait until they are read."""
    theirs = await line.pick_up_silently()
    await theirs.send_all(frame(encode_answer(Verdict.ACCEPTED)))
    await trio.testing.wait_all_tasks_blocked()
    return theirs


async def test_the_queue_is_bounded_in_messages(line: Line) -> None:
    async with running(make(line, max_queue_messages=3)) as sender:
        await line.pick_up()
        assert [sender.send_nowait(numbered(number)) for number in range(4)] == [True] * 3 + [False]
        assert sender.statistics.dropped_messages == 1


async def test_the_queue_is_bounded_in_bytes(line: Line) -> None:
    async with running(make(line, max_queue_bytes=2 * size_bound(chunk(1_000)))) as sender:
        await line.pick_up()
        assert [sender.send_nowait(chunk(1_000)) for _ in range(3)] == [True, True, False]
        assert sender.fill_in().queued_bytes == 2 * size_bound(chunk(1_000))


async def test_an_empty_queue_takes_a_message_of_any_legal_size(line: Line) -> None:
    async with running(make(line, max_queue_bytes=10)) as sender:
        stream = await line.pick_up()
        assert [sender.send_nowait(chunk(1_000)) for _ in range(2)] == [True, False]
        assert await read(stream, 1) == [chunk(1_000)]


async def test_a_peer_that_never_reads_fills_its_queue_and_no_more(line: Line, mock_clock: MockClock) -> None:
    line.pair = trio.testing.lockstep_stream_pair
    async with running(make(line, max_queue_messages=3)) as sender:
        await answer_in_lockstep(line)
        assert sender.send_nowait(numbered(0))
        await trio.testing.wait_all_tasks_blocked()  # the task has taken it, and writes
        assert [sender.send_nowait(numbered(number)) for number in range(4)] == [True] * 3 + [False]
        await pass_time(line, 1_000)
        assert sender.statistics.connected


async def test_counters(line: Line) -> None:
    async with running(make(line)) as sender:
        assert not sender.statistics.connected
        stream = await line.pick_up()
        assert (sender.statistics.connected, sender.statistics.connects) == (True, 1)
        sender.send_nowait(numbered(1))
        assert sender.fill_in().queued_messages == 1
        await read(stream, 1)
        counted = sender.fill_in()
        assert (counted.sent_messages, counted.sent_bytes) == (1, len(frame(encode(numbered(1)))))
        assert (counted.queued_messages, counted.dropped_messages) == (0, 0)
    assert not sender.statistics.connected


# --- the queue and the connection ----------------------------------------------------------------------------


async def test_what_is_said_while_dialling_is_sent_once_connected(line: Line) -> None:
    async with running(make(line)) as sender:
        assert sender.send_nowait(numbered(1))
        stream = await line.pick_up()
        assert await read(stream, 1) == [numbered(1)]


async def test_a_failed_dial_drops_the_queue_and_further_messages_are_refused(
    line: Line, mock_clock: MockClock
) -> None:
    async with running(make(line)) as sender:
        assert sender.send_nowait(numbered(1))
        line.refuse()
        await trio.testing.wait_all_tasks_blocked()
        assert sender.fill_in().queued_messages == sender.fill_in().queued_bytes == 0
        assert sender.statistics.dropped_messages == 1
        assert not sender.send_nowait(numbered(2))
        assert sender.statistics.dropped_messages == 2
        await pass_time(line, 1)
        assert sender.send_nowait(numbered(3))  # the next dial is under way
        stream = await line.pick_up()
        assert await read(stream, 1) == [numbered(3)]


async def test_a_connection_that_the_peer_closes_is_replaced(line: Line, mock_clock: MockClock) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up()
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert not sender.statistics.connected
        assert not sender.send_nowait(numbered(1))
        await pass_time(line, 1)
        stream = await line.pick_up()
        assert sender.send_nowait(numbered(2))
        assert await read(stream, 1) == [numbered(2)]
        assert sender.statistics.connects == 2


async def test_what_a_broken_connection_leaves_in_the_queue_is_dropped(line: Line) -> None:
    line.pair = trio.testing.lockstep_stream_pair
    async with running(make(line)) as sender:
        stream = await answer_in_lockstep(line)
        sender.send_nowait(numbered(0))
        await trio.testing.wait_all_tasks_blocked()
        sender.send_nowait(numbered(1))
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert sender.statistics.dropped_messages == 1
        assert sender.fill_in().queued_messages == 0


async def test_a_peer_that_speaks_out_of_turn_is_left(line: Line) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up()
        await stream.send_all(b"x")
        await trio.testing.wait_all_tasks_blocked()
        assert sender.totals.protocol_errors == 1
        assert not sender.statistics.connected


@attrs.define(eq=False)
class Breaking(trio.abc.Stream):
    """A stream that breaks, rather than ends, in one of its directions."""

    stream: Stream
    breaks_reading: bool
    broken: trio.Event = attrs.field(factory=trio.Event)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.broken.is_set() and not self.breaks_reading:
            raise trio.BrokenResourceError("no way out")
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if max_bytes != 1:  # the handshake
            return await self.stream.receive_some(max_bytes)
        await self.broken.wait()
        if not self.breaks_reading:
            await trio.sleep_forever()
        raise trio.BrokenResourceError("no way in")

    async def aclose(self) -> None:
        await self.stream.aclose()


@pytest.mark.parametrize("breaks_reading", [True, False], ids=["reading", "writing"])
async def test_a_connection_that_breaks_is_replaced(line: Line, mock_clock: MockClock, breaks_reading: bool) -> None:
    streams: list[Breaking] = []

    def pair() -> tuple[Stream, Stream]:
        ours, theirs = trio.testing.memory_stream_pair()
        streams.append(Breaking(ours, breaks_reading))
        return streams[-1], theirs

    line.pair = pair
    async with running(make(line)) as sender:
        await line.pick_up()
        streams[0].broken.set()
        sender.send_nowait(numbered(1))
        await trio.testing.wait_all_tasks_blocked()
        assert not sender.statistics.connected
        await pass_time(line, 1)
        await line.pick_up()
        assert sender.statistics.connects == 2


@pytest.mark.parametrize("moment", ["dialling", "handshake", "connected", "waiting"])
async def test_a_cancelled_sender_leaves_nothing_open(line: Line, moment: str) -> None:
    stream: Stream | None = None
    async with running(make(line)) as sender:
        if moment == "handshake":
            stream = await line.pick_up_silently()
        elif moment == "connected":
            stream = await line.pick_up()
        elif moment == "waiting":
            line.refuse()
            await trio.testing.wait_all_tasks_blocked()
        sender.send_nowait(numbered(1))
    assert not sender.send_nowait(numbered(2))
    assert sender.fill_in().queued_messages == 0
    if stream is not None:
        while await stream.receive_some():
            pass  # ends only because the other end is closed


# --- the handshake -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.ACCEPTED])
async def test_a_refusal_is_counted_by_reason_and_the_peer_dialled_again(
    line: Line, mock_clock: MockClock, verdict: Verdict
) -> None:
    async with running(make(line)) as sender:
        await line.pick_up(verdict)
        counted = sender.statistics
        assert (counted.refusals, counted.last_refusal) == (1, verdict.name)
        assert (counted.connects, sender.totals.protocol_errors) == (0, 0)
        assert not sender.send_nowait(numbered(1))
        await pass_time(line, 1)
        await line.pick_up()
        assert sender.statistics.connected


@pytest.mark.parametrize("answer", [frame(b"HTTP/1.1"), b"\xff\xff\xff\xff", frame(b"RAFT\0\1\x63")], ids=repr)
async def test_an_answer_that_is_none_is_a_protocol_error(line: Line, answer: bytes) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up_silently()
        await stream.send_all(answer)
        await trio.testing.wait_all_tasks_blocked()
        assert sender.totals.protocol_errors == 1
        assert not sender.statistics.connected
        assert await stream.receive_some() == b""


async def test_an_answer_may_come_byte_by_byte(line: Line) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up_silently()
        for byte in frame(encode_answer(Verdict.ACCEPTED)):
            assert not sender.statistics.connected
            await stream.send_all(bytes([byte]))
            await trio.testing.wait_all_tasks_blocked()
        assert sender.statistics.connected


async def test_a_peer_that_hangs_up_in_the_handshake_is_dialled_again(line: Line, mock_clock: MockClock) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up_silently()
        await stream.aclose()
        await pass_time(line, 1)
        await line.pick_up()
        assert sender.statistics.connected


async def test_an_attempt_is_limited_in_time(line: Line, mock_clock: MockClock) -> None:
    async with running(make(line)) as sender:
        sender.send_nowait(numbered(1))
        await pass_time(line, 1.9)
        stream = await line.pick_up_silently()  # dialling and handshake share one limit
        assert sender.statistics.dropped_messages == 0
        await pass_time(line, 0.2)
        assert sender.statistics.dropped_messages == 1
        assert await stream.receive_some() == b""


async def test_a_connection_that_stands_is_not_limited_in_time(line: Line, mock_clock: MockClock) -> None:
    async with running(make(line)) as sender:
        await line.pick_up()
        await pass_time(line, 1_000)
        assert sender.statistics.connected


# --- waits ---------------------------------------------------------------------------------------------------


def test_waits_double_up_to_the_longest_less_a_random_part() -> None:
    backoff = Backoff(1.0, 8.0, random.Random(1))
    waits = [backoff.next_s() for _ in range(6)]
    for wait, longest in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert longest / 2 <= wait <= longest
    assert len({wait / longest for wait, longest in zip(waits, [1, 2, 4, 8, 8, 8], strict=True)}) == 6
    backoff.reset()
    assert 0.5 <= backoff.next_s() <= 1


async def test_failed_dials_come_ever_more_rarely_until_one_succeeds(line: Line, mock_clock: MockClock) -> None:
    async with running(make(line)):
        for dials, longest in enumerate((1, 2, 4, 8, 8), start=1):
            line.refuse()
            await pass_time(line, longest / 2 - 0.01)
            assert len(line.dials) == dials
            await pass_time(line, longest / 2 + 0.02)
            assert len(line.dials) == dials + 1
        stream = await line.pick_up()
        await stream.aclose()
        await pass_time(line, 1)
        assert len(line.dials) == 7


async def test_a_peer_that_is_heard_of_is_dialled_at_once(line: Line, mock_clock: MockClock) -> None:
    async with running(make(line)) as sender:
        for _ in range(3):
            line.refuse()
            await pass_time(line, 8)
        line.refuse()
        await trio.testing.wait_all_tasks_blocked()
        assert not sender.send_nowait(numbered(1))
        sender.hurry()
        await trio.testing.wait_all_tasks_blocked()
        assert sender.send_nowait(numbered(2))
        line.refuse()
        await pass_time(line, 1)  # and the waits begin anew
        await line.pick_up()


@pytest.mark.parametrize("error", [OSError("no route"), UnicodeError("no such host")], ids=repr)
async def test_what_keeps_it_from_connecting_is_logged_once(
    line: Line, mock_clock: MockClock, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level(logging.WARNING)

    def troubles() -> list[str]:
        return [record.getMessage() for record in caplog.records]

    async with running(make(line)):
        for _ in range(3):
            line.refuse(error)
            await pass_time(line, 8)
        assert troubles() == [f"peer b: no connection: {error}"]
        stream = await line.pick_up()
        await stream.aclose()
        await pass_time(line, 8)
        line.refuse(error)
        await pass_time(line, 8)
        assert troubles()[1:] == ["peer b: it closed the connection", f"peer b: no connection: {error}"]
        for _ in range(2):  # the same trouble, but after a connection that stood
            await (await line.pick_up()).aclose()
            await pass_time(line, 8)
        assert troubles()[3:] == ["peer b: it closed the connection"] * 2


async def test_a_bug_in_connecting_is_not_taken_for_the_networks(line: Line) -> None:
    async def run(work: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises(ZeroDivisionError):
            await work()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, make(line).run)
        line.refuse(ZeroDivisionError())
