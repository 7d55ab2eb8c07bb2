"""The way in, for peers that are none any more."""

from __future__ import annotations

import attrs
import trio
import trio.testing

from raft_actors.raft.messages import Message
from raft_actors.transports import encode
from raft_actors.transports.wire.frames import frame
from raft_actors.transports.wire.handshake import Verdict
from tests.transports.receiving import Node, assert_closed, assert_open, hello, say, verdict_of
from tests.transports.support import numbered


async def test_a_peer_that_goes_while_it_is_answered_is_not_taken_in(node: Node) -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()
    node.nursery.start_soon(node.receiver.serve, theirs)
    await say(ours, hello("b"))  # and the answer waits to be read
    node.receiver.endpoint = attrs.evolve(node.receiver.endpoint, peers={"c": ""})
    node.totals.peers.pop("b")
    node.receiver.part_from("b")
    assert await verdict_of(ours) is Verdict.ACCEPTED
    await assert_closed(ours)
    assert node.heard_of == []
    await node.join("c")


async def test_parting_from_a_peer_without_a_connection_changes_nothing(node: Node) -> None:
    c = await node.join("c")
    node.receiver.part_from("b")
    await assert_open(c, node, "c")


def forget(node: Node, peer: str) -> None:
    """As a transport does for `set_peers`."""
    peers = {other: "" for other in node.receiver.endpoint.peers if other != peer}
    node.receiver.endpoint = attrs.evolve(node.receiver.endpoint, peers=peers)
    node.totals.peers.pop(peer)
    node.receiver.part_from(peer)


async def test_what_comes_with_the_message_that_removes_its_sender_is_not_delivered(node: Node) -> None:
    received: list[Message] = []

    def deliver(sender: str, message: Message) -> bool:
        received.append(message)
        forget(node, sender)
        return True

    node.receiver.endpoint = attrs.evolve(node.receiver.endpoint, deliver=deliver)
    stream = await node.join("b")
    unknown = b"\x93\x7f\xa4text\x80"
    await say(stream, frame(encode(numbered(1))) + frame(encode(numbered(2))) + frame(unknown))
    await assert_closed(stream)
    assert received == [numbered(1)]
    assert node.totals.protocol_errors == 0


async def test_a_bug_in_what_removes_the_sender_of_a_message_is_told(node: Node, nursery: trio.Nursery) -> None:
    told: list[str] = []

    def deliver(sender: str, _message: Message) -> bool:
        forget(node, sender)
        raise LookupError("a bug")

    async def serve() -> None:
        try:
            await node.receiver.serve(theirs)
        except LookupError as bug:
            told.append(str(bug))

    node.receiver.endpoint = attrs.evolve(node.receiver.endpoint, deliver=deliver)
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(serve)
    await say(ours, hello("b"))
    await say(ours, frame(encode(numbered(1))))
    assert told == ["a bug"]
