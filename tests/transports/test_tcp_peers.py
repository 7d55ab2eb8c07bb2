"""Peers of the TCP transport that move, or whose address is none, over real sockets of 127.0.0.1."""

from __future__ import annotations

import logging
from contextlib import suppress

import attrs
import pytest
import trio

from raft_actors.transports import TcpTransport, encode
from raft_actors.transports.greeting import Refusal
from raft_actors.transports.wire.frames import frame
from raft_actors.transports.wire.handshake import Hello
from tests.transports.support import Member, answer, free_port, numbered, wait_until


def member(node_id: str, port: int, **peers: str) -> Member:
    return Member.make(TcpTransport(f"127.0.0.1:{port}", seed=1), node_id, peers)


async def test_a_peer_that_moved_is_dialled_where_it_is_and_keeps_its_statistics(nursery: trio.Nursery) -> None:
    with free_port() as port_a, free_port() as old, free_port() as new:
        a = member("a", port_a, b=f"127.0.0.1:{old}")
        b = member("b", old, a=f"127.0.0.1:{port_a}")
        await a.start(nursery)
        await b.start(nursery)
        await a.exchange(b, numbered(1))
        await b.stop()
        moved = member("b", new, a=f"127.0.0.1:{port_a}")
        await moved.start(nursery)
        await moved.reach(a, numbered(2))
        a.set_peers(b=f"127.0.0.1:{new}")
        assert not a.peer("b").connected
        await a.exchange(moved, numbered(3))
        statistics = a.peer("b")
        assert (statistics.connects, statistics.sent_messages) == (2, 2)
        assert ("a", numbered(3)) not in b.received


async def test_tells_of_each_new_connection_to_a_peer(nursery: trio.Nursery) -> None:
    reached: list[str] = []
    with free_port() as port_a, free_port() as port_b:
        a = member("a", port_a, b=f"127.0.0.1:{port_b}")
        sent: list[bool] = []

        def peer_reached(peer: str) -> None:
            reached.append(peer)
            sent.append(a.transport.send_nowait(peer, numbered(len(reached))))

        a.endpoint = attrs.evolve(a.endpoint, peer_reached=peer_reached)
        b = member("b", port_b, a=f"127.0.0.1:{port_a}")
        await a.start(nursery)
        await b.start(nursery)
        await wait_until(lambda: ("a", numbered(1)) in b.received)
        await b.stop()
        again = member("b", port_b, a=f"127.0.0.1:{port_a}")
        await again.start(nursery)
        await wait_until(lambda: ("a", numbered(2)) in again.received)
        assert (reached, sent) == (["b", "b"], [True, True])


async def test_the_connection_that_a_peer_opened_outlives_the_change_of_its_address(nursery: trio.Nursery) -> None:
    lost: list[str] = []
    with free_port() as port_a, free_port() as port_b, free_port() as elsewhere:
        a = member("a", port_a, b=f"127.0.0.1:{port_b}")
        a.endpoint = attrs.evolve(a.endpoint, peer_lost=lost.append)
        b = member("b", port_b, a=f"127.0.0.1:{port_a}")
        await a.start(nursery)
        await b.start(nursery)
        await a.exchange(b, numbered(1))
        await b.exchange(a, numbered(2))
        a.set_peers(b=f"127.0.0.1:{elsewhere}")
        await b.exchange(a, numbered(3))
        assert b.peer("a").connects == 1
        assert lost == []


async def test_what_waits_for_the_old_address_is_dropped(nursery: trio.Nursery) -> None:
    with free_port() as port_a, free_port() as nowhere, free_port() as port_b:
        a = member("a", port_a, b=f"127.0.0.1:{nowhere}")
        await a.start(nursery)
        assert a.transport.send_nowait("b", numbered(1))  # while the first attempt is under way
        b = member("b", port_b, a=f"127.0.0.1:{port_a}")
        await b.start(nursery)
        a.set_peers(b=f"127.0.0.1:{port_b}")
        assert (a.peer("b").dropped_messages, a.peer("b").queued_messages) == (1, 0)
        await a.exchange(b, numbered(2))


async def test_an_address_that_is_none_is_a_peer_out_of_reach(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with free_port() as port_a, free_port() as port_b:
        a = member("a", port_a, b=f"127.0.0.1:{port_b}")
        b = member("b", port_b, a=f"127.0.0.1:{port_a}")
        await a.start(nursery)
        await b.start(nursery)
        a.set_peers(b=f"127.0.0.1:{port_b}", c="no port")
        await a.exchange(b, numbered(1))
        await wait_until(lambda: "address 'no port' has no port" in caplog.text)
        assert not a.peer("c").connected
        await b.exchange(a, numbered(2))


async def test_a_peer_that_goes_is_hung_up_on(nursery: trio.Nursery) -> None:
    with free_port() as port_a, free_port() as port_b:
        a = member("a", port_a, b=f"127.0.0.1:{port_b}")
        await a.start(nursery)
        async with await trio.open_tcp_stream("127.0.0.1", port_a) as stream:
            await stream.send_all(frame(Hello("test", "b", "a").encode()))
            assert await stream.receive_some() == answer()
            a.set_peers()
            with suppress(trio.BrokenResourceError), trio.fail_after(60):
                await stream.send_all(frame(encode(numbered(1))))
                assert await stream.receive_some() == b""
        assert a.received == []


# --- addresses that a peer says ------------------------------------------------------------------------------


async def test_a_peer_that_comes_from_elsewhere_is_dialled_where_it_says_that_it_is(nursery: trio.Nursery) -> None:
    with free_port() as port_a, free_port() as old, free_port() as new:
        a = member("a", port_a, b=f"127.0.0.1:{old}")
        b = member("b", old, a=f"127.0.0.1:{port_a}")
        await a.start(nursery)
        await b.start(nursery)
        await a.exchange(b, numbered(1))
        await b.stop()
        moved = member("b", new, a=f"127.0.0.1:{port_a}")
        moved.endpoint = attrs.evolve(moved.endpoint, address=f"127.0.0.1:{new}")
        await moved.start(nursery)
        await a.reach(moved, numbered(2))
        assert a.peer("b").address == f"127.0.0.1:{new}"
        connects = a.peer("b").connects
        a.set_peers(b=f"127.0.0.1:{new}")  # the cluster has come to know it, too
        await a.reach(moved, numbered(3))
        assert a.peer("b").connects == connects


async def test_a_peer_is_tried_where_it_was_said_to_be_besides(nursery: trio.Nursery) -> None:
    """All addresses have changed at once, and what the cluster knows leads nowhere: the settings say it."""
    with free_port() as port_a, free_port() as port_b, free_port() as nowhere:
        a = member("a", port_a, b=f"127.0.0.1:{nowhere}")
        a.endpoint = attrs.evolve(a.endpoint, fallbacks={"b": f"127.0.0.1:{port_b}"})
        b = member("b", port_b, a=f"127.0.0.1:{nowhere}")
        await b.start(nursery)
        await a.start(nursery)
        await a.reach(b, numbered(1))
        assert a.peer("b").address == f"127.0.0.1:{port_b}"


async def test_what_a_peer_says_counts_for_nothing_where_it_is_reached(nursery: trio.Nursery) -> None:
    with free_port() as port_a, free_port() as port_b, free_port() as nowhere:
        a = member("a", port_a, b=f"127.0.0.1:{port_b}")
        b = member("b", port_b, a=f"127.0.0.1:{port_a}")
        b.endpoint = attrs.evolve(b.endpoint, address=f"127.0.0.1:{nowhere}")
        await a.start(nursery)
        await b.start(nursery)
        for number in range(3):
            await a.exchange(b, numbered(number))
            await b.exchange(a, numbered(number))
            await b.stop()
            await b.start(nursery)
        await a.reach(b, numbered(99))
        assert a.peer("b").address == f"127.0.0.1:{port_b}"


async def test_a_node_hangs_up_on_who_takes_its_call_and_is_another_store(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with free_port() as port_a, free_port() as port_b:
        a = member("a", port_a, b=f"127.0.0.1:{port_b}")
        b = member("b", port_b, a=f"127.0.0.1:{port_a}")
        refusal = Refusal("OTHER_INCARNATION", "its files were lost")
        a.endpoint = attrs.evolve(a.endpoint, admit=lambda _greeting: refusal)
        b.endpoint = attrs.evolve(b.endpoint, incarnation="bbbb")
        await a.start(nursery)
        await b.start(nursery)
        await wait_until(lambda: "this node refuses it: OTHER_INCARNATION: its files were lost" in caplog.text)
        assert a.peer("b").connects == 0
        assert a.transport.statistics().refused_by_reason["OTHER_INCARNATION"] >= 1
