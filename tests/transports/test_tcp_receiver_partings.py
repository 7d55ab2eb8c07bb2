"""The way in, for peers that are none any more."""

from __future__ import annotations

import attrs
import trio
import trio.testing

from raft_actors.transports.wire.handshake import Verdict
from tests.transports.receiving import Node, assert_closed, assert_open, hello, say, verdict_of


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
