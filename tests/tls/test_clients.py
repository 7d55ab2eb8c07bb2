"""Clients of a node over TCP: what they may do by their certificates, and what they are told where it is nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from raft_actors import (
    CertificateError,
    ClusterConfig,
    ConfigurationError,
    Node,
    NodeConfig,
    NotPermitted,
    ProtocolError,
    RaftClient,
    TransportError,
    open_client,
    open_node,
)
from raft_actors.persistence import MemoryStorage
from raft_actors.raft.features import CLIENTS
from raft_actors.transports import TcpTransport, TlsConfig
from raft_actors.transports.tcp.dialer import TcpDialer
from raft_actors.transports.wire.handshake import THIS_VERSION
from tests.cluster.client_support import Count, ReadableLog
from tests.tls.certificates import Leaf, authority, name_of, node_files, stranger

QUICK = NodeConfig(election_timeout_s=(0.02, 0.04), heartbeat_interval_s=0.01)
RULES = {
    "uri:raft-client://{cluster}/reports": ("read",),
    "uri:raft-client://{cluster}/*": ("read", "write", "operate"),
}


def tls_of(folder: Path, leaf: Leaf | None, **settings: Any) -> TlsConfig | None:
    if leaf is None:
        return None
    files = leaf.write(folder, "client", authority())
    assert files.ca is not None
    return TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca, **settings)


def client_leaf(name: str, cluster: str = "test") -> Leaf:
    return authority().issue(f"raft-client://{cluster}/{name}", key=3)


@asynccontextmanager
async def served(transport: TcpTransport) -> AsyncGenerator[tuple[Node[ReadableLog], str]]:
    cluster = ClusterConfig("test", {"a": "127.0.0.1:1"})
    async with open_node(
        "a", cluster=cluster, state_machine=ReadableLog, storage=MemoryStorage(), transport=transport, config=QUICK
    ) as node:
        await node.wait_leader()
        assert transport.address is not None
        yield node, transport.address


@asynccontextmanager
async def client_at(address: str, tls: TlsConfig | None) -> AsyncGenerator[RaftClient[ReadableLog]]:
    async with open_client([address], ReadableLog, cluster="test", tls=tls, patience_s=20.0) as client:
        yield client


async def test_each_certificate_has_its_rights(tmp_path: Path) -> None:
    files = node_files(tmp_path, "a")
    assert files.ca is not None
    tls = TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca, clients=RULES)
    transport = TcpTransport("127.0.0.1:0", tls=tls)
    async with served(transport) as (node, address):
        async with client_at(address, tls_of(tmp_path, client_leaf("billing"))) as client:
            assert await client.propose(b"a") == 1
            assert transport.statistics().clients == 1
        async with client_at(address, tls_of(tmp_path, client_leaf("reports"))) as client:
            assert await client.read(Count()) == 1
            with pytest.raises(NotPermitted, match="raft-client://test/reports may not write"):
                await client.propose(b"b")
        async with client_at(address, tls_of(tmp_path, authority().issue(name_of("a")))) as client:
            assert await client.propose(b"b") == 2
        assert await node.read(Count()) == 2
        for leaf, why in (
            (authority().issue(name_of("b")), r"NOT_PROVEN: .* no member, .*raft://test/b"),
            (client_leaf("billing", "other"), "OTHER_CLUSTER|another cluster|names no node"),
            (authority().issue(dns=("alice",)), "NOT_PROVEN"),
            (None, "without TLS"),
            (stranger().issue("raft-client://test/billing", key=3), "certificate"),
        ):
            with pytest.raises((TransportError, CertificateError), match=why):
                await TcpDialer(tls=tls_of(tmp_path, leaf)).dial(address, "test")
        assert transport.statistics().refused_by_reason["NOT_A_MEMBER"] == 1


async def test_a_client_goes_on_with_its_last_good_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = node_files(tmp_path, "a")
    assert files.ca is not None
    tls = TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca)
    async with served(TcpTransport("127.0.0.1:0", tls=tls)) as (_, address):
        dialer = TcpDialer(tls=tls_of(tmp_path, client_leaf("billing")))
        key = tmp_path / "client.key"
        good = key.read_bytes()
        key.write_bytes(b"torn")
        with pytest.raises(CertificateError, match=r"client\.key"):
            await dialer.dial(address, "test")
        for now_there in (good, b"torn", b"torn", good):
            key.write_bytes(now_there)
            await (await dialer.dial(address, "test")).aclose()
        assert caplog.text.count("new certificates are of no use, the last good ones stay in use: ") == 2


async def test_only_clients_that_may_operate_do(tmp_path: Path) -> None:
    files = node_files(tmp_path, "a")
    assert files.ca is not None
    tls = TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca, clients=RULES)
    transport = TcpTransport("127.0.0.1:0", tls=tls)
    async with served(transport) as (_, address):
        asking = TcpTransport("127.0.0.1:0", tls=tls_of(tmp_path, client_leaf("reports")))
        assert b"raft-client://test/reports may not operate" in await asking.ask(address, b'{"do":"status"}')
        assert transport.statistics().refused_by_reason["NO_RIGHT"] == 1
        asking = TcpTransport("127.0.0.1:0", tls=tls_of(tmp_path, client_leaf("billing")))
        assert b'"done"' in await asking.ask(address, b'{"do":"status"}')


async def test_who_serves_no_clients_or_another_cluster_is_named() -> None:
    older = attrs.evolve(THIS_VERSION, features=THIS_VERSION.features - {CLIENTS})
    async with served(TcpTransport("127.0.0.1:0", protocol=older)) as (_, address):
        with pytest.raises(ProtocolError, match="version that serves no clients: upgrade it"):
            await TcpDialer().dial(address, "test")
    async with served(TcpTransport("127.0.0.1:0", max_clients=1)) as (_, address):
        with pytest.raises(ProtocolError, match="OTHER_CLUSTER: this is a node of cluster 'test'"):
            await TcpDialer().dial(address, "other")
        async with client_at(address, None) as client:
            await client.wait_ready()
            with pytest.raises(ProtocolError, match="1 clients are served already"):
                await TcpDialer().dial(address, "test")


@pytest.mark.parametrize(
    ("name", "rights"),
    [("billing", ("read",)), ("uri:raft-client://a/*/*", ("read",)), ("cn:x", "read"), ("cn:x", ("reed",))],
)
def test_rules_that_are_none_are_refused(tmp_path: Path, name: str, rights: Any) -> None:
    with pytest.raises(ConfigurationError):
        tls_of(tmp_path, client_leaf("x"), clients={name: rights})
