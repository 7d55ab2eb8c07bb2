"""The service over real sockets: a client gets its replies in order, until the end."""

from __future__ import annotations

import gc

import pytest
import redis
import trio

from raft_actors import ClusterConfig, NotLeader, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.service.connection import ServiceConfig
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.resp import RequestLimits
from raft_actors.transports import MemoryNetwork
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
            await ask(stream, "GET", "k", reply=b"-CLUSTERDOWN no leader is known, and nothing was done: try again\r\n")
        assert len(served.service.context.sessions) == 5
    assert served.service.context.sessions == {}
    gc.collect()  # a socket left open would warn, and warnings are errors
