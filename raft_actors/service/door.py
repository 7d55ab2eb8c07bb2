"""Who gets in: room for connections, their number for each address, TLS, and the users that a file names.

A connection whose client has not said who it is yet, where it has to, is a stranger. Strangers have a time limit, and
where there is no room the oldest of them makes some, so that a flood of idle connections does not lock clients out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
import trio

from raft_actors.errors import ConfigurationError
from raft_actors.records import define
from raft_actors.service.connection import Context, Session
from raft_actors.service.users import read_users
from raft_actors.transports.sockets.accepting import AddressBudget, SharedBudget, network_of
from raft_actors.transports.sockets.direct import DirectStream
from raft_actors.transports.sockets.stream import TcpStream
from raft_actors.transports.tls.credentials import CertificateFiles
from raft_actors.transports.tls.keeper import CredentialsKeeper
from raft_actors.transports.tls.stream import TlsStream

_logger = logging.getLogger(__name__)

_CHECK_S = 2.0
_MOST_TOLD = 256
_LINES, _LINES_PER_S = 256, 1.0  # about those who are rejected, at once and from then on: a flood fills no disk
_BURST_S = 10

UNKNOWN_CLIENT_BYTES = 64 * 1024
"""What a client may make the service hold before it has said who it is."""


def _keeper(files: CertificateFiles | None) -> CredentialsKeeper | None:
    return None if files is None else CredentialsKeeper(files=files)


def _budget(at_once: int, per_s: float) -> AddressBudget:
    """All that may be connected may come at once, as they do when another node has gone."""
    return AddressBudget(max(at_once, _BURST_S * per_s), per_s)


@define(eq=False)
class Door:
    """Lets connections in.

    Attributes:
        context: what it lets them into.
        keeper: the certificate that clients are shown; None: there is no TLS.
        budget: how many connections may be opened.
    """

    context: Context
    keeper: CredentialsKeeper | None = attrs.field(init=False)
    budget: SharedBudget = attrs.field(init=False)
    _by_network: dict[str, dict[Session, None]] = attrs.field(factory=dict[str, dict[Session, None]], init=False)
    _told: dict[tuple[str, str], None] = attrs.field(factory=dict[tuple[str, str], None], init=False)
    _lines: AddressBudget = attrs.field(factory=lambda: AddressBudget(_LINES, _LINES_PER_S), init=False)
    _look: object = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        config = self.context.config
        self.keeper = _keeper(config.tls)
        per_address = config.max_connections_per_address or config.max_connections
        self.budget = SharedBudget(
            each=_budget(per_address, config.max_connects_per_address_s),
            together=_budget(config.max_connections, config.max_connects_s),
            is_known=self._has_client_at,
            known=self._networks_of_clients,
        )
        self.context.unheard = self.budget.refused

    async def open(self) -> None:
        """Read certificates and users.

        Raises:
            ConfigurationError: a file is of no use; it is named.
        """
        if self.keeper is not None:
            await self.keeper.load()
        users = self.context.config.users
        if users is not None:
            self._look = _look_at(users)
            self.context.logins.users = read_users(users)

    async def watch(self) -> None:
        """Follow the files, until cancelled."""
        async with trio.open_nursery() as nursery:
            if self.keeper is not None:
                nursery.start_soon(self.keeper.watch)
            users = self.context.config.users
            while users is not None:
                await trio.sleep(_CHECK_S)
                self._follow(users)
            await trio.sleep_forever()

    def _follow(self, users: Path) -> None:
        look = _look_at(users)
        if look == self._look:
            return
        self._look = look
        try:
            self.context.logins.users = read_users(users)
        except ConfigurationError as error:
            _logger.error("the file of users is of no use, those read last stay: %s", error)  # noqa: TRY400
            return
        for session, stream in self.context.sessions.items():
            # Whose password or rights have changed logs in again.
            if session.user is not None and self.context.logins.users.get(session.user.name) != session.user:
                session.closing = True
                stream.end_receiving()

    def let_in(self, session: Session, stream: TcpStream) -> str | None:
        """Make room for a connection; return why there is none."""
        context, config, network = self.context, self.context.config, network_of(stream.peer_host)
        per_address = config.max_connections_per_address
        if per_address is not None and len(self._by_network.get(network, ())) >= per_address:
            return "MAX_CONNECTIONS_PER_ADDRESS"
        if len(context.sessions) >= config.max_connections and not _displace(context.sessions, "DISPLACED"):
            return "MAX_CONNECTIONS"
        default = context.default_user()
        session.become(None if self.keeper is not None else default)
        if session.user is None:
            session.life.deadline = trio.current_time() + config.login_timeout_s
            self._bound_strangers(network)
        self._by_network.setdefault(network, {})[session] = None
        context.sessions[session] = stream
        return None

    def _bound_strangers(self, network: str) -> None:
        """Make room for one more stranger from there: a flood of them displaces itself before it displaces others."""
        sessions = self._by_network.get(network, {})
        strangers = sum(_is_stranger(session) for session in sessions)
        if strangers >= self.context.config.max_handshakes_per_address:
            _displace(sessions, "MAX_HANDSHAKES_PER_ADDRESS")

    def _has_client_at(self, network: str) -> bool:
        return any(session.user is not None for session in self._by_network.get(network, ()))

    def _networks_of_clients(self) -> Iterator[str]:
        return (network for network in self._by_network if self._has_client_at(network))

    async def secure(self, session: Session, stream: TcpStream) -> DirectStream:
        """The stream to talk over, for a connection that was let in.

        Raises:
            TlsFailure: it can't be secured.
            trio.BrokenResourceError: as it comes.
        """
        if self.keeper is None:
            return stream
        secured = TlsStream(stream, self.keeper.current.server, server_side=True)
        await secured.do_handshake()
        session.become(self.context.default_user())
        self.context.sessions[session] = secured
        return secured

    def let_out(self, session: Session, stream: TcpStream) -> None:
        """A connection that was let in has ended."""
        if self.context.sessions.pop(session, None) is not None:
            network = network_of(stream.peer_host)
            del self._by_network[network][session]
            if not self._by_network[network]:
                del self._by_network[network]

    def reject(self, stream: TcpStream, cause: str, why: str = "") -> None:
        """Count a connection that came to nothing; tell of the first of its kind from each address, up to a bound."""
        statistics = self.context.statistics
        statistics.rejected_connections += 1
        statistics.rejected_by_cause[cause] += 1
        told = (stream.peer_host, cause)
        if told in self._told or not self._lines.admits(""):
            return
        self._told[told] = None
        if len(self._told) > _MOST_TOLD:
            del self._told[next(iter(self._told))]
        left_out, self._lines.refused = self._lines.refused, 0
        more = f" ({left_out:,} such lines before this one were left out: there were too many)" if left_out else ""
        _logger.warning("rejected a client at %s, as all such from there: %s%s", stream.peer_host, why or cause, more)


def _is_stranger(session: Session) -> bool:
    return session.user is None and not session.life.cancel_called


def _displace(sessions: Iterable[Session], bound: str) -> bool:
    """End the connection of the oldest stranger among them, if there is one."""
    oldest = next(filter(_is_stranger, sessions), None)
    if oldest is None:
        return False
    oldest.displaced = bound
    oldest.life.cancel()
    return True


def _look_at(file: Path) -> object:
    try:
        found = file.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino
