"""A running cluster changes from plain connections to TLS node by node, and who uses it meanwhile notices nothing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import attrs
import trio

from raft_actors import ClusterConfig, Node, NodeConfig, RaftClient, open_client, open_node
from raft_actors.persistence import MemoryDisk, MemoryStorage
from raft_actors.transports import TcpTransport, TlsConfig
from raft_actors.transports.tls.config import Plain
from tests.cluster.client_support import Count, ReadableLog
from tests.tls.certificates import node_files
from tests.tls.test_clients import client_leaf, tls_of
from tests.transports.support import free_port, wait_until

NODES = ("a", "b", "c")
QUICK = NodeConfig(election_timeout_s=(0.1, 0.2), heartbeat_interval_s=0.03)


@attrs.define
class Cluster:
    """Nodes that keep their stores from one start to the next."""

    config: ClusterConfig
    folder: Path
    nursery: trio.Nursery
    disks: dict[str, MemoryDisk] = attrs.field(factory=lambda: {name: MemoryDisk() for name in NODES})
    transports: dict[str, TcpTransport] = attrs.field(factory=dict[str, TcpTransport])
    nodes: dict[str, Node[ReadableLog]] = attrs.field(factory=dict[str, Node[ReadableLog]])
    stops: dict[str, tuple[trio.Event, trio.Event]] = attrs.field(factory=dict[str, tuple[trio.Event, trio.Event]])

    async def start(self, name: str, plain: Plain | None) -> None:
        """Start a node anew; None: without TLS."""
        if name in self.stops:
            stop, stopped = self.stops[name]
            stop.set()
            await stopped.wait()
        await self.nursery.start(self._run, name, plain)

    async def _run(self, name: str, plain: Plain | None, *, task_status: trio.TaskStatus[None]) -> None:
        files = node_files(self.folder, name)
        assert files.ca is not None
        tls = TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca, plain=plain or "refused")
        transport = TcpTransport(self.config.voters[name], tls=None if plain is None else tls)
        stop, stopped = self.stops[name] = trio.Event(), trio.Event()
        async with open_node(
            name,
            cluster=self.config,
            state_machine=ReadableLog,
            storage=MemoryStorage(self.disks[name]),
            transport=transport,
            config=QUICK,
        ) as node:
            self.nodes[name], self.transports[name] = node, transport
            task_status.started()
            await stop.wait()
        stopped.set()

    async def wait_connected(self) -> None:
        """Until each node is connected with all others: as an operator waits before the next one's turn."""
        await wait_until(
            lambda: all(
                peer.connected
                for transport in self.transports.values()
                for peer in transport.statistics().peers.values()
            )
        )


@attrs.define
class Proposer:
    """Proposes one command after the other, each of which takes effect once."""

    done: int = 0
    over: bool = False

    async def run(self, client: RaftClient[ReadableLog]) -> None:
        while not self.over:
            assert await client.propose(b"x") == self.done + 1
            self.done += 1

    async def more(self) -> None:
        """Some more were carried out."""
        wanted = self.done + 3
        await wait_until(lambda: self.done >= wanted)


async def test_a_running_cluster_changes_to_tls_and_its_clients_with_it(tmp_path: Path, nursery: trio.Nursery) -> None:
    with ExitStack() as stack:
        voters = {name: f"127.0.0.1:{stack.enter_context(free_port())}" for name in NODES}
    cluster, proposer = Cluster(ClusterConfig("test", voters), tmp_path, nursery), Proposer()
    for name in NODES:
        await cluster.start(name, None)

    # Clients without TLS are served as long as nodes accept plain connections, those with it from the second time on.
    turns: list[tuple[TlsConfig | None, list[Plain]]] = [
        (None, ["sent", "accepted"]),
        (tls_of(tmp_path, client_leaf("billing")), ["refused"]),
    ]
    for client_tls, stages in turns:
        async with open_client(
            [*voters.values()], ReadableLog, cluster="test", tls=client_tls, patience_s=60
        ) as client:
            async with trio.open_nursery() as proposing:
                proposer.over = False
                proposing.start_soon(proposer.run, client)
                for plain in stages:
                    for name in NODES:
                        await cluster.start(name, plain)
                        await cluster.wait_connected()
                        await proposer.more()
                proposer.over = True
            assert await client.read(Count()) == proposer.done
    assert all(
        peer.encrypted for transport in cluster.transports.values() for peer in transport.statistics().peers.values()
    )
    nursery.cancel_scope.cancel()
