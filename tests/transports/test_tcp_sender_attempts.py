"""The way out, until a connection stands: the handshake, its time limit, and the waits between attempts."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from raft_actors.transports.tcp.backoff import Backoff
from raft_actors.transports.wire.frames import frame
from raft_actors.transports.wire.handshake import THIS_VERSION, Answer, ProtocolRange, Verdict
from tests.transports.sending import (
    Line,
    connected,
    make,
    pass_time,
    running,
)
from tests.transports.support import answer, numbered


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


@pytest.mark.parametrize("answer", [frame(b"HTTP/1.1"), b"\xff\xff\xff\xff", frame(b"RAFT\0\3\0\x63")], ids=repr)
async def test_an_answer_that_is_none_is_a_protocol_error(line: Line, answer: bytes) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up_silently()
        await stream.send_all(answer)
        await trio.testing.wait_all_tasks_blocked()
        assert sender.totals.protocol_errors == 1
        assert not sender.statistics.connected
        assert await stream.receive_some() == b""


@pytest.mark.parametrize("said", [frame(b"RAFT\0\2\1"), frame(b"RAFT\0\2\0"), answer(protocol=ProtocolRange(98, 99))])
async def test_a_peer_that_speaks_no_common_version_has_refused_whatever_it_says(line: Line, said: bytes) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up_silently()
        await stream.send_all(said)
        await trio.testing.wait_all_tasks_blocked()
        counted = sender.statistics
        assert (counted.refusals, counted.last_refusal, counted.version) == (1, "OTHER_VERSION", None)
        assert not counted.connected


async def test_a_refusal_can_not_write_lines_into_the_log(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    async with running(make(line)):
        stream = await line.pick_up_silently()
        await stream.send_all(frame(Answer(Verdict.UNKNOWN_NODE, detail="no\nroot: all is well").encode(THIS_VERSION)))
        await trio.testing.wait_all_tasks_blocked()
    assert caplog.messages == [r"node a: peer b: it refused this node: UNKNOWN_NODE: 'no\nroot: all is well'"]


async def test_an_answer_may_come_byte_by_byte(line: Line) -> None:
    async with running(make(line)) as sender:
        stream = await line.pick_up_silently()
        for byte in answer():
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
    async with connected(line) as (sender, _):
        await pass_time(line, 1_000)
        assert sender.statistics.connected


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
        await pass_time(line, 8)  # it stands for as long as the longest wait: it was of use
        await stream.aclose()
        await pass_time(line, 1)
        assert len(line.dials) == 7


async def test_connections_that_end_at_once_come_ever_more_rarely_too(line: Line, mock_clock: MockClock) -> None:
    async with running(make(line)) as sender:
        for dials, longest in enumerate((1, 2, 4, 8, 8), start=1):
            stream = await line.pick_up()
            await pass_time(line, longest / 2)  # less than the longest wait
            await stream.aclose()
            await pass_time(line, longest / 2 - 0.01)
            assert len(line.dials) == dials
            await pass_time(line, longest / 2 + 0.02)
            assert len(line.dials) == dials + 1
        assert sender.statistics.connects == 5


async def test_what_the_peer_refuses_is_not_sent_again_at_once(
    line: Line, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(make(line)) as sender:
        for dials, longest in enumerate((1, 2, 4, 8, 8), start=1):
            stream = await line.pick_up()
            await pass_time(line, 100)  # however long it stood before
            await stream.send_all(frame(Answer(Verdict.REFUSED_MESSAGE, detail="too large").encode(THIS_VERSION)))
            await trio.testing.wait_all_tasks_blocked()
            sender.hurry()  # nor does it help that the peer dials this node
            await pass_time(line, longest / 2 - 0.01)
            assert len(line.dials) == dials
            await pass_time(line, longest / 2 + 0.02)
            assert len(line.dials) == dials + 1
        counted = sender.fill_in()
        assert (counted.refusals, counted.refusals_by_reason) == (5, {"REFUSED_MESSAGE": 5})
        assert (counted.last_refusal, sender.totals.protocol_errors) == ("REFUSED_MESSAGE", 0)
        assert caplog.messages == ["node a: peer b: it refused what this node sent: REFUSED_MESSAGE: 'too large'"]


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


async def test_a_peer_that_did_not_know_this_node_is_dialled_at_once_when_it_calls(
    line: Line, mock_clock: MockClock
) -> None:
    """It has become a member since, else it would not be called."""
    async with running(make(line)) as sender:
        for longest in (1, 2, 4):
            await line.pick_up(Verdict.UNKNOWN_NODE)
            await pass_time(line, longest)
        await line.pick_up(Verdict.UNKNOWN_NODE)
        sender.hurry()
        await trio.testing.wait_all_tasks_blocked()
        assert len(line.dials) == 5
        await line.pick_up()
        assert sender.statistics.connected


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
        assert troubles() == [f"node a: peer b: no connection: {error}"]
        stream = await line.pick_up()
        await pass_time(line, 8)
        await stream.aclose()
        await pass_time(line, 8)
        line.refuse(error)
        await pass_time(line, 8)
        assert troubles()[1:] == ["node a: peer b: it closed the connection", f"node a: peer b: no connection: {error}"]
        for _ in range(2):  # the same trouble, but after a connection that stood
            stream = await line.pick_up()
            await pass_time(line, 8)
            await stream.aclose()
            await pass_time(line, 8)
        assert troubles()[3:] == ["node a: peer b: it closed the connection"] * 2


async def test_a_bug_in_connecting_is_not_taken_for_the_networks(line: Line) -> None:
    async def run(work: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises(ZeroDivisionError):
            await work()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, make(line).run)
        line.refuse(ZeroDivisionError())


async def test_a_bug_in_what_stops_a_sender_is_told(line: Line) -> None:
    sender, told = make(line), list[str]()

    def reached() -> None:
        sender.stop()
        raise LookupError("a bug")

    async def run() -> None:
        try:
            await sender.run()
        except LookupError as bug:
            told.append(str(bug))

    sender.reached = reached
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await line.pick_up()
    assert told == ["a bug"]
