"""All certificates of a cluster at work are replaced, the CA's too, and nobody who proposes notices."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from raft_actors import ClusterConfig, Node, StateMachine, open_node
from raft_actors.commands import RAW_BYTES
from raft_actors.persistence import SqliteStorage
from raft_actors.transports import TcpTransport, TlsConfig
from tests.tls.certificates import Issuer, authority, name_of, node_files
from tests.transports.support import free_port, wait_until

PROPOSERS = 256
NODES = ("a", "b", "c")


class Count(StateMachine[bytes, int]):
    """Counts commands."""

    commands = RAW_BYTES

    def __init__(self) -> None:
        self.count = 0

    def apply(self, command: bytes) -> int:
        self.count += 1
        return self.count

    def snapshot(self) -> list[bytes]:
        return [str(self.count).encode()]

    async def restore(self, chunks: object) -> None:
        raise NotImplementedError


@attrs.define
class Cluster:
    nodes: dict[str, Node[Count]]
    transports: dict[str, TcpTransport]

    async def leader(self) -> Node[Count]:
        return self.nodes[await self.nodes["a"].wait_leader()]


@asynccontextmanager
async def cluster(folder: Path) -> AsyncGenerator[Cluster]:
    async with AsyncExitStack() as stack:
        ports = {node: stack.enter_context(ExitStack()).enter_context(free_port()) for node in NODES}
        config = ClusterConfig("test", {node: f"127.0.0.1:{port}" for node, port in ports.items()})
        transports: dict[str, TcpTransport] = {}
        nodes: dict[str, Node[Count]] = {}
        for node in NODES:
            files = node_files(folder, node)
            assert files.ca is not None
            tls = TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca, check_interval_s=0.05)
            transports[node] = TcpTransport(config.voters[node], tls=tls)
            nodes[node] = await stack.enter_async_context(
                open_node(
                    node,
                    cluster=config,
                    state_machine=Count,
                    storage=SqliteStorage(folder / f"{node}.db"),
                    transport=transports[node],
                )
            )
        yield Cluster(nodes, transports)


def reloads(transport: TcpTransport) -> int:
    certificate = transport.statistics().certificate
    assert certificate is not None
    return certificate.reloads


async def test_everything_is_rotated_under_load_without_a_failed_commit_or_an_election(tmp_path: Path) -> None:
    newer = Issuer.make("newer CA", key=5)
    async with cluster(tmp_path) as running, trio.open_nursery() as nursery:
        leader = await running.leader()
        term, committed = leader.status().term, 0

        async def propose() -> None:
            nonlocal committed
            while True:
                await leader.propose(b"x")
                committed += 1

        for _ in range(PROPOSERS):
            nursery.start_soon(propose)
        await wait_until(lambda: committed > PROPOSERS)
        for trusted, issuer in (((authority(), newer), authority()), ((authority(), newer), newer), ((newer,), newer)):
            before = {node: reloads(transport) for node, transport in running.transports.items()}
            at_first = committed
            for node in NODES:
                issuer.issue(name_of(node), key=6).write(tmp_path, node, *trusted)
            await wait_until(
                lambda before=before: all(  # type: ignore[misc]
                    reloads(transport) > before[node] for node, transport in running.transports.items()
                )
            )
            await wait_until(lambda at_first=at_first: committed > at_first + PROPOSERS)  # type: ignore[misc]
        assert {node.status().term for node in running.nodes.values()} == {term}
        for transport in running.transports.values():
            statistics = transport.statistics()
            assert not statistics.refused_by_reason
            assert len(statistics.peers) == len(NODES) - 1
            assert all(peer.encrypted and peer.connects == 1 for peer in statistics.peers.values())
        nursery.cancel_scope.cancel()
