"""Stock clients in cluster mode find a living node when the leader ends: in one process, over real sockets."""

from __future__ import annotations

import asyncio  # noqa: TID251 - redis-py's clients for it are among those to serve
import contextlib
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from typing import Any

import attrs
import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
import trio

from raft_actors import ClusterConfig, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.service.connection import ServiceConfig
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.server import Service, open_listeners
from raft_actors.transports import MemoryNetwork

valkey: Any = pytest.importorskip("valkey")
redis_cluster: Any = redis.cluster  # typed only in part
valkey_cluster: Any = pytest.importorskip("valkey.cluster")
coredis: Any = pytest.importorskip("coredis")

ERRORS: tuple[type[Exception], ...] = (OSError, redis.RedisError, valkey.ValkeyError, coredis.exceptions.RedisError)
NODES = ("n1", "n2", "n3")
AFTER = 10
"""Commands that each client has to get through to whoever leads next."""


@attrs.define
class Progress:
    """How one client gets on: it counts a key of its own, and tries again whatever fails."""

    name: str
    counted: int = 0
    failed: list[str] = attrs.field(factory=list)
    enough: int = 1 << 62

    @property
    def key(self) -> str:
        return f"counted by {self.name}"

    def count(self, client: Any) -> None:
        while self.counted < self.enough:
            with self.noting_failure():
                client.incr(self.key)
                self.counted += 1

    async def count_async(self, client: Any, sleep: Callable[[float], Awaitable[None]]) -> None:
        while self.counted < self.enough:
            with self.noting_failure():
                await client.incr(self.key)
                self.counted += 1
            await sleep(0.001)

    @contextlib.contextmanager
    def noting_failure(self) -> Generator[None]:
        try:
            yield
        except ERRORS as error:
            self.failed.append(f"{type(error).__name__}: {error}")


@attrs.define
class Cluster:
    """Three nodes and their services.

    Attributes:
        ports: where each serves clients.
        lives: ends a node and its service, as the end of its process would.
    """

    ports: dict[str, int] = attrs.field(factory=dict)
    lives: dict[str, trio.CancelScope] = attrs.field(factory=dict)
    leader: str = ""


@contextlib.asynccontextmanager
async def open_cluster() -> AsyncGenerator[Cluster]:
    network, cluster = MemoryNetwork(), Cluster()
    listeners = {node_id: (await open_listeners("127.0.0.1", 0))[0] for node_id in NODES}
    cluster.ports = {node_id: listener.socket.getsockname()[1] for node_id, listener in listeners.items()}
    addresses = {node_id: f"127.0.0.1:{port}" for node_id, port in cluster.ports.items()}

    async def live(node_id: str, *, task_status: trio.TaskStatus[Any]) -> None:
        machine = KeyValue()
        with trio.CancelScope() as scope:
            cluster.lives[node_id] = scope
            async with open_node(
                node_id,
                cluster=ClusterConfig("kv", dict.fromkeys(NODES, "unused")),
                state_machine=machine,
                storage=MemoryStorage(),
                transport=network.transport(node_id),
            ) as node:
                task_status.started(node)
                await Service(node, machine, ServiceConfig(addresses=addresses)).run([listeners[node_id]])

    async with trio.open_nursery() as nursery:
        nodes = [await nursery.start(live, node_id) for node_id in NODES]
        cluster.leader = await nodes[0].wait_leader()
        yield cluster
        nursery.cancel_scope.cancel()


@pytest.fixture
def collected() -> Iterator[None]:
    """What a test leaves to the garbage collector goes while it may warn, and not during another test.

    Not in the test itself: the errors that clients met hold on to its frames.
    """
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore:Unclosed <Memory:ResourceWarning")  # coredis does not close its streams
@pytest.mark.usefixtures("collected")
async def test_stock_clients_follow_a_failover() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        ports = list(cluster.ports.values())
        everybody = [Progress(name) for name in ("redis-py", "redis-py on asyncio", "valkey-py", "coredis on Trio")]
        sync, on_asyncio, other, on_trio = everybody

        def use_redis_py() -> None:
            nodes = [redis_cluster.ClusterNode("127.0.0.1", port) for port in ports]
            with redis.cluster.RedisCluster(startup_nodes=nodes) as client:
                sync.count(client)

        def use_valkey_py() -> None:
            nodes = [valkey_cluster.ClusterNode("127.0.0.1", port) for port in ports]
            with valkey_cluster.ValkeyCluster(startup_nodes=nodes) as client:
                other.count(client)

        async def use_asyncio() -> None:
            nodes = [redis.asyncio.cluster.ClusterNode("127.0.0.1", port) for port in ports]
            async with redis.asyncio.cluster.RedisCluster(startup_nodes=nodes) as client:
                await on_asyncio.count_async(client, asyncio.sleep)

        async def use_coredis() -> None:
            nodes = [{"host": "127.0.0.1", "port": port} for port in ports]
            async with coredis.RedisCluster(startup_nodes=nodes) as client:
                await on_trio.count_async(client, trio.sleep)

        for use in (use_redis_py, use_valkey_py, lambda: asyncio.run(use_asyncio())):
            nursery.start_soon(trio.to_thread.run_sync, use)
        nursery.start_soon(use_coredis)
        while any(client.counted < AFTER for client in everybody):  # noqa: ASYNC110 - threads count, too
            await trio.sleep(0.01)
        cluster.lives[cluster.leader].cancel()
        for client in everybody:
            client.enough = client.counted + AFTER
        survivor = next(port for node_id, port in cluster.ports.items() if node_id != cluster.leader)
        while any(client.counted < client.enough for client in everybody):  # noqa: ASYNC110
            await trio.sleep(0.01)
        with redis.Redis(port=survivor) as asked:
            for client in everybody:
                found: Any = await trio.to_thread.run_sync(asked.get, client.key)
                # A client that meets the end of a connection may ask again, and count twice.
                assert client.counted <= int(found) <= client.counted + len(client.failed) + 1, client
