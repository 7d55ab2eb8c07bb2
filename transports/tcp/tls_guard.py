"""Who may use a connection between nodes: those who can prove with a certificate who they are.

A `TlsGuard` binds what a node says of itself to its certificate, in both directions: the dialer looks before it says a
word of Raft, the other side once it knows who the dialer says to be. A connection counts as one to a peer only when
that peer has answered the hello: TLS alone proves little to the dialer, because in TLS 1.3 its handshake is over before
the other side has looked at its certificate.
"""

from __future__ import annotations

import logging

import attrs
import trio

from raft_actors.errors import CertificateError
from raft_actors.node_log import NodeLog
from raft_actors.records import define
from raft_actors.transports.abc import Endpoint
from raft_actors.transports.conversation import Caller
from raft_actors.transports.sockets.stream import TcpStream
from raft_actors.transports.tcp.guard import Guard
from raft_actors.transports.tls.config import TlsConfig
from raft_actors.transports.tls.credentials import Credentials
from raft_actors.transports.tls.failures import TlsFailure, Trouble
from raft_actors.transports.tls.keeper import CredentialsKeeper
from raft_actors.transports.tls.naming import names_in
from raft_actors.transports.tls.rights import caller_of
from raft_actors.transports.tls.stream import TlsStream

logger: logging.Logger = logging.getLogger(__name__)

_TLS_HANDSHAKE = b"\x16"
"""The first byte of a TLS connection. A hello of ours, smaller than 16 MiB, begins with a zero."""


@define(eq=False)
class TlsGuard(Guard):
    """Takes who has a certificate, as the node that it is for.

    Attributes:
        config: by what rules.
        endpoint: the node it works for.
        keeper: that node's own certificate.
    """

    config: TlsConfig
    endpoint: Endpoint
    keeper: CredentialsKeeper = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        config, log = self.config, NodeLog(logger, self.endpoint.node_id)
        self.keeper = CredentialsKeeper(
            files=config.files,
            check=self._check_own,
            expiring=self.endpoint.certificate_expiring,
            log=log,
            check_interval_s=config.check_interval_s,
            warn_before_expiry_s=config.warn_before_expiry_s,
        )
        if config.plain != "refused":
            log.warning(
                "connections without TLS are %s too (plain=%r): until that ends, whoever reaches the port can pose as "
                "a node",
                *(config.plain, config.plain),
            )

    def _check_own(self, credentials: Credentials) -> None:
        cluster, node = self.endpoint.cluster_id, self.endpoint.node_id
        try:
            self.config.names.check(credentials.certificate, cluster, node)
        except TlsFailure as failure:
            raise CertificateError(f"{self.config.certificate}, of node {node!r} itself: {failure}") from failure

    async def secure_incoming(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        """See `Guard.secure_incoming`. A plain connection is returned as it is: `check_caller` judges it."""
        if not isinstance(stream, TcpStream) or await stream.wait_data() != _TLS_HANDSHAKE:
            return stream
        secured = TlsStream(stream, self.keeper.current.server, server_side=True)
        await secured.do_handshake()
        return secured

    async def secure_outgoing(self, stream: trio.abc.Stream, peer: str) -> trio.abc.Stream:
        """See `Guard.secure_outgoing`."""
        if not isinstance(stream, TcpStream) or self.config.plain == "sent":
            return stream
        secured = TlsStream(stream, self.keeper.current.client, server_side=False)
        await secured.do_handshake()
        self.config.names.check(secured.certificate, self.endpoint.cluster_id, peer)
        return secured

    def check_caller(self, stream: trio.abc.Stream, sender: str) -> None:
        """See `Guard.check_caller`."""
        if isinstance(stream, TlsStream):
            self.config.names.check(stream.certificate, self.endpoint.cluster_id, sender)
        elif self.config.plain == "refused":
            raise TlsFailure(Trouble.PLAIN)

    def check_outsider(self, stream: trio.abc.Stream, name: str) -> Caller:
        """See `Guard.check_outsider`. Its certificate says who it is, and what it may do (`TlsConfig.clients`)."""
        if isinstance(stream, TlsStream):
            cluster, config = self.endpoint.cluster_id, self.config
            return caller_of(stream.certificate, cluster, config.clients, config.names, _named(stream))
        if self.config.plain == "refused":
            raise TlsFailure(Trouble.PLAIN)
        return Guard.check_outsider(self, stream, name)


def _named(stream: TlsStream) -> str:
    """All names in the other side's certificate."""
    named = ", ".join(name for kind in ("uri", "dns", "cn") for name in names_in(stream.certificate, kind))
    return named or "somebody whose certificate names nobody"


async def secured_for_asking(stream: TcpStream, tls: TlsConfig, own: Credentials) -> trio.abc.Stream:
    """The stream to ask a node over. Which node it is, who asks need not know; that it is one, and no client that has
    a certificate of the same CA, the certificate says.

    Raises:
        TlsFailure, trio.BrokenResourceError: the connection can't be secured.
    """
    secured = TlsStream(stream, own.client, server_side=False)
    await secured.do_handshake()
    tls.names.check_any(secured.certificate)
    return secured
