"""Operators over TLS: whoever has a certificate of the cluster is heard, and nobody else."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from raft_actors.errors import CertificateError, Unreachable
from raft_actors.transports import TcpTransport, TlsConfig
from raft_actors.transports.conversation import Caller
from raft_actors.transports.tls.credentials import CertificateFiles
from tests.tls.certificates import authority, node_files, stranger
from tests.transports.support import Member, free_port


def config(files: CertificateFiles, **settings: str) -> TlsConfig:
    assert files.ca is not None
    return TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca, **settings)  # type: ignore[arg-type]


def operator(tls: TlsConfig | None) -> TcpTransport:
    return TcpTransport("127.0.0.1:0", tls=tls)


async def test_whoever_has_a_certificate_of_the_cluster_is_heard(tmp_path: Path, nursery: trio.Nursery) -> None:
    askers: list[str] = []

    async def operate(request: bytes, caller: Caller) -> bytes:
        await trio.lowlevel.checkpoint()
        askers.append(caller.name)
        return request

    with free_port() as port:
        where = f"127.0.0.1:{port}"
        node = Member.make(TcpTransport(where, tls=config(node_files(tmp_path, "a"))), "a", {})
        node.endpoint = attrs.evolve(node.endpoint, operate=operate)
        await node.start(nursery)
        ours = operator(config(node_files(tmp_path, "operator")))
        assert await ours.ask(where, b"this") == b"this"
        assert [asker.split(", ")[0] for asker in askers] == ["raft://test/operator"]

        with pytest.raises(Unreachable):
            await operator(None).ask(where, b"without a certificate")
        others = stranger().issue("raft://test/a").write(tmp_path, "stranger", stranger())
        with pytest.raises(Unreachable):
            await operator(config(others)).ask(where, b"with another CA's")
        assert len(askers) == 1
        refused = node.transport.statistics().refused_by_reason
        assert refused["PLAIN"] == 1
        assert sum(refused.values()) >= 2


async def test_while_plain_connections_are_accepted_so_are_plain_operators(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    async def operate(request: bytes, _caller: Caller) -> bytes:
        await trio.lowlevel.checkpoint()
        return request

    with free_port() as port:
        where = f"127.0.0.1:{port}"
        node = Member.make(TcpTransport(where, tls=config(node_files(tmp_path, "a"), plain="accepted")), "a", {})
        node.endpoint = attrs.evolve(node.endpoint, operate=operate)
        await node.start(nursery)
        assert await operator(None).ask(where, b"this") == b"this"


async def test_who_has_no_nodes_certificate_is_asked_for_nothing(tmp_path: Path, nursery: trio.Nursery) -> None:
    """A client may have a certificate of the same CA: what it answers in a node's place is not believed."""

    async def operate(request: bytes, _caller: Caller) -> bytes:
        await trio.lowlevel.checkpoint()
        return request

    posing = config(authority().issue("raft-client://test/mallory", key=3).write(tmp_path, "mallory", authority()))
    settings = attrs.evolve(posing, names="uri:raft-client://{cluster}/{node}")
    node = Member.make(TcpTransport("127.0.0.1:0", tls=settings), "mallory", {})
    node.endpoint = attrs.evolve(node.endpoint, operate=operate)
    await node.start(nursery)
    assert isinstance(node.transport, TcpTransport)
    assert node.transport.address is not None
    for names in ("uri:raft://{cluster}/{node}", "dns:{node}.{cluster}.example.org"):
        asking = attrs.evolve(config(node_files(tmp_path, "a")), names=names)
        with pytest.raises(Unreachable, match="names no node"):
            await operator(asking).ask(node.transport.address, b"this")


async def test_who_runs_asks_with_its_last_good_certificate(tmp_path: Path, nursery: trio.Nursery) -> None:
    """A node that joins goes on asking while somebody puts new files in the place of its own."""

    async def operate(request: bytes, caller: Caller) -> bytes:
        await trio.lowlevel.checkpoint()
        return request + caller.name.split(",")[0].encode()

    node = Member.make(TcpTransport("127.0.0.1:0", tls=config(node_files(tmp_path, "a"))), "a", {})
    node.endpoint = attrs.evolve(node.endpoint, operate=operate)
    files = node_files(tmp_path, "b")
    joining = Member.make(TcpTransport("127.0.0.1:0", tls=config(files)), "b", {})
    for member in (node, joining):
        await member.start(nursery)
    assert isinstance(node.transport, TcpTransport)
    assert node.transport.address is not None
    files.key.write_bytes(b"torn")
    assert await joining.transport.ask(node.transport.address, b"from ") == b"from raft://test/b"


async def test_who_does_not_run_asks_with_the_last_good_files_and_is_told_at_once_of_bad_ones(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    async def operate(request: bytes, _caller: Caller) -> bytes:
        await trio.lowlevel.checkpoint()
        return request

    node = Member.make(TcpTransport("127.0.0.1:0", tls=config(node_files(tmp_path, "a"))), "a", {})
    node.endpoint = attrs.evolve(node.endpoint, operate=operate)
    await node.start(nursery)
    assert isinstance(node.transport, TcpTransport)
    assert node.transport.address is not None
    files = node_files(tmp_path, "operator")
    asking, good = operator(config(files)), files.key.read_bytes()
    files.key.write_bytes(b"torn")
    with free_port() as nobody:
        for address in (node.transport.address, f"127.0.0.1:{nobody}"):
            with pytest.raises(CertificateError, match=r"operator\.key"):
                await asking.ask(address, b"this")
    for now_there in (good, b"torn"):
        files.key.write_bytes(now_there)
        assert await asking.ask(node.transport.address, b"this") == b"this"
    assert "new certificates are of no use, the last good ones stay in use: " in caplog.text
