"""Who may operate a cluster over TLS: whoever has a certificate of it, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from raft_actors.errors import TransportError
from raft_actors.transports import TcpTransport, TlsConfig
from raft_actors.transports.conversation import Caller
from raft_actors.transports.tls.credentials import CertificateFiles
from tests.tls.certificates import Leaf, authority, name_of, node_files
from tests.transports.support import Member, wait_until


def config(files: CertificateFiles) -> TlsConfig:
    assert files.ca is not None
    return TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca)


async def echo(request: bytes, caller: Caller) -> bytes:
    await trio.lowlevel.checkpoint()
    return request + caller.name.encode()


@asynccontextmanager
async def node(folder: Path) -> AsyncGenerator[Member]:
    member = Member.make(TcpTransport("127.0.0.1:0", tls=config(node_files(folder, "a"))), "a", {})
    member.endpoint = attrs.evolve(member.endpoint, operate=echo)
    async with trio.open_nursery() as nursery:
        await member.start(nursery)
        yield member
        nursery.cancel_scope.cancel()


def address(member: Member) -> str:
    assert isinstance(member.transport, TcpTransport)
    assert member.transport.address is not None
    return member.transport.address


async def test_an_operator_with_a_certificate_of_the_cluster_is_heard_by_name(tmp_path: Path) -> None:
    async with node(tmp_path) as member:
        tls = config(authority().issue("raft-operator://test/alice").write(tmp_path, "alice", authority()))
        reply = await TcpTransport("127.0.0.1:0", tls=tls).ask(address(member), b"status ")
        assert reply.startswith(b"status raft-operator://test/alice")


@pytest.mark.parametrize(
    ("leaf", "counted"),
    [
        (authority().issue(name_of("a", "other")), "OTHER_CLUSTER"),
        (authority().issue(dns=("alice",)), "NO_NAME"),
        (None, "PLAIN"),
    ],
    ids=["other cluster", "no name", "plain"],
)
async def test_others_are_refused_by_name(tmp_path: Path, leaf: Leaf | None, counted: str) -> None:
    async with node(tmp_path) as member:
        tls = None if leaf is None else config(leaf.write(tmp_path, "mallory", authority()))
        with pytest.raises(TransportError):
            await TcpTransport("127.0.0.1:0", tls=tls).ask(address(member), b"status")
        await wait_until(lambda: member.transport.statistics().refused_by_reason[counted] == 1)
