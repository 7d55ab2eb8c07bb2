"""A client's way to nodes over TCP."""

from __future__ import annotations

import logging

import attrs
import trio
from typing_extensions import override

from raft_actors.errors import ProtocolError, Unreachable
from raft_actors.records import define
from raft_actors.transports.conversation import Conversation, Dialer
from raft_actors.transports.sockets.addresses import Address
from raft_actors.transports.sockets.connecting import connect
from raft_actors.transports.sockets.listening import tune
from raft_actors.transports.sockets.stream import TcpStream
from raft_actors.transports.tcp.conversing import StreamConversation
from raft_actors.transports.tls.config import TlsConfig
from raft_actors.transports.tls.keeper import LastGood
from raft_actors.transports.tls.stream import TlsStream
from raft_actors.transports.wire.client_handshake import check_answer, client_hello
from raft_actors.transports.wire.frames import frame
from raft_actors.transports.wire.handshake import THIS_VERSION, Answer, Hello

logger: logging.Logger = logging.getLogger(__name__)


@define(eq=False, kw_only=True)
class TcpDialer(Dialer):
    """Connects with nodes that have a `TcpTransport`.

    Attributes:
        name: what the client calls itself, for the nodes' logs. With TLS its certificate says who it is.
        tls: the client's certificate, its key, and the CA of the nodes; None: no TLS. New files are taken by the next
            connection, if they are of use; else the last good ones stay in use.
        connect_timeout_s: limit of one attempt to reach a node, handshake included.
        dead_peer_timeout_s: a connection on which the node's machine answers nothing for so long is given up.
        max_reply_bytes: the largest reply that is taken.
    """

    name: str = "client"
    tls: TlsConfig | None = None
    connect_timeout_s: float = 2.0
    dead_peer_timeout_s: float = 3.0
    max_reply_bytes: int = 64 * 1024 * 1024
    log: logging.Logger = attrs.field(default=logger, init=False, repr=False)
    _own: LastGood | None = attrs.field(default=None, init=False, repr=False)

    @override
    async def dial(self, address: str, cluster_id: str, node_id: str | None = None) -> Conversation:
        """Connect with a node (see `Dialer.dial`)."""
        hello = client_hello(cluster_id, self.name, THIS_VERSION)
        try:
            with trio.fail_after(self.connect_timeout_s):
                return await self._greet(address, hello, cluster_id, node_id)
        except trio.TooSlowError as error:
            raise Unreachable(
                f"nobody answers at {address}: no connection within {self.connect_timeout_s} s"
            ) from error
        except ProtocolError as error:
            raise ProtocolError(f"the node at {address} does not serve this client: {error}") from error
        except (OSError, UnicodeError, trio.BrokenResourceError) as error:
            raise Unreachable(f"nobody answers at {address}: {error.__cause__ or error}") from error

    async def _greet(self, address: str, hello: Hello, cluster_id: str, node_id: str | None) -> Conversation:
        tcp = await connect(Address.parse(address), self.connect_timeout_s)
        tune(tcp, self.dead_peer_timeout_s)
        plain = TcpStream(tcp)
        stream: trio.abc.Stream = plain
        try:
            stream = await self._secured(plain, cluster_id, node_id)
            await stream.send_all(frame(hello.encode()))
            conversation = StreamConversation(stream, self.max_reply_bytes)
            answer = await conversation.receive_first()
            if answer is None:
                raise Unreachable(f"the node at {address} closed the connection: its log tells why")
            check_answer(Answer.decode(answer), THIS_VERSION)
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return conversation

    async def _secured(self, stream: TcpStream, cluster_id: str, node_id: str | None) -> trio.abc.Stream:
        if self.tls is None or self.tls.plain == "sent":
            return stream
        if self._own is None:
            self._own = LastGood(files=self.tls.files, log=self.log)
        secured = TlsStream(stream, (await self._own.load()).client, server_side=False)
        await secured.do_handshake()
        if node_id is None:
            self.tls.names.check_cluster(secured.certificate, cluster_id)
        else:
            self.tls.names.check(secured.certificate, cluster_id, node_id)
        return secured
