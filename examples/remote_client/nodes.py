"""Three nodes over TCP, each of which can be ended as a crash would end it. In life each is a process of its own."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import trio

from examples.remote_client.stock import Stock
from raft_actors import ClusterConfig, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.transports import TcpTransport


def free_addresses(count: int) -> list[str]:
    """Addresses on this machine that nobody listens on. All are held until all are known, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


async def run_until_crash(
    cluster: ClusterConfig, name: str, *, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
) -> None:
    """Be a node until the scope that `started` gives is cancelled."""
    transport = TcpTransport(cluster.voters[name])
    with trio.CancelScope() as life:
        async with open_node(name, cluster=cluster, state_machine=Stock, storage=MemoryStorage(), transport=transport):
            task_status.started(life)
            await trio.sleep_forever()
