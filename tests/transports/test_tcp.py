"""The TCP transport over real sockets of 127.0.0.1: what streams in memory can't show."""

from __future__ import annotations

import errno
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

from raft_actors.errors import ConfigurationError, ListenError
from raft_actors.raft.messages import InstallSnapshot
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.transports import Endpoint, TcpTransport
from raft_actors.transports.sockets.stream import TcpStream
from raft_actors.transports.wire.frames import FrameParser, frame
from raft_actors.transports.wire.handshake import Answer, Hello, ProtocolRange, Verdict
from tests.transports.support import MAX_MESSAGE_BYTES, Member, answer, free_port, numbered, wait_until

LINUX = sys.platform == "linux"


def member(node_id: str, listen: str = "127.0.0.1:0", **peers: str) -> Member:
    return Member.make(TcpTransport(listen, max_queue_messages=64, seed=1), node_id, peers)


def tcp(member: Member) -> TcpTransport:
    assert isinstance(member.transport, TcpTransport)
    return member.transport


async def dial(member: Member) -> trio.SocketStream:
    address = tcp(member).address
    assert address is not None
    host, _, port = address.rpartition(":")
    return await trio.open_tcp_stream(host, int(port))


@asynccontextmanager
async def server(handler: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncGenerator[str]:
    """Something that listens, and is no node; its address."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, handler, [listener])
        yield f"127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def say_nothing(_stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def accept_and_read_no_more(stream: trio.SocketStream) -> None:
    await stream.receive_some()
    await stream.send_all(answer())
    await trio.sleep_forever()


# --- listening -----------------------------------------------------------------------------------------------


async def test_port_zero_takes_a_free_port_and_tells_it(nursery: trio.Nursery) -> None:
    a = member("a")
    assert tcp(a).address is None
    await a.start(nursery)
    address = tcp(a).address
    assert address is not None
    assert address.startswith("127.0.0.1:")
    assert not address.endswith(":0")
    await a.stop()
    assert tcp(a).address is None


async def test_a_name_with_several_addresses_listens_on_one_if_the_port_is_zero(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = [listener for _ in range(3) for listener in await trio.open_tcp_listeners(0, host="127.0.0.1")]

    async def open_all(_host: str, _port: int) -> list[trio.SocketListener]:
        return list(opened)

    monkeypatch.setattr("raft_actors.transports.tcp.transport.open_listeners", open_all)
    a = member("a")
    await a.start(nursery)
    assert [listener.socket.fileno() != -1 for listener in opened] == [True, False, False]
    assert tcp(a).address == f"127.0.0.1:{opened[0].socket.getsockname()[1]}"


async def test_a_port_that_is_taken(nursery: trio.Nursery) -> None:
    a = member("a")
    await a.start(nursery)
    address = tcp(a).address
    assert address is not None
    with pytest.raises(ListenError, match=rf"can't listen on {address}: another process has it"):
        await TcpTransport(address).run(a.endpoint)


async def test_an_address_of_another_machine() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:7000: it is no address of this machine"):
        await TcpTransport("192.0.2.1:7000").run(Endpoint("test", "a", {}, lambda _s, _m: True, 100))


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "port above 1023"),
        (OSError(errno.ENOBUFS, "No buffer space"), "No buffer space"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "listen on an address of this machine"),
        (UnicodeError("label too long"), "label too long"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.replace(" ", "-"),
)
async def test_other_reasons_not_to_listen(monkeypatch: pytest.MonkeyPatch, error: Exception, remedy: str) -> None:
    async def fail(_host: str, _port: int) -> list[trio.SocketListener]:
        raise error

    monkeypatch.setattr("raft_actors.transports.tcp.transport.open_listeners", fail)
    transport = TcpTransport("example.org:80")
    endpoint = Endpoint("test", "a", {}, lambda _s, _m: True, 100)
    for _ in range(2):  # a failed run leaves the transport as it was
        with pytest.raises(ListenError, match=f"can't listen on example.org:80: .*{remedy}"):
            await transport.run(endpoint)


@pytest.mark.parametrize("peer", ["", "b", "b:0", "::1:7000"])
async def test_a_peers_address_that_is_none(peer: str) -> None:
    a = member("a", b=peer)
    with pytest.raises(ConfigurationError, match="address"):
        await a.transport.run(a.endpoint)


async def test_a_message_limit_that_no_frame_can_hold() -> None:
    with pytest.raises(ConfigurationError, match="4,294,967,295"):
        await TcpTransport("127.0.0.1:0").run(Endpoint("test", "a", {}, lambda _s, _m: True, 2**32))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_queue_messages": 0},
        {"max_queue_bytes": -1},
        {"connect_timeout_s": 0.0},
        {"handshake_timeout_s": float("nan")},
        {"dead_peer_timeout_s": -1.0},
        {"max_handshakes": 0},
        {"reconnect_delay_s": (2.0, 1.0)},
        {"reconnect_delay_s": (0.0, 1.0)},
    ],
    ids=str,
)
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"TcpTransport: {next(iter(wrong))}"):
        TcpTransport("127.0.0.1:0", **wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_an_impossible_listening_address() -> None:
    with pytest.raises(ConfigurationError, match="no port"):
        TcpTransport("localhost")


# --- connections ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not LINUX, reason="options of other systems differ")
async def test_connections_are_tuned(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[TcpStream] = []
    receive_some = TcpStream.receive_some

    async def spy(self: TcpStream, max_bytes: int | None = None) -> bytes:
        if self not in seen:
            seen.append(self)
        return await receive_some(self, max_bytes)

    monkeypatch.setattr(TcpStream, "receive_some", spy)
    with free_port() as port:
        a, b = member("a", b=f"127.0.0.1:{port}"), member("b", f"127.0.0.1:{port}", a="127.0.0.1:1")
        await b.start(nursery)
        await a.start(nursery)
        await a.wait_connected("b")
        assert len(seen) == 2  # both ends
        for stream in seen:
            assert stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert stream._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3_000
            assert stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 3
            assert stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 1


async def test_a_peer_that_starts_later_is_found(nursery: trio.Nursery) -> None:
    with free_port() as port:
        a = Member.make(TcpTransport("127.0.0.1:0", reconnect_delay_s=(3_600, 3_600)), "a", {"b": f"127.0.0.1:{port}"})
        await a.start(nursery)
        await wait_until(lambda: not a.transport.send_nowait("b", numbered(1)))
        address = tcp(a).address
        assert address is not None
        b = member("b", f"127.0.0.1:{port}", a=address)
        await b.start(nursery)
        await a.exchange(b, numbered(2))  # a does not wait an hour: b has called


async def test_a_node_that_dials_itself(nursery: trio.Nursery) -> None:
    with free_port() as port:
        a = member("a", f"127.0.0.1:{port}", b=f"127.0.0.1:{port}")
        await a.start(nursery)
        await wait_until(lambda: a.peer("b").refusals > 0)
        assert a.peer("b").last_refusal == "ITSELF"
        assert not a.peer("b").connected


async def test_a_node_at_the_address_of_another(nursery: trio.Nursery) -> None:
    with free_port() as port:
        c = member("c", f"127.0.0.1:{port}", a="127.0.0.1:1")
        await c.start(nursery)
        a = member("a", b=f"127.0.0.1:{port}")
        await a.start(nursery)
        await wait_until(lambda: a.peer("b").refusals > 0)
        assert a.peer("b").last_refusal == "WRONG_RECEIVER"
        assert c.transport.statistics().refused_handshakes > 0


async def pair(nursery: trio.Nursery, a: ProtocolRange, b: ProtocolRange) -> tuple[Member, Member]:
    """Two nodes of these versions that have dialled each other."""
    with free_port() as port_a, free_port() as port_b:
        members = []
        for node_id, protocol, port, peer, to in (("a", a, port_a, "b", port_b), ("b", b, port_b, "a", port_a)):
            transport = TcpTransport(f"127.0.0.1:{port}", seed=1, protocol=protocol)
            members.append(Member.make(transport, node_id, {peer: f"127.0.0.1:{to}"}))
            await members[-1].start(nursery)
        return members[0], members[1]


async def test_nodes_of_different_versions_agree_on_the_highest_that_both_know(nursery: trio.Nursery) -> None:
    a, b = await pair(nursery, ProtocolRange(3, 7, frozenset({"x", "y"})), ProtocolRange(5, 9, frozenset({"y", "z"})))
    await a.exchange(b, numbered(1))
    await b.exchange(a, numbered(2))
    for statistics in (a.peer("b"), b.peer("a")):
        assert (statistics.version, statistics.features) == (7, frozenset("y"))


async def test_nodes_without_a_common_version_say_so_on_both_sides(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    a, b = await pair(nursery, ProtocolRange(3, 4, frozenset()), ProtocolRange(5, 6, frozenset()))
    await wait_until(lambda: a.peer("b").refusals > 0 and b.peer("a").refusals > 0)
    await wait_until(lambda: min(m.transport.statistics().refused_handshakes for m in (a, b)) > 0)
    assert (a.peer("b").last_refusal, a.peer("b").version) == ("OTHER_VERSION", None)
    told = "this node speaks versions {} of the protocol, the other one versions {}: upgrade {}"
    texts = [record.getMessage() for record in caplog.records]
    for words in (("3 to 4", "5 to 6", "this node"), ("5 to 6", "3 to 4", "the other one")):
        assert sum(told.format(*words) in text and "refused a connection" in text for text in texts) >= 1
        assert sum(told.format(*words) in text and "it refused this node" in text for text in texts) == 1


async def test_a_browser_is_shown_the_door(nursery: trio.Nursery) -> None:
    a = member("a")
    await a.start(nursery)
    async with await dial(a) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await stream.receive_some() == b""
    assert a.transport.statistics().protocol_errors == 1


async def test_a_peer_that_accepts_and_never_answers_delays_no_other(nursery: trio.Nursery) -> None:
    async with server(say_nothing) as address:
        with free_port() as port:
            a, c = member("a", b=address, c=f"127.0.0.1:{port}"), member("c", f"127.0.0.1:{port}", a="127.0.0.1:1")
            await c.start(nursery)
            await a.start(nursery)
            for number in range(100):
                a.transport.send_nowait("b", numbered(number))
                await a.exchange(c, numbered(number))
            assert not a.peer("b").connected


async def test_a_peer_that_never_reads_delays_no_other(nursery: trio.Nursery) -> None:
    async with server(accept_and_read_no_more) as stuck:
        with free_port() as port:
            a, c = member("a", b=stuck, c=f"127.0.0.1:{port}"), member("c", f"127.0.0.1:{port}", a="127.0.0.1:1")
            await c.start(nursery)
            await a.start(nursery)
            await a.wait_connected("b", "c")
            large = InstallSnapshot(1, SnapshotMetadata(1, 1), 0, bytes(MAX_MESSAGE_BYTES - 1_000), False)

            def is_stuck() -> bool:
                """The kernel's buffers are full, and so is the queue."""
                return not a.transport.send_nowait("b", large) and a.peer("b").queued_messages == 64

            await wait_until(is_stuck)
            for number in range(10):
                await a.exchange(c, numbered(number))
            assert a.peer("b").connected


async def test_an_accepted_caller_may_send(nursery: trio.Nursery) -> None:
    a = member("a", b="127.0.0.1:1")
    await a.start(nursery)
    async with await dial(a) as stream:
        await stream.send_all(frame(Hello("test", "b", "a").encode()))
        (payload,) = FrameParser(100).feed(await stream.receive_some())
        assert Answer.decode(payload).verdict is Verdict.ACCEPTED


async def test_running_out_of_files_does_not_end_a_node(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    a = member("a")
    await a.start(nursery)
    address = tcp(a).address
    assert address is not None
    caplog.set_level(logging.ERROR, "trio.serve_listeners")
    with socket.socket() as caller:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        first_free = os.dup(caller.fileno())
        os.close(first_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, limits[1]))
        try:
            caller.connect(("127.0.0.1", int(address.rpartition(":")[2])))
            caller.sendall(frame(Hello("other", "b", "a").encode()))
            await wait_until(lambda: bool(caplog.records))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await wait_until(lambda: a.transport.statistics().refused_handshakes == 1)


@pytest.mark.skipif(not LINUX, reason="counts the files of this process in /proc")
async def test_cancellation_leaves_no_socket_open(nursery: trio.Nursery) -> None:
    def open_sockets() -> int:
        gc.collect()  # a socket that is only forgotten would warn here, and warnings are errors
        files = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))  # noqa: PTH208
        return sum(os.path.islink(file) and os.readlink(file).startswith("socket:") for file in files)  # noqa: PTH114, PTH115

    async with server(say_nothing) as silent:
        with free_port() as port_a, free_port() as port_b:
            at_a, at_b = f"127.0.0.1:{port_a}", f"127.0.0.1:{port_b}"
            a, b = member("a", at_a, b=at_b, c=silent, d="127.0.0.1:1"), member("b", at_b, a=at_a)
            before = open_sockets()
            await a.start(nursery)
            await b.start(nursery)
            await a.wait_connected("b")
            await b.wait_connected("a")
            stranger = await dial(a)  # in its handshake for ever
            await stranger.send_all(b"\0")
            assert open_sockets() > before + 4
            await a.stop()
            await b.stop()
            assert await stranger.receive_some() == b""
            await stranger.aclose()
            await wait_until(lambda: open_sockets() <= before + 1)  # the other server still holds a's call
