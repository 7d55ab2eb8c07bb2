"""The way in: messages, connections that end, and handshakes."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from raft_actors.transports import TransportStatistics, encode
from raft_actors.transports.sockets.accepting import AddressBudget
from raft_actors.transports.wire.frames import FrameParser, frame, pack_length
from raft_actors.transports.wire.handshake import MAX_HELLO_BYTES, THIS_VERSION, Answer, ProtocolRange, Verdict
from tests.transports.receiving import Node, Stream, assert_closed, assert_open, hello, say, verdict_of
from tests.transports.support import MAX_MESSAGE_BYTES, numbered

# --- messages ------------------------------------------------------------------------------------------------


async def test_messages_are_delivered_in_order_with_their_sender(node: Node) -> None:
    b, c = await node.join("b"), await node.join("c")
    await say(b, frame(encode(numbered(1))) + frame(encode(numbered(2))))
    await say(c, frame(encode(numbered(3))))
    assert node.received == [("b", numbered(1)), ("b", numbered(2)), ("c", numbered(3))]
    assert node.receiver.peers["b"].received_messages == 2
    assert node.receiver.peers["b"].received_bytes == 2 * len(frame(encode(numbered(1))))


async def test_messages_may_come_byte_by_byte(node: Node) -> None:
    stream = await node.join()
    for byte in frame(encode(numbered(1))) * 2:
        await say(stream, bytes([byte]))
    assert node.received == [("b", numbered(1))] * 2


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", frame(b"garbage"), frame(b""), pack_length(MAX_MESSAGE_BYTES + 1), hello()],
    ids=["text", "no message", "empty", "too large", "another hello"],
)
async def test_garbage_closes_its_connection_and_no_other(node: Node, garbage: bytes) -> None:
    b, c = await node.join("b"), await node.join("c")
    await say(b, frame(encode(numbered(1))) + garbage)
    assert await verdict_of(b) is Verdict.REFUSED_MESSAGE
    await assert_closed(b)
    assert node.totals.protocol_errors == 1
    assert node.received == [("b", numbered(1))]  # what came before it counts
    await assert_open(c, node, "c")
    await assert_open(await node.join("b"), node, "b")


async def test_the_connection_of_a_peer_that_said_what_cannot_be_is_closed_and_it_is_told_why(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    b, c = await node.join("b"), await node.join("c")
    node.receiver.refuse("b", "it claims too much")
    node.receiver.refuse("nobody", "it is not connected")
    (payload,) = FrameParser(1_000).feed(await b.receive_some())
    assert Answer.decode(payload) == Answer(Verdict.REFUSED_MESSAGE, detail="it claims too much")
    await assert_closed(b)
    assert node.received == []
    assert node.totals.refused_by_reason == {"REFUSED_MESSAGE": 1}
    assert caplog.messages == ["node a: peer 'b': closed a connection: it claims too much"]
    await assert_open(c, node, "c")


async def test_what_only_a_newer_node_knows_is_dropped_and_counted(node: Node) -> None:
    stream = await node.join("b")
    unknown, longer = b"\x93\x7f\xa4text\x80", bytes([0x94]) + encode(numbered(1))[1:] + b"\x07"
    await say(stream, frame(unknown) + frame(longer) + frame(unknown) + frame(encode(numbered(2))))
    assert node.received == [("b", numbered(1)), ("b", numbered(2))]
    counted = node.receiver.peers["b"]
    assert (counted.unknown_messages, counted.unknown_fields, counted.received_messages) == (2, 1, 4)
    assert node.totals.protocol_errors == 0


async def test_a_peer_of_a_newer_version_is_met_in_the_newest_that_this_node_knows(node: Node) -> None:
    await node.connect(hello(protocol=ProtocolRange(3, 99, frozenset({"telepathy"}))))
    assert (node.receiver.peers["b"].version, node.receiver.peers["b"].features) == (THIS_VERSION.newest, frozenset())


async def test_a_peer_is_told_why_its_message_is_refused(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    why = "a frame of 100,001 bytes, where 100,000 are allowed"
    for _ in range(3):
        stream = await node.join("b")
        await say(stream, pack_length(MAX_MESSAGE_BYTES + 1))
        (payload,) = FrameParser(1_000).feed(await stream.receive_some())
        assert Answer.decode(payload) == Answer(Verdict.REFUSED_MESSAGE, detail=why)
        await assert_closed(stream)
    assert node.totals.refused_by_reason == {"REFUSED_MESSAGE": 3}
    assert caplog.messages == [f"node a: peer 'b': closed a connection: {why}"]  # once, not at each attempt
    stream = await node.join("b")
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    await say(await node.join("b"), pack_length(MAX_MESSAGE_BYTES + 1))
    assert len(caplog.messages) == 2  # but anew after a connection that ended well


async def test_what_is_remembered_of_strangers_is_bounded(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.receiver._lines.burst = 1000
    for number in range(300):
        await assert_refused(await node.connect(hello(sender=f"x{number}")))
    assert len(caplog.messages) == 300
    await assert_refused(await node.connect(hello(sender="x299")))
    assert len(caplog.messages) == 300
    await assert_refused(await node.connect(hello(sender="x0")))
    assert len(caplog.messages) == 301


async def test_strangers_fill_no_log(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.receiver._lines = AddressBudget(2, 1e-9)
    for number in range(5):
        await assert_refused(await node.connect(hello(sender=f"x{number}")))
    assert len(caplog.messages) == 2
    node.receiver._lines.per_s = 1e9
    for number in (3, 5):  # of the one that was left out, it is told after all
        await assert_refused(await node.connect(hello(sender=f"x{number}")))
    assert len(caplog.messages) == 4
    assert caplog.messages[2].endswith(" (3 such lines before this one were left out: there were too many)")
    assert "left out" not in caplog.messages[3]


async def assert_refused(stream: Stream) -> None:
    assert await verdict_of(stream) is Verdict.UNKNOWN_NODE
    await assert_closed(stream)


async def test_half_a_frame_and_then_silence_holds_up_nobody(node: Node, mock_clock: MockClock) -> None:
    b, c = await node.join("b"), await node.join("c")
    await say(b, frame(encode(numbered(1)))[:-1])
    node.clock.jump(1_000)
    await assert_open(c, node, "c")
    await assert_open(await node.join("b"), node, "b")
    await assert_closed(b)


async def test_a_peer_may_die_in_the_middle_of_a_frame(node: Node) -> None:
    stream = await node.join()
    await say(stream, frame(encode(numbered(1)))[:-1])
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert node.totals.protocol_errors == 0
    assert node.received == []


async def test_a_new_connection_replaces_the_old_one(node: Node) -> None:
    old, new = await node.join(), await node.join()
    await assert_closed(old)
    await assert_open(new, node, "b")
    newest = await node.join()
    await assert_closed(new)
    await assert_open(newest, node, "b")
    assert node.totals == TransportStatistics(peers=node.totals.peers)  # no error, no refusal


async def test_a_peer_that_connects_is_heard_of(node: Node) -> None:
    await node.join("b")
    await node.connect(hello("x"))
    await node.join("c")
    assert node.heard_of == ["b", "c"]


async def test_a_connection_that_stands_is_not_limited_in_time(node: Node, mock_clock: MockClock) -> None:
    stream = await node.join()
    node.clock.jump(1_000)
    await assert_open(stream, node, "b")


async def test_a_connection_that_breaks_is_forgotten(node: Node) -> None:
    ours, theirs = trio.testing.memory_stream_pair()

    async def break_off() -> None:
        raise trio.BrokenResourceError("reset by peer")

    def break_at_next_read() -> None:
        theirs.receive_stream.receive_some_hook = break_off

    node.nursery.start_soon(node.receiver.serve, theirs)
    await say(ours, hello())
    break_at_next_read()
    await say(ours, frame(encode(numbered(1))))  # read by the call that waits already
    assert node.totals == TransportStatistics(peers=node.totals.peers)
    await assert_open(await node.join(), node, "b")


# --- handshakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (hello(protocol=ProtocolRange(99, 99)), Verdict.OTHER_VERSION),
        (hello(cluster_id="other"), Verdict.OTHER_CLUSTER),
        (hello(sender="a"), Verdict.ITSELF),
        (hello(receiver="c"), Verdict.WRONG_RECEIVER),
        (hello(sender="x"), Verdict.UNKNOWN_NODE),
    ],
    ids=lambda value: value.name if isinstance(value, Verdict) else "",
)
async def test_a_refused_caller_is_told_why(node: Node, said: bytes, verdict: Verdict) -> None:
    stream = await node.connect(said)
    assert await verdict_of(stream) is verdict
    await assert_closed(stream)
    assert (node.totals.refused_handshakes, node.totals.protocol_errors) == (1, 0)
    assert node.totals.refused_by_reason == {verdict.name: 1}


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        pack_length(MAX_HELLO_BYTES + 1),
        frame(b""),
        frame(b"RAFT"),
        hello()[:-1] + b"\xff",
        hello() + b"x",
        hello() + frame(encode(numbered(1))),
        hello() + hello(),
    ],
    ids=["text", "too large", "empty", "short", "no text", "more", "message before the answer", "twice"],
)
async def test_garbage_in_the_handshake_is_not_answered(node: Node, garbage: bytes) -> None:
    stream = await node.connect(garbage)
    await assert_closed(stream)
    assert (node.totals.protocol_errors, node.totals.refused_handshakes) == (1, 0)
    assert node.received == []
    await node.join()


async def test_a_hello_that_breaks_off_is_a_protocol_error(node: Node) -> None:
    stream = await node.connect(hello()[:-1])
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert node.totals.protocol_errors == 1


async def test_a_caller_who_says_nothing_and_leaves_does_no_harm(node: Node) -> None:
    stream = await node.connect()
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert (node.totals.protocol_errors, node.totals.refused_handshakes) == (0, 0)


async def test_a_hello_may_come_byte_by_byte_but_not_for_ever(node: Node, mock_clock: MockClock) -> None:
    stream = await node.connect(*(bytes([byte]) for byte in hello()))
    assert await verdict_of(stream) is Verdict.ACCEPTED
    slow = await node.connect()
    for byte in hello("c")[:4]:
        await say(slow, bytes([byte]))
        node.clock.jump(0.55)
        await trio.testing.wait_all_tasks_blocked()
    await assert_closed(slow)
    assert node.totals.refused_handshakes == 1


async def test_silent_callers_are_let_go_in_time(node: Node, mock_clock: MockClock) -> None:
    silent = await node.connect()
    node.clock.jump(1.9)
    await trio.testing.wait_all_tasks_blocked()
    assert node.totals.refused_handshakes == 0
    node.clock.jump(0.2)
    await assert_closed(silent)
    assert node.totals.refused_handshakes == 1


async def test_a_flood_of_silent_callers_displaces_the_oldest_and_no_peer(node: Node) -> None:
    b = await node.join("b")
    flood = [await node.connect() for _ in range(20)]
    for stream in flood[:-3]:
        await assert_closed(stream)
    assert node.totals.refused_handshakes == 17
    await assert_open(b, node, "b")
    await assert_open(await node.join("c"), node, "c")  # gets in although all places are taken
    for stream in flood[-2:]:
        await stream.aclose()


async def test_a_flood_that_comes_all_at_once_is_bounded_too(node: Node) -> None:
    pairs = [trio.testing.memory_stream_pair() for _ in range(20)]
    for _, theirs in pairs:
        node.nursery.start_soon(node.receiver.serve, theirs)
    await trio.testing.wait_all_tasks_blocked()
    assert node.totals.refused_handshakes == 17
    await assert_open(await node.join("b"), node, "b")
    for ours, _ in pairs:
        await ours.aclose()


async def test_a_displaced_caller_leaves_its_place_once(node: Node) -> None:
    first = [await node.connect() for _ in range(4)]
    await assert_closed(first[0])
    for stream in first[1:]:
        await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    second = [await node.connect() for _ in range(3)]
    assert node.totals.refused_handshakes == 1
    for stream in second:
        await stream.aclose()
