"""Strangers of many addresses: they share a budget, and keep nobody out who is known."""

from __future__ import annotations

import socket
import sys

import pytest
import trio

from raft_actors.raft.messages import RequestVoteReply
from raft_actors.transports import TcpTransport
from raft_actors.transports.tcp.acquainted import Acquainted
from tests.transports.support import Member, wait_until

of_many_addresses = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 has to be set up first")


async def call_from(source: str, transport: TcpTransport) -> None:
    """Connect from an address of the loopback network, say nothing, and see that the connection is closed."""
    assert transport.address is not None
    host, _, port = transport.address.rpartition(":")
    caller = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with caller:
        await caller.bind((source, 0))
        await caller.connect((host, int(port)))
        assert await caller.recv(1) == b""


@of_many_addresses
async def test_strangers_of_many_addresses_share_a_budget(nursery: trio.Nursery) -> None:
    transport = TcpTransport("127.0.0.1:0", max_connects_s=1e-9, max_clients=2, handshake_timeout_s=0.05)
    await Member.make(transport, "a", {}).start(nursery)
    for last in range(2, 7):
        await call_from(f"127.0.0.{last}", transport)
    assert transport.statistics().refused_by_reason == {"TOO_SLOW": 2, "TOO_MANY_IN_ALL": 3}


@of_many_addresses
async def test_a_flood_keeps_out_no_peer_that_this_node_has_reached(nursery: trio.Nursery) -> None:
    one = TcpTransport("127.0.0.1:0", max_connects_s=1e-9, max_clients=1, handshake_timeout_s=0.05)
    other = TcpTransport("127.0.0.1:0", seed=1)
    b = Member.make(other, "b", {"a": "127.0.0.1:1"})
    await b.start(nursery)
    assert other.address is not None
    a = Member.make(one, "a", {"b": other.address})
    await a.start(nursery)
    await wait_until(lambda: one.statistics().peers["b"].connected)
    for last in range(2, 5):  # what there is for strangers is used up
        await call_from(f"127.0.0.{last}", one)
    assert one.statistics().refused_by_reason["TOO_MANY_IN_ALL"] == 2
    assert one.address is not None
    other.set_peers({"a": one.address})
    await wait_until(lambda: other.statistics().peers["a"].connected)
    assert other.send_nowait("a", RequestVoteReply(4, True))
    assert await a.inbox.receive() == ("b", RequestVoteReply(4, True))


def test_who_has_gone_is_a_stranger_again() -> None:
    acquainted = Acquainted()
    with acquainted.connected("10.0.0.1"), acquainted.connected("2001:db8::1"):
        with acquainted.connected("10.0.0.1"):
            assert acquainted.has("10.0.0.1")
        assert acquainted.has("10.0.0.1")
        assert acquainted.has("2001:db8::"), "all of that network"
        acquainted.reached("n2", "10.0.0.4")
        assert list(acquainted.networks()) == ["10.0.0.4", "10.0.0.1", "2001:db8::"]
    assert not acquainted.has("10.0.0.1")
    acquainted.reached("n2", "10.0.0.2")
    acquainted.reached("n2", "10.0.0.3")
    assert (acquainted.has("10.0.0.2"), acquainted.has("10.0.0.3")) == (False, True)
    acquainted.forget("n2")
    assert not acquainted.has("10.0.0.3")
