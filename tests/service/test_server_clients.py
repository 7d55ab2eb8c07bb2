"""The service over real sockets: what one client does, or is, hurts nobody else."""

from __future__ import annotations

import errno
import logging
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress

import pytest
import trio

from raft_actors import ListenError
from raft_actors.service.connection import ServiceConfig
from raft_actors.service.memory import FREE_BYTES
from raft_actors.service.resp import RequestLimits
from raft_actors.service.server import open_listeners
from raft_actors.transports.sockets.stream import TcpStream
from tests.service.support import ADDRESSES, LoneReplica, receive_all, receive_exactly, request, serve

SMALL = RequestLimits(max_arguments=10, max_bulk_bytes=1000, max_inline_bytes=100, max_request_bytes=2000)


async def ask(stream: trio.SocketStream, *arguments: bytes | str, reply: bytes) -> None:
    await stream.send_all(request(*arguments))
    assert await receive_exactly(stream, len(reply)) == reply


async def test_a_client_that_does_not_read_stalls_only_itself() -> None:
    replica = LoneReplica()
    config = ServiceConfig(addresses=ADDRESSES, send_bytes=10_000)
    value = b"x" * 1_000_000
    async with serve(replica, replica.machine, config) as served, trio.open_nursery() as nursery:
        slow, quick = await served.connect(), await served.connect()
        await ask(quick, "SET", "large", value, reply=b"+OK\r\n")
        count = 50  # more than the kernel buffers
        nursery.start_soon(slow.send_all, request("GET", "large") * count)
        for _ in range(100):
            await ask(quick, "GET", "k", reply=b"$-1\r\n")
        reply = b"$1000000\r\n" + value + b"\r\n"
        for _ in range(count):
            assert await receive_exactly(slow, len(reply)) == reply


async def test_a_large_reply_is_never_held_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = LoneReplica()
    sent: list[int] = []
    original = TcpStream.send_parts

    async def send_parts(stream: TcpStream, parts: Sequence[bytes]) -> None:
        sent.append(sum(map(len, parts)))
        assert any(part is replica.machine.get(b"large") for part in parts)
        await original(stream, parts)

    async with serve(replica, replica.machine, ServiceConfig(addresses=ADDRESSES, send_bytes=100_000)) as served:
        stream = await served.connect()
        await ask(stream, "SET", "large", b"x" * 90_000, reply=b"+OK\r\n")
        monkeypatch.setattr(TcpStream, "send_parts", send_parts)
        await stream.send_all(request("MGET", *["large"] * 100))
        total = len(b"*100\r\n" + (b"$90000\r\n" + b"x" * 90_000 + b"\r\n") * 100)
        assert len(await receive_exactly(stream, total)) == total
        assert max(sent) < 200_000


async def test_connections_that_break_off(caplog: pytest.LogCaptureFixture) -> None:
    replica = LoneReplica(gate=trio.Event())
    assert replica.gate is not None
    async with serve(replica, replica.machine) as served:
        for wire in (b"", b"*3\r\n$3\r\nSET\r\n$1", request("SET", "k", "v")):
            for reset in (False, True):
                stream = await served.connect()
                await stream.send_all(wire)
                if reset:  # closing sends a reset instead of a proper end
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.socket.close()
        replica.gate.set()
        stream = await served.connect()
        await ask(stream, "GET", "k", reply=b"$1\r\nv\r\n")
        served.service.drain()
        await served.ended.wait()
    assert caplog.records == []


async def test_a_client_that_leaves_while_it_waits_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_actors.service.admin._LOOK_S", 0.01)
    replica = LoneReplica(gate=trio.Event())
    async with serve(replica, replica.machine) as served:
        sessions = served.service.context.sessions
        for wire in (request("RAFT.WAIT", "LEADER"), request("RAFT.WAIT", "APPLIED", "7") + request("PING")):
            replica.waiting = trio.Event()
            stream = await served.connect()
            await stream.send_all(wire)
            await replica.waiting.wait()
            assert len(sessions) == 1
            stream.socket.close()
            while sessions:  # noqa: ASYNC110 - nothing tells
                await trio.lowlevel.checkpoint()


async def test_clients_whose_machines_vanish_are_noticed() -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine) as served:
        await ask(await served.connect(), "PING", reply=b"+PONG\r\n")
        (stream,) = served.service.context.sessions.values()
        assert isinstance(stream, TcpStream)
        kernel = stream._socket  # pyright: ignore[reportPrivateUsage]
        assert kernel.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


async def test_large_requests_wait_for_room_and_none_is_lost() -> None:
    replica = LoneReplica()
    config = ServiceConfig(addresses=ADDRESSES, max_request_memory_bytes=3_000_000)
    async with serve(replica, replica.machine, config) as served, trio.open_nursery() as nursery:
        memory = served.service.context.memory
        most = 0

        async def set_and_look(number: int) -> None:
            nonlocal most
            stream = await served.connect()
            wire = request("SET", f"k{number}", b"x" * 1_000_000)
            for start in range(0, len(wire), 100_000):
                await stream.send_all(wire[start : start + 100_000])
                most = max(most, memory.used)
            assert await receive_exactly(stream, 5) == b"+OK\r\n"

        for number in range(20):
            nursery.start_soon(set_and_look, number)
    assert len(replica.machine) == 20
    assert 1_000_000 < most <= 3_000_000
    assert memory.used == 0


async def test_a_client_that_holds_room_and_does_not_use_it_makes_way() -> None:
    replica = LoneReplica()
    config = ServiceConfig(addresses=ADDRESSES, max_request_memory_bytes=2_000_000, request_patience_s=0.05)
    async with serve(replica, replica.machine, config) as served:
        holders = [await served.connect(), await served.connect()]
        whole = request("SET", "k", b"x" * 1_500_000)
        for holder in holders:
            await holder.send_all(whole[:1000])
        other = await served.connect()
        await other.send_all(whole)
        assert await receive_exactly(other, 5) == b"+OK\r\n"
        for holder in holders:
            assert (await receive_all(holder)).startswith(b"-ERR the rest of this request took too long")
        assert served.service.context.memory.used == 0


async def test_what_multi_queues_counts() -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine) as served:
        stream = await served.connect()
        await ask(stream, "MULTI", reply=b"+OK\r\n")
        for _ in range(20):
            await ask(stream, "SET", "k", b"x" * 10_000, reply=b"+QUEUED\r\n")
        assert 0 <= served.service.context.memory.used - served.service.context.config.max_command_bytes <= FREE_BYTES
        await stream.send_all(request("DISCARD") + request("PING"))
        assert await receive_exactly(stream, 12) == b"+OK\r\n+PONG\r\n"
        await ask(stream, "PING", reply=b"+PONG\r\n")
        assert served.service.context.memory.used == 0


async def test_what_python_takes_for_what_multi_queues_counts() -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine) as served:
        memory = served.service.context.memory
        stream = await served.connect()
        await ask(stream, "MULTI", reply=b"+OK\r\n")
        asked = [b"SET", b"k1", b"v1"]
        for _ in range(10):  # each time few enough bytes for one read
            await stream.send_all(request(*asked) * 100)
            assert await receive_exactly(stream, 900) == b"+QUEUED\r\n" * 100
        await ask(stream, "PING", reply=b"+QUEUED\r\n")
        taken = 1000 * (sys.getsizeof(asked) + sum(map(sys.getsizeof, asked)))
        assert taken <= memory.used <= 4 * taken
        await ask(stream, "nosuch", reply=b"-ERR unknown command 'nosuch', with args beginning with: \r\n")
        await ask(stream, "PING", reply=b"+QUEUED\r\n")
        assert memory.used == 0  # what was queued is forgotten


async def test_who_waits_for_room_does_not_hold_up_the_end() -> None:
    replica = LoneReplica()
    config = ServiceConfig(addresses=ADDRESSES, max_request_memory_bytes=2_000_000)
    async with serve(replica, replica.machine, config) as served:
        for _ in range(3):
            stream = await served.connect()
            await stream.send_all(request("SET", "k", b"x" * 1_500_000)[:1000] + b"")
            await ask(await served.connect(), "PING", reply=b"+PONG\r\n")
        served.service.drain()
        await served.ended.wait()


async def test_too_many_connections() -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine, ServiceConfig(addresses=ADDRESSES, max_connections=2)) as served:
        first, second = await served.connect(), await served.connect()
        for stream in (first, second):
            await ask(stream, "PING", reply=b"+PONG\r\n")
        assert await receive_all(await served.connect()) == b"-ERR max number of clients reached\r\n"
        await ask(first, "PING", reply=b"+PONG\r\n")
        await ask(first, "QUIT", reply=b"+OK\r\n")
        await receive_all(first)
        await ask(await served.connect(), "PING", reply=b"+PONG\r\n")
        assert served.service.context.statistics.rejected_connections == 1


def fail_to_accept(monkeypatch: pytest.MonkeyPatch, *failures: int) -> None:
    """Have the system fail a few times before it accepts a connection."""
    accept, left = socket.socket.accept, list(failures)

    def fail(listener: socket.socket) -> object:
        if left:
            raise OSError(left.pop(0), "no more of that")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", fail)


async def test_no_room_for_another_connection_is_waited_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_actors.transports.sockets.accepting._RESOURCES_PAUSE_S", 0)
    fail_to_accept(monkeypatch, errno.EMFILE, errno.ENFILE)
    replica = LoneReplica()
    with caplog.at_level(logging.WARNING):
        async with serve(replica, replica.machine) as served:
            await ask(await served.connect(), "PING", reply=b"+PONG\r\n")
    assert len(caplog.records) == 2


async def test_other_errors_of_accept_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_accept(monkeypatch, errno.EBADF)
    replica = LoneReplica()
    with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="no more"), flatten_subgroups=True):
        async with serve(replica, replica.machine) as served:
            with suppress(OSError):  # the listener may be closed before the connection is made
                await served.connect()
            await served.ended.wait()


async def test_more_connections_than_an_address_may_open_are_closed_unheard() -> None:
    replica = LoneReplica()
    config = ServiceConfig(addresses=ADDRESSES, max_connections=3, max_connects_per_address_s=1e-9)
    async with serve(replica, replica.machine, config) as served:
        first = await served.connect()
        await ask(first, "PING", reply=b"+PONG\r\n")
        for _ in range(4):  # two of them within the budget, one after the other
            async with await served.connect() as stream:
                await receive_until_closed(stream)
        await first.send_all(request("INFO", "stats"))
        told = await first.receive_some(10_000)
    assert b"\r\nrejected_connections:2\r\nrejected_connections_max_connects_per_address:2\r\n" in told
    assert b"total_connections_received:3\r\n" in told


async def receive_until_closed(stream: trio.SocketStream) -> None:
    """Ask to be closed, unless that was done already."""
    with suppress(trio.BrokenResourceError):
        await stream.send_all(request("QUIT"))
        await receive_all(stream)


async def test_a_bug_closes_one_connection_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    replica = LoneReplica(error=RuntimeError("a bug"))
    async with serve(replica, replica.machine) as served:
        stream, other = await served.connect(), await served.connect()
        await stream.send_all(request("GET", "k"))
        assert await receive_all(stream) == b""
        await ask(other, "PING", reply=b"+PONG\r\n")
    assert "a bug" in caplog.text


async def test_an_address_that_is_taken() -> None:
    (listener,) = await open_listeners("127.0.0.1", 0)
    async with listener:
        with pytest.raises(
            ListenError, match=r"can't listen for Redis clients at 127.0.0.1:\d+: another process has it"
        ):
            await open_listeners("127.0.0.1", listener.socket.getsockname()[1])
