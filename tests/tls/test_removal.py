"""Over TLS as without: a member that is removed is parted from at once and refused from then on, and failover works."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from raft_actors import ClusterConfig, Node, NodeConfig, open_node
from raft_actors.errors import ProtocolError
from raft_actors.node.asking import OperationRefused, encode, opened
from raft_actors.persistence import MemoryStorage
from raft_actors.transports import TcpTransport, TlsConfig
from raft_actors.transports.tcp.dialer import TcpDialer
from tests.tls.certificates import node_files
from tests.tls.test_rotation import NODES, Count
from tests.transports.support import free_port, wait_until

CONFIG = NodeConfig(election_timeout_s=(0.5, 1.0), heartbeat_interval_s=0.05)


class Cluster:
    """Nodes over TLS, of which each can be ended without a word to the others."""

    def __init__(self, folder: Path, config: ClusterConfig) -> None:
        self.config = config
        self.nodes: dict[str, Node[Count]] = {}
        self.scopes = {name: trio.CancelScope() for name in NODES}
        self.transports: dict[str, TcpTransport] = {}
        for name in NODES:
            files = node_files(folder, name)
            assert files.ca is not None
            tls = TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca)
            self.transports[name] = TcpTransport(config.voters[name], tls=tls)

    async def run(self, name: str, *, task_status: trio.TaskStatus[None]) -> None:
        with self.scopes[name]:
            async with open_node(
                name,
                cluster=self.config,
                state_machine=Count,
                storage=MemoryStorage(),
                transport=self.transports[name],
                config=CONFIG,
            ) as node:
                self.nodes[name] = node
                task_status.started()
                await trio.sleep_forever()

    def connected(self, name: str) -> set[str]:
        """Whom it is connected with."""
        return {peer for peer, one in self.transports[name].statistics().peers.items() if one.connected}


async def test_a_removed_member_is_parted_from_and_another_leads_where_the_leader_ends(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with trio.fail_after(60):
        async with AsyncExitStack() as stack:
            ports = [stack.enter_context(free_port()) for _ in NODES]
            addresses = {name: f"127.0.0.1:{port}" for name, port in zip(NODES, ports, strict=True)}
            cluster = Cluster(tmp_path, ClusterConfig("test", addresses))
        for name in NODES:
            await nursery.start(cluster.run, name)
        leader = await cluster.nodes["a"].wait_leader()
        await wait_until(lambda: cluster.connected(leader) == {*NODES} - {leader})
        kept, gone = sorted({*NODES} - {leader})
        posing = TcpDialer(tls=cluster.transports[gone].tls)
        conversation = await posing.dial(addresses[leader], "test")
        assert await conversation.receive()
        request = encode({"do": "status"})
        assert opened(await cluster.transports[gone].ask(addresses[leader], request))["node_id"] == leader

        await cluster.nodes[leader].change_members({leader, kept})
        with trio.fail_after(1.0):
            while await conversation.receive():
                pass
        await conversation.aclose()
        with pytest.raises(ProtocolError, match=f"NOT_PROVEN: .* no member.*raft://test/{gone}"):
            await posing.dial(addresses[leader], "test")
        with pytest.raises(OperationRefused, match=f"raft://test/{gone}, node is no member"):
            opened(await cluster.transports[gone].ask(addresses[leader], request))
        assert cluster.transports[leader].statistics().refused_by_reason["NOT_A_MEMBER"] == 3
        assert "a stranger at 127.0.0.1: closed a connection: its certificate is a node's that is no" in caplog.text
        await wait_until(lambda: cluster.connected(leader) == {kept} and gone not in cluster.connected(kept))
        staying = cluster.transports[leader]
        await wait_until(lambda: staying.statistics().refused_by_reason["UNKNOWN_NODE"] > 0)
        assert f"peer {gone!r} at 127.0.0.1: refused a connection: UNKNOWN_NODE\n" in caplog.text
        assert await cluster.nodes[leader].propose(b"without it") == 1

        await cluster.nodes[leader].change_members(addresses)
        assert await cluster.nodes[leader].propose(b"with it") == 2
        await wait_until(lambda: cluster.connected(leader) == {kept, gone})
        cluster.scopes[leader].cancel()
        await wait_until(lambda: cluster.nodes[kept].status().leader in (kept, gone))
        assert await cluster.nodes[str(cluster.nodes[kept].status().leader)].propose(b"led by another") == 3
        nursery.cancel_scope.cancel()
