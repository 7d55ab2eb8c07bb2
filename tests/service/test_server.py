"""The service over real sockets: a client gets its replies in order, and what one does hurts nobody else."""

from __future__ import annotations

import errno
import gc
import logging
import socket
import struct
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

import attrs
import pytest
import redis
import trio
from typing_extensions import override

from raft_actors import ClusterConfig, ListenError, Node, NotLeader, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.service.connection import ServiceConfig
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.resp import RequestLimits
from raft_actors.service.server import Service, open_listeners
from raft_actors.transports import MemoryNetwork
from raft_actors.transports.sockets.stream import TcpStream
from tests.service.support import ADDRESSES, LoneReplica, receive_all, receive_exactly, request, serve

SMALL = RequestLimits(max_arguments=10, max_bulk_bytes=1000, max_inline_bytes=100, max_request_bytes=2000)


async def ask(stream: trio.SocketStream, *arguments: bytes | str, reply: bytes) -> None:
    await stream.send_all(request(*arguments))
    assert await receive_exactly(stream, len(reply)) == reply


# --- with a real node ---


async def test_redis_py_over_a_node() -> None:
    machine = KeyValue()
    cluster = ClusterConfig(cluster_id="kv", voters={"n1": "unused"})
    network = MemoryNetwork()
    async with (
        open_node(
            "n1", cluster=cluster, state_machine=machine, storage=MemoryStorage(), transport=network.transport("n1")
        ) as node,
        serve(node, machine) as served,
    ):
        await node.wait_leader()
        for protocol in (2, 3):
            await trio.to_thread.run_sync(use_redis_py, served.port, protocol)


def use_redis_py(port: int, protocol: int) -> None:
    with redis.Redis(port=port, protocol=protocol, decode_responses=True, client_name="me") as client:
        client.flushall()
        assert client.client_getname() == "me"
        assert client.set("k", "v")
        assert client.set("k", "w", nx=True) is None
        assert client.set("k", "w", get=True) == "v"
        assert client.mset({"a": "1", "b": "2"})
        assert client.mget(["a", "b", "c"]) == ["1", "2", None]
        assert client.incrby("a", 41) == 42
        assert client.append("b", "x") == 2
        assert sorted(client.keys("[ab]")) == ["a", "b"]
        assert sorted(client.scan_iter(match="*", count=1)) == ["a", "b", "k"]
        assert client.dbsize() == 3
        assert client.delete("a", "c") == 1
        assert client.exists("a", "b", "b") == 2
        with pytest.raises(redis.ResponseError, match="not an integer"):
            client.incr("b")
        assert client.info()["role"] == "master"
        assert client.info("raft")["raft_role"] == "leader"
        assert "get" in client.command()
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        with client.pipeline(transaction=False) as pipeline:
            for number in range(3000):
                pipeline.set(f"key:{number}", number)
                if number % 100 == 0:
                    pipeline.get(f"key:{number}")
            replies = pipeline.execute()
        assert [reply for reply in replies if reply is not True] == [str(number) for number in range(0, 3000, 100)]
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(2500):
                pipeline.incr("count")
            assert pipeline.execute() == list(range(1, 2501))
        large = "x" * 5_000_000
        assert client.set("large", large)
        assert client.get("large") == large
        with pytest.raises(redis.ResponseError, match="--max-command-bytes"):
            client.set("large", "x" * 9_000_000)
        assert client.ping()


async def test_a_follower_names_the_leader() -> None:
    machines = {node_id: KeyValue() for node_id in ("n1", "n2", "n3")}
    cluster = ClusterConfig(cluster_id="kv", voters=dict.fromkeys(machines, "unused"))
    network = MemoryNetwork()

    def open_one(node_id: str) -> AbstractAsyncContextManager[Node[KeyValue]]:
        return open_node(
            node_id,
            cluster=cluster,
            state_machine=machines[node_id],
            storage=MemoryStorage(),
            transport=network.transport(node_id),
        )

    async with open_one("n1") as n1, open_one("n2") as n2, open_one("n3") as n3:
        nodes = {"n1": n1, "n2": n2, "n3": n3}
        leader = await n1.wait_leader()
        follower = next(node_id for node_id in nodes if node_id != leader)
        await nodes[follower].wait_leader()
        config = ServiceConfig(addresses={leader: "127.0.0.1:6380"})
        async with serve(nodes[follower], machines[follower], config) as served:
            stream = await served.connect()
            expected = f"-NOTLEADER the leader is {leader} at 127.0.0.1:6380\r\n".encode()
            await ask(stream, "SET", "k", "v", reply=expected)
            await ask(stream, "GET", "k", reply=expected)
            await ask(stream, "PING", reply=b"+PONG\r\n")
            await ask(stream, "RAFT.LOCAL", "GET", "k", reply=b"$-1\r\n")


# --- order and boundaries ---


async def test_requests_in_pieces() -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine) as served:
        stream = await served.connect()
        for byte in request("SET", "k", "v") + b"get k\r\n":
            await stream.send_all(bytes([byte]))
        assert await receive_exactly(stream, 12) == b"+OK\r\n$1\r\nv\r\n"


async def test_what_is_ready_does_not_wait_for_what_is_not() -> None:
    replica = LoneReplica(gate=trio.Event())
    assert replica.gate is not None
    async with serve(replica, replica.machine) as served:
        stream = await served.connect()
        await stream.send_all(request("PING") * 2 + request("SET", "k", "v"))
        assert await receive_exactly(stream, 14) == b"+PONG\r\n+PONG\r\n"
        await stream.send_all(request("PING"))
        replica.gate.set()
        assert await receive_exactly(stream, 12) == b"+OK\r\n+PONG\r\n"
        replica.gate = trio.Event()
        await stream.send_all(request("PING") + request("RAFT.WAIT", "LEADER"))
        assert await receive_exactly(stream, 7) == b"+PONG\r\n"


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (b"*11\r\n", b"invalid multibulk length"),
        (b"*1\r\n$1001\r\n", b"invalid bulk length"),
        (b"*3\r\n" + b"$999\r\n%b\r\n" % (b"x" * 999) * 2, b"too big request"),
        (b"x" * 100, b"too big inline request"),
        (b"*1\r\n+OK\r\n", b"expected '$', got '+'"),
    ],
)
async def test_protocol_errors_are_answered_and_close_the_connection(wire: bytes, error: bytes) -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine, ServiceConfig(addresses=ADDRESSES, limits=SMALL)) as served:
        stream = await served.connect()
        await stream.send_all(request("SET", "k", "v") + wire)
        assert await receive_all(stream) == b"+OK\r\n-ERR Protocol error: " + error + b"\r\n"
        assert served.service.context.statistics.protocol_errors == 1


async def test_the_rest_of_what_came_after_a_protocol_error_does_not_hide_it() -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine) as served:
        stream = await served.connect()
        await stream.send_all(b"*x\r\n" + b"x" * 200_000)
        assert await receive_all(stream) == b"-ERR Protocol error: invalid multibulk length\r\n"


async def test_quit_is_the_last_request_that_is_answered() -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine) as served:
        stream = await served.connect()
        await stream.send_all(request("QUIT") + request("SET", "k", "v"))
        assert await receive_all(stream) == b"+OK\r\n"
        assert replica.calls == []


async def test_a_web_page_can_not_give_commands() -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine) as served:
        for head in (b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"):
            stream = await served.connect()
            await stream.send_all(head + b"\r\nSET k v\r\n")
            assert (await receive_all(stream)).endswith(b"-ERR this is a Redis service, and no web server\r\n")
        assert replica.calls == []


# --- one client's trouble is nobody else's ---


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
        assert served.service.context.memory.used == served.service.context.config.max_command_bytes
        await stream.send_all(request("DISCARD") + request("PING"))
        assert await receive_exactly(stream, 12) == b"+OK\r\n+PONG\r\n"
        await ask(stream, "PING", reply=b"+PONG\r\n")
        assert served.service.context.memory.used == 0


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


@attrs.define
class TroubledListener(trio.abc.Listener[trio.SocketStream]):
    """Fails a few times before it accepts."""

    listener: trio.SocketListener
    failures: list[int]

    @override
    async def accept(self) -> trio.SocketStream:
        if self.failures:
            await trio.lowlevel.checkpoint()
            raise OSError(self.failures.pop(0), "no more of that")
        return await self.listener.accept()

    @override
    async def aclose(self) -> None:
        await self.listener.aclose()


async def test_no_room_for_another_connection_is_waited_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft_actors.service.server._ACCEPT_PAUSE_S", 0)
    replica = LoneReplica()
    with caplog.at_level(logging.WARNING):
        wrap = partial(TroubledListener, failures=[errno.EMFILE, errno.ENFILE])
        async with serve(replica, replica.machine, wrap=wrap) as served:
            await ask(await served.connect(), "PING", reply=b"+PONG\r\n")
    assert len(caplog.records) == 2


async def test_other_errors_of_accept_are_not_hidden() -> None:
    replica = LoneReplica()
    listeners = await open_listeners("127.0.0.1", 0)
    service = Service(replica, replica.machine, ServiceConfig(addresses=ADDRESSES))
    with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="no more"), flatten_subgroups=True):
        await service.run([TroubledListener(listeners[0], [errno.EBADF])])


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


# --- shutdown ---


async def test_draining_answers_what_was_asked_and_ends() -> None:
    replica = LoneReplica()
    async with serve(replica, replica.machine) as served:
        idle, busy = await served.connect(), await served.connect()
        for stream in (idle, busy):
            await ask(stream, "PING", reply=b"+PONG\r\n")
        replica.gate = trio.Event()
        await busy.send_all(request("SET", "k", "v"))
        await replica.waiting.wait()
        served.service.drain()
        assert await receive_all(idle) == b""
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            await served.connect()
        assert not served.ended.is_set()
        replica.gate.set()
        assert await receive_all(busy) == b"+OK\r\n"
        await served.ended.wait()


async def test_draining_does_not_wait_for_ever() -> None:
    replica = LoneReplica(gate=trio.Event())
    async with serve(replica, replica.machine, ServiceConfig(addresses=ADDRESSES, drain_timeout_s=0)) as served:
        stream = await served.connect()
        await stream.send_all(request("SET", "k", "v"))
        await replica.waiting.wait()
        served.service.drain()
        await served.ended.wait()
        assert await receive_all(stream) == b""


async def test_no_connection_outlives_the_service() -> None:
    replica = LoneReplica(error=NotLeader(None))
    async with serve(replica, replica.machine) as served:
        streams = [await served.connect() for _ in range(5)]
        for stream in streams:
            await ask(stream, "GET", "k", reply=b"-NOTLEADER no leader is known, try again\r\n")
        assert len(served.service.context.sessions) == 5
    assert served.service.context.sessions == {}
    gc.collect()  # a socket left open would warn, and warnings are errors
