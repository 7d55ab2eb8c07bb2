"""The way out, while a connection stands and when it breaks: the queue, and what becomes of it."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.messages import AppendEntries, ForwardProposals, Message, RequestVote
from raft_actors.transports import encode
from raft_actors.transports.sockets.stream import TcpStream
from raft_actors.transports.wire.codec import size_bound
from raft_actors.transports.wire.frames import frame
from tests.transports.sending import (
    Line,
    Stream,
    answer_in_lockstep,
    chunk,
    connected,
    make,
    pass_time,
    read,
    running,
)
from tests.transports.support import numbered


async def test_messages_are_sent_in_order(line: Line) -> None:
    async with connected(line) as (sender, stream):
        for number in range(3):
            assert sender.send_nowait(numbered(number))
        assert await read(stream, 3) == [numbered(number) for number in range(3)]


async def test_all_that_is_queued_shares_one_write(line: Line) -> None:
    async with connected(line) as (sender, stream):
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


async def test_the_queue_is_bounded_in_messages(line: Line) -> None:
    async with connected(line, max_queue_messages=3) as (sender, _):
        assert [sender.send_nowait(numbered(number)) for number in range(4)] == [True] * 3 + [False]
        assert sender.statistics.dropped_messages == 1


async def test_the_queue_is_bounded_in_bytes(line: Line) -> None:
    async with connected(line, max_queue_bytes=2 * size_bound(chunk(1_000))) as (sender, _):
        assert [sender.send_nowait(chunk(1_000)) for _ in range(3)] == [True, True, False]
        assert sender.fill_in().queued_bytes == 2 * size_bound(chunk(1_000))


async def test_an_empty_queue_takes_a_message_of_any_legal_size(line: Line) -> None:
    async with connected(line, max_queue_bytes=10) as (sender, stream):
        assert [sender.send_nowait(chunk(1_000)) for _ in range(2)] == [True, False]
        assert await read(stream, 1) == [chunk(1_000)]


async def test_what_is_small_goes_before_what_is_large_and_finds_room_beside_it(line: Line) -> None:
    """A vote, an answer or a question must not wait behind megabytes for a slow link, nor be dropped for them."""
    line.pair = trio.testing.lockstep_stream_pair
    bulk = [chunk(1_000), large(1, [1_000]), AppendEntries(1, 1, 1, 0), ForwardProposals(1, 7, 1, 1, ())]
    urgent = [RequestVote(2, 1, 1, False), numbered(1), numbered(2)]
    async with running(make(line, max_queue_messages=4)) as sender:
        theirs = await answer_in_lockstep(line)
        assert sender.send_nowait(numbered(0))
        await trio.testing.wait_all_tasks_blocked()  # the task has taken it, and writes
        assert [sender.send_nowait(message) for message in [*bulk, chunk(1)]] == [True] * 4 + [False]
        assert all(sender.send_nowait(message) for message in urgent)
        counted = sender.fill_in()
        assert (counted.queued_messages, counted.queued_bytes) == (7, sum(map(size_bound, [*bulk, *urgent])))
        assert await read(theirs, 8) == [numbered(0), *urgent, *bulk]
        assert sender.fill_in().queued_bytes == 0


async def test_a_peer_that_never_reads_fills_its_queue_and_no_more(line: Line, mock_clock: MockClock) -> None:
    line.pair = trio.testing.lockstep_stream_pair
    async with running(make(line, max_queue_messages=3)) as sender:
        await answer_in_lockstep(line)
        assert sender.send_nowait(numbered(0))
        await trio.testing.wait_all_tasks_blocked()  # the task has taken it, and writes
        assert [sender.send_nowait(numbered(number)) for number in range(4)] == [True] * 3 + [False]
        await pass_time(line, 1_000)
        assert sender.statistics.connected


def socket_pair() -> tuple[Stream, Stream]:
    one, other = (trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in socket.socketpair())
    return TcpStream(one), TcpStream(other)


def large(first_index: int, sizes: Sequence[int]) -> Message:
    batches = [
        EntryBatch.encode(first_index + offset, 1, EntryKind.COMMAND, [bytes([size % 256]) * size])
        for offset, size in enumerate(sizes)
    ]
    return AppendEntries(1, first_index - 1, int(first_index > 1), 0, tuple(batches))


@pytest.mark.parametrize("over", ["memory", "sockets"])
async def test_large_entries_arrive_in_order_with_what_is_sent_between_them(line: Line, over: str) -> None:
    """They are not copied: kernel, queue and task pass on parts of them."""
    if over == "sockets":
        line.pair = socket_pair
    messages = [
        message
        for number in range(6)
        for message in (large(9 * number + 1, [40_000 + number, 20_000, 30_001]), chunk(10 + number), chunk(number))
    ]
    async with connected(line, max_queue_messages=100, max_queue_bytes=10**7) as (sender, theirs), theirs:
        for message in messages:
            assert sender.send_nowait(message)
        assert await read(theirs, len(messages)) == messages
        statistics = sender.fill_in()
        assert statistics.sent_messages == len(messages)
        assert (
            statistics.sent_bytes == sum(len(frame(encode(message))) for message in messages) + 6 * 3
        )  # a length in 4 bytes


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
    async with connected(line) as (sender, stream):
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
    async with connected(line) as (sender, stream):
        await stream.send_all(frame(b"x"))
        await trio.testing.wait_all_tasks_blocked()
        assert sender.totals.protocol_errors == 1
        assert not sender.statistics.connected


@attrs.define(eq=False)
class Breaking(trio.abc.Stream):
    """A stream that breaks, rather than ends, in one of its directions."""

    stream: Stream
    breaks_reading: bool
    broken: trio.Event = attrs.field(factory=trio.Event)
    greeted: bool = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.broken.is_set() and not self.breaks_reading:
            raise trio.BrokenResourceError("no way out")
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        raise NotImplementedError

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self.greeted:
            self.greeted = True
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
    async with connected(line) as (sender, _):
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
