"""Nodes over TLS: who has the right certificate gets through, and everybody else is refused by name on both sides."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from raft_actors.errors import CertificateError, ConfigurationError
from raft_actors.transports import TcpTransport, TlsConfig
from raft_actors.transports.tls.credentials import CertificateFiles, Credentials, make_contexts
from tests.tls.certificates import CLIENT, DAY, SERVER, Issuer, Leaf, authority, name_of, node_files, stranger
from tests.transports.sending import chunk
from tests.transports.support import Member, free_port, numbered, wait_until


@attrs.define
class World:
    """Members on ports of their own, with certificates in a folder of their own."""

    folder: Path
    addresses: dict[str, str]

    def config(self, node: str, files: CertificateFiles | None = None, **settings: Any) -> TlsConfig:
        found = files or node_files(self.folder, node)
        assert found.ca is not None
        return TlsConfig(certificate=found.certificate, key=found.key, ca=found.ca, **settings)

    def member(self, node: str, tls: TlsConfig | None, cluster: str = "test") -> Member:
        others = {peer: address for peer, address in self.addresses.items() if peer != node}
        transport = TcpTransport(self.addresses[node], tls=tls, seed=1, reconnect_delay_s=(0.01, 0.02))
        return Member.make(transport, node, others, cluster_id=cluster)

    def node(self, node: str, **settings: Any) -> Member:
        return self.member(node, self.config(node, **settings))


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, {node: f"127.0.0.1:{stack.enter_context(free_port())}" for node in "ab"})


async def run(nursery: trio.Nursery, *members: Member) -> None:
    for member in members:
        await member.start(nursery)


def refusals(member: Member) -> set[str]:
    return set(member.transport.statistics().refused_by_reason)


async def test_messages_get_through_encrypted(world: World, nursery: trio.Nursery) -> None:
    a, b = world.node("a"), world.node("b")
    await run(nursery, a, b)
    await a.exchange(b, numbered(1))
    await b.exchange(a, numbered(2))
    assert a.peer("b").encrypted
    assert b.peer("a").encrypted
    statistics = a.transport.statistics()
    assert not statistics.refused_by_reason
    assert statistics.certificate is not None
    assert statistics.certificate.expires_at > 0


async def test_much_gets_through_whole(world: World, nursery: trio.Nursery) -> None:
    a, b = world.node("a"), world.node("b")
    await run(nursery, a, b)
    await a.wait_connected("b")
    messages = [chunk(size) for size in (1, 99_000, 16_384, 60_000)] * 20
    for message in messages:
        assert a.transport.send_nowait("b", message)
    await wait_until(lambda: len(b.received) == len(messages))
    assert [message for _, message in b.received] == messages


# Of b, whom a refuses: b's certificate, what a counts, and what b counts.
REFUSED: dict[str, tuple[Callable[[], Leaf], str, str]] = {
    "expired": (
        lambda: authority().issue(name_of("b"), ends=timedelta(seconds=-60)),
        "CERTIFICATE_EXPIRED",
        "REFUSED_HERE",
    ),
    "not yet valid": (lambda: authority().issue(name_of("b"), starts=DAY), "CERTIFICATE_NOT_YET_VALID", "REFUSED_HERE"),
    "wrong CA": (lambda: stranger().issue(name_of("b")), "UNKNOWN_CA", "REFUSED_HERE"),
    "no client": (lambda: authority().issue(name_of("b"), uses=(SERVER,)), "WRONG_USAGE", "REFUSED_HERE"),
    "no server": (lambda: authority().issue(name_of("b"), uses=(CLIENT,)), "WRONG_USAGE", "REFUSED_HERE"),
    "wrong id": (lambda: authority().issue(name_of("c")), "OTHER_NODE", "NOT_PROVEN"),
    "wrong cluster": (lambda: authority().issue(name_of("b", "other")), "OTHER_CLUSTER", "NOT_PROVEN"),
    "no name": (lambda: authority().issue(dns=("b",)), "NO_NAME", "NOT_PROVEN"),
    "CA below a CA that may have none": (
        lambda: below_the_last().issue(name_of("b")),
        "CHAIN_TOO_LONG",
        "REFUSED_HERE",
    ),
    "huge chain": (lambda: with_a_huge_chain(authority().issue(name_of("b"))), "TOO_MUCH", "ENDED"),
}


def below_the_last() -> Issuer:
    last = Issuer.make("last", authority(), key=3, path_length=0)
    return Issuer.make("below the last", last, key=4)


def with_a_huge_chain(leaf: Leaf) -> Leaf:
    """Larger than an honest handshake, and smaller than what OpenSSL takes by itself."""
    return attrs.evolve(leaf, chain=(*leaf.chain, *200 * (authority().certificate,)))


def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a node start with a certificate that it would itself find wrong."""

    def load(files: CertificateFiles) -> Credentials:
        return Credentials(*make_contexts(files), {}, 2e9)

    monkeypatch.setattr(Credentials, "load", load)
    monkeypatch.setattr("raft_actors.transports.tcp.tls_guard.TlsGuard._check_own", lambda _guard, _credentials: None)


@pytest.mark.parametrize("case", REFUSED)
async def test_a_wrong_certificate_is_refused_by_name_on_one_side_and_counted_on_the_other(
    world: World, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    trusting(monkeypatch)
    make, told, counted = REFUSED[case]
    a = world.node("a")
    b = world.member("b", world.config("b", make().write(world.folder, "b", authority())))
    await run(nursery, a, b)

    def both_know() -> bool:
        of_b = b.transport.statistics()
        return told in refusals(a) and (counted in refusals(b) or counted in of_b.peers["a"].refusals_by_reason)

    await wait_until(both_know)
    assert case == "no client" or not a.peer("b").connected  # a's own connection to such a server is in order
    assert case == "no server" or not b.peer("a").connected
    assert not a.received
    assert not b.received
    assert any("at 127.0.0.1" in record.message or "peer b" in record.message for record in caplog.records)


async def test_a_peer_without_tls_is_refused_in_words_that_it_understands(
    world: World, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = world.node("a"), world.member("b", None)
    await run(nursery, a, b)
    await wait_until(lambda: b.peer("a").refusals_by_reason["NOT_PROVEN"] > 0 and "ENDED" in refusals(a))
    assert "PLAIN" in refusals(a)
    assert "without TLS" in caplog.text
    assert not b.received


async def test_a_running_cluster_changes_to_tls_node_by_node(world: World, nursery: trio.Nursery) -> None:
    stages: list[TlsConfig | None] = [
        None,
        *(world.config("a", plain=plain) for plain in ("sent", "accepted", "refused")),
    ]
    others: list[TlsConfig | None] = [
        None,
        *(world.config("b", plain=plain) for plain in ("sent", "accepted", "refused")),
    ]
    number = 0
    for stage in range(len(stages)):
        for mine in {max(0, stage - 1), stage}:
            a, b = world.member("a", stages[mine]), world.member("b", others[stage])
            await run(nursery, a, b)
            number += 1
            await a.exchange(b, numbered(number))
            await b.exchange(a, numbered(number))
            await a.stop()
            await b.stop()


async def test_new_files_are_taken_and_connections_stay(world: World, nursery: trio.Nursery) -> None:
    a, b = (world.node(node, check_interval_s=0.02) for node in "ab")
    await run(nursery, a, b)
    await a.exchange(b, numbered(1))
    connects = a.peer("b").connects
    newer = Issuer.make("newer CA", key=5)

    def taken(member: Member) -> int:
        statistics = member.transport.statistics().certificate
        assert statistics is not None
        return statistics.reloads

    for trusted, issuer in (((authority(), newer), authority()), ((authority(), newer), newer), ((newer,), newer)):
        before = taken(a), taken(b)
        for node in "ab":
            issuer.issue(name_of(node), key=6).write(world.folder, node, *trusted)
        await wait_until(lambda before=before: taken(a) > before[0] and taken(b) > before[1])  # type: ignore[misc]
        await a.exchange(b, numbered(2))
    assert a.peer("b").connects == connects
    # And a new connection is made with the new ones.
    await b.stop()
    await b.start(nursery)
    await a.reach(b, numbered(3))
    assert not refusals(a)


async def test_broken_files_change_nothing(
    world: World, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = (world.node(node, check_interval_s=0.02) for node in "ab")
    await run(nursery, a, b)
    a_transport = a.transport
    assert isinstance(a_transport, TcpTransport)
    key = world.folder / "a.key"
    good = key.read_bytes()
    key.write_bytes(b"torn")

    def failures() -> int:
        statistics = a.transport.statistics().certificate
        assert statistics is not None
        return statistics.failed_reloads

    await wait_until(lambda: failures() == 1)
    assert "the last good ones stay in use" in caplog.text
    with pytest.raises(CertificateError, match=r"a\.key"):
        await a_transport.reload_certificates()
    await b.stop()
    await b.start(nursery)
    await a.reach(b, numbered(1))
    key.write_bytes(good)
    await a_transport.reload_certificates()
    statistics = a.transport.statistics().certificate
    assert statistics is not None
    assert statistics.last_failure is None


async def test_a_nodes_own_certificate_is_checked_before_it_listens(world: World, nursery: trio.Nursery) -> None:
    files = authority().issue(name_of("b")).write(world.folder, "a", authority())
    a = world.member("a", world.config("a", files))
    with pytest.raises(CertificateError, match="of node 'a' itself: its certificate is another node's"):
        await a.transport.run(a.endpoint)
    assert isinstance(a.transport, TcpTransport)
    assert a.transport.address is None


async def test_a_coming_end_is_told(world: World, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    told: list[float] = []
    for days, expected in ((31, 0), (29, 1)):
        files = authority().issue(name_of("a"), ends=days * DAY).write(world.folder, "a", authority())
        a = world.member("a", world.config("a", files, check_interval_s=0.01))
        a.endpoint = attrs.evolve(a.endpoint, certificate_expiring=told.append)
        await run(nursery, a)
        await trio.sleep(0.1)  # it is looked at several times, and told once
        assert len(told) == expected
        await a.stop()
    assert "put a new one in its place" in caplog.text


async def test_reloading_without_certificates_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="there are no certificates to load"):
        await TcpTransport("127.0.0.1:0").reload_certificates()
