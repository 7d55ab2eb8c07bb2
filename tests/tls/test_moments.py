"""Certificates at awkward moments: replaced in the middle of a handshake, on a clock that jumps, near their end."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from typing_extensions import override

from raft_actors import CertificateExpiring
from raft_actors.transports import TcpTransport, TlsConfig
from raft_actors.transports.sockets.stream import TcpStream
from raft_actors.transports.tls.credentials import CertificateFiles, Credentials
from raft_actors.transports.tls.failures import TlsFailure, Trouble
from raft_actors.transports.tls.keeper import CredentialsKeeper
from raft_actors.transports.tls.stream import TlsStream
from raft_actors.transports.tls.today import DAY_S, now_s
from raft_actors.transports.wire.frames import frame
from raft_actors.transports.wire.handshake import THIS_VERSION, Answer, Hello, Verdict
from tests.tls.certificates import DAY, Issuer, authority, name_of, node_files
from tests.tls.test_clients import served
from tests.transports.support import Member


def tls_of(files: CertificateFiles) -> TlsConfig:
    assert files.ca is not None
    return TlsConfig(certificate=files.certificate, key=files.key, ca=files.ca)


def address_of(transport: TcpTransport) -> tuple[str, int]:
    assert transport.address is not None
    host, _, port = transport.address.partition(":")
    return host, int(port)


class HeldStream(TcpStream):
    """Hands on what it has heard only when it is told to."""

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        self.heard, self.go_on = trio.Event(), trio.Event()

    @override
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await super().receive_some(max_bytes)
        self.heard.set()
        await self.go_on.wait()
        return data


async def test_a_handshake_under_way_ends_by_the_files_that_it_began_with(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    transport = TcpTransport("127.0.0.1:0", tls=tls_of(node_files(tmp_path, "a")), handshake_timeout_s=60.0)
    a = Member.make(transport, "a", {"b": "127.0.0.1:1"})
    await a.start(nursery)
    b = Member.make(TcpTransport("127.0.0.1:0"), "b", {"a": "127.0.0.1:1"})
    of_b = Credentials.load(node_files(tmp_path, "b")).client
    newer = Issuer.make("newer CA", key=5)

    held = HeldStream(await trio.open_tcp_stream(*address_of(transport)))
    began = TlsStream(held, of_b, server_side=False)
    async with trio.open_nursery() as shaking:
        shaking.start_soon(began.do_handshake)
        await held.heard.wait()  # a has shown its old certificate, and b none yet
        newer.issue(name_of("a"), key=6).write(tmp_path, "a", newer)
        await transport.reload_certificates()
        held.go_on.set()
    await began.send_all(frame(Hello.of(b.endpoint, "a", THIS_VERSION).encode()))
    assert Answer.decode((await began.receive_some())[4:]).verdict is Verdict.ACCEPTED
    await trio.aclose_forcefully(began)

    # Who begins now is shown the new one, and judged by the new CA.
    late = TlsStream(TcpStream(await trio.open_tcp_stream(*address_of(transport))), of_b, server_side=False)
    with pytest.raises(TlsFailure) as failed:
        await late.do_handshake()
    assert failed.value.trouble is Trouble.UNKNOWN_CA
    await trio.aclose_forcefully(late)


def resumes(credentials: Credentials) -> bool:
    """Whether a second connection goes on with the session of a first one."""
    session: ssl.SSLSession | None = None
    resumed = False
    for _ in range(2):
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        caller = credentials.client.wrap_bio(back, there, server_side=False, session=session)
        called = credentials.server.wrap_bio(there, back, server_side=True)
        for end in (caller, called):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
        caller.do_handshake()
        called.do_handshake()
        called.write(b"x")
        assert caller.read(1) == b"x"  # and with it what the other side wants kept of this session
        session, resumed = caller.session, bool(caller.session_reused)
    return resumed


def test_no_session_is_resumed(tmp_path: Path) -> None:
    """So that nobody gets in on what an older set of files allowed."""
    credentials = Credentials.load(node_files(tmp_path, "n1"))
    assert not resumes(credentials)
    credentials.server.num_tickets = 2
    assert resumes(credentials)


async def test_a_coming_end_is_told_once_a_day_however_the_clock_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    began, passed_s = now_s(), 0.0
    monkeypatch.setattr("raft_actors.transports.tls.keeper.now_s", lambda: began + passed_s)
    files = authority().issue(name_of("n1"), ends=29 * DAY).write(tmp_path, "n1", authority())
    told: list[float] = []
    keeper = CredentialsKeeper(files=files, expiring=told.append)
    await keeper.load()
    assert told == [keeper.statistics.expires_at]
    hour_s = DAY_S / 24
    for passed_s, expected in (
        (hour_s, 1),
        (DAY_S + hour_s, 2),
        (DAY_S + 2 * hour_s, 2),
        (hour_s, 3),  # back by a day: it does not wait for two
        (-5 * DAY_S, 3),  # so far back that the end is not near any more
        (0.0, 4),
        (28 * DAY_S, 5),
        (30 * DAY_S, 6),
        (30 * DAY_S + hour_s, 6),
    ):
        keeper._watch_end()
        assert len(told) == expected, passed_s / DAY_S
    assert "has ended, and others refuse it" in caplog.text


async def test_who_subscribes_to_a_nodes_events_is_told_of_a_coming_end(tmp_path: Path) -> None:
    transport = TcpTransport("127.0.0.1:0", tls=tls_of(node_files(tmp_path, "a")))
    async with served(transport) as (node, _), node.events() as events:
        authority().issue(name_of("a"), ends=28 * DAY).write(tmp_path, "a", authority())
        await transport.reload_certificates()
        with trio.fail_after(60):
            event = await events.receive()
            while not isinstance(event, CertificateExpiring):
                event = await events.receive()
        certificate = transport.statistics().certificate
        assert certificate is not None
        assert event.expires_at == certificate.expires_at < now_s() + 28 * DAY_S
