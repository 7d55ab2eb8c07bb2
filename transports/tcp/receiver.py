"""The way in: connections that peers have opened to this node.

Each is read by a task of its own: first the handshake, under a time limit, then messages until the peer goes. Strangers
can't take up more than a fixed number of connections (see `strangers`). Peers can't either: each has one, and a new
connection replaces the old one, which may be what is left of a machine that lost power.

With a `TlsGuard`, a peer is who its certificate says, and the TLS handshake counts towards the same limits. Without,
a stranger who knows the ids can pose as a peer: the network has to be a trusted one.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from functools import partial

import attrs
import trio

from raft_actors.errors import ProtocolError
from raft_actors.node_log import NodeLog
from raft_actors.records import define
from raft_actors.transports.abc import Endpoint, PeerStatistics, TransportStatistics
from raft_actors.transports.callers import REPLY_GRACE_S, OpenCallers
from raft_actors.transports.conversation import Caller
from raft_actors.transports.greeting import Denied, Greeting
from raft_actors.transports.sockets.accepting import AddressBudget
from raft_actors.transports.sockets.direct import DirectStream, receive_into
from raft_actors.transports.tcp.acquainted import Acquainted
from raft_actors.transports.tcp.clients import Clients
from raft_actors.transports.tcp.guard import Guard
from raft_actors.transports.tcp.operators import Operators
from raft_actors.transports.tcp.strangers import Strangers
from raft_actors.transports.tls.failures import TlsFailure, Trouble
from raft_actors.transports.tls.stream import TlsStream
from raft_actors.transports.wire.codec import UnknownMessage, decode
from raft_actors.transports.wire.frames import FrameParser, frame
from raft_actors.transports.wire.handshake import MAX_HELLO_BYTES, Answer, Hello, ProtocolRange, Verdict, judge
from raft_actors.transports.wire.operating import is_request

logger: logging.Logger = logging.getLogger(__name__)

_MOST_TOLD = 256  # callers of whom is remembered what was logged: a flood of strangers takes no more
_LINES, _LINES_PER_S = 256, 1.0  # about them, at once and from then on: nor does it fill a disk


def _nobody_minds(_peer: str) -> None: ...


@define(eq=False)
class _Connection:
    """A peer's, handshake over.

    Attributes:
        whole: around all that is done with it.
        reading: around what takes in its messages alone: after it, the peer can still be told why it has ended.
        refused: what the peer has said that is impossible; "": nothing.
        over: it is a peer's no more: nothing that came with what ended it is delivered.
    """

    whole: trio.CancelScope
    reading: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    refused: str = attrs.field(default="", init=False)
    over: bool = attrs.field(default=False, init=False)


@define(eq=False, kw_only=True)
class Receiver:
    """Reads what peers send.

    Attributes:
        endpoint: the node to deliver to, with the peers that it has now.
        peers: where to count received messages: of every peer of the endpoint.
        totals: where to count protocol errors and refusals.
        strangers: those whose handshake is not over.
        heard_of: called with what a peer has said of itself when it has connected.
        protocol: what this node speaks.
        guard: secures connections, and says whether callers are who they say to be.
        acquainted: told from where peers and clients are connected.
        lost: called with a peer's id when its connection has ended and no newer one has taken over.
        operators: answers who is no peer, and asks for something.
        clients: serves those who are no members.
        callers: whose connections are open: clients and operators.
    """

    endpoint: Endpoint
    peers: Mapping[str, PeerStatistics]
    totals: TransportStatistics
    strangers: Strangers
    heard_of: Callable[[Greeting], None]
    protocol: ProtocolRange
    guard: Guard = attrs.field(factory=Guard)
    acquainted: Acquainted = attrs.field(factory=Acquainted)
    lost: Callable[[str], None] = _nobody_minds
    operators: Operators | None = None
    clients: Clients | None = None
    callers: OpenCallers = attrs.field(init=False)
    _log: NodeLog = attrs.field(
        init=False, default=attrs.Factory(lambda self: NodeLog(logger, self.endpoint.node_id), takes_self=True)
    )
    _told: dict[str, str] = attrs.field(factory=dict[str, str], init=False)
    """Who was refused → why, as it was logged last."""
    _lines: AddressBudget = attrs.field(factory=lambda: AddressBudget(_LINES, _LINES_PER_S), init=False)
    _connections: dict[str, _Connection] = attrs.field(factory=dict[str, "_Connection"], init=False)

    def __attrs_post_init__(self) -> None:
        self.callers = OpenCallers(self.endpoint.trusts)

    def is_connected(self, peer: str) -> bool:
        """Whether the peer has a connection to this node, handshake over."""
        return peer in self._connections

    def part_from(self, peer: str) -> None:
        """End the peer's connection, if it has one, without telling that it was lost."""
        connection = self._connections.pop(peer, None)
        if connection is not None:
            connection.over = True
            connection.whole.cancel()

    def refuse(self, peer: str, why: str) -> None:
        """End the peer's connection, if it has one, for what came over it, which the node tells."""
        connection = self._connections.get(peer)
        if connection is not None:
            connection.refused = connection.refused or why
            connection.reading.cancel()

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until it ends, and close it."""
        sender: str | None = None
        with trio.CancelScope() as connection:
            try:
                with self.strangers.bounded(connection, _host(stream)):
                    stream = await self.guard.secure_incoming(stream)
                    first = await self._shake_hands(stream)
                if isinstance(first, bytes):
                    await self._serve_operator(stream, first)
                elif isinstance(first, Caller) and self.clients is not None:
                    await self._serve_client(stream, self.clients, first)
                elif isinstance(first, Greeting):
                    sender = first.sender
                    with self.acquainted.connected(_host(stream)):
                        await self._receive(stream, first, connection)
                    self._told.pop(_name(stream, sender), None)
            except TlsFailure as failure:
                self._count_refused(failure.trouble.name)
                self._tell(_name(stream, None), f"refused a connection: {failure}")
            except Denied as denied:
                self._count_refused(denied.refusal.reason)
                self._tell(_name(stream, None), f"refused an operator: {denied}")
            except ProtocolError as error:
                self.totals.protocol_errors += 1
                await self._refuse_message(stream, sender, error)
            except trio.BrokenResourceError as error:
                self._log.debug("a connection broke: %s", error.__cause__ or error)
            finally:
                # Shielded: where a message ended its own connection, a bug in what it did would be lost in Cancelled.
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(stream)
        if connection.cancelled_caught and sender is None:
            self.totals.refused_handshakes += 1

    async def _shake_hands(self, stream: trio.abc.Stream) -> Greeting | Caller | bytes | None:
        """Answer the hello; return what the sender says of itself, or None where it was refused or left.

        Where a client calls, who that is is returned; where an operator does, its request.
        """
        payload = await self._read_first(stream)
        if payload is None or is_request(payload):
            return payload
        hello = Hello.decode(payload)
        if hello.client and self.clients is not None:
            return await self._meet_client(hello, stream, self.clients)
        answer = self._judge(hello, stream)
        await self._answer(stream, hello, answer, _name(stream, hello.sender))
        agreement = self.protocol.agree(hello.protocol)
        statistics = self.peers.get(hello.sender)  # it may be no peer any more since it was answered
        if answer.verdict is not Verdict.ACCEPTED or agreement is None or statistics is None:
            return None
        statistics.version, statistics.features = agreement.version, agreement.features
        statistics.encrypted = isinstance(stream, TlsStream)
        statistics.incarnation = hello.incarnation
        return hello.greeting

    async def _meet_client(self, hello: Hello, stream: trio.abc.Stream, clients: Clients) -> Caller | None:
        """Answer a client's hello; return who it is, or None where it was refused."""
        caller: Caller | None = None
        try:
            caller = self.guard.check_outsider(stream, repr(hello.client))
            if not self.endpoint.trusts(caller):
                raise TlsFailure(Trouble.NOT_A_MEMBER, caller.name)
            answer = clients.judge(hello, self.endpoint, self.protocol)
        except TlsFailure as failure:
            self.totals.refused_by_reason[failure.trouble.name] += 1
            answer = Answer(Verdict.NOT_PROVEN, self.protocol, str(failure))
        await self._answer(stream, hello, answer, f"client {hello.client!r} at {_host(stream)}")
        return caller if answer.verdict is Verdict.ACCEPTED else None

    async def _answer(self, stream: trio.abc.Stream, hello: Hello, answer: Answer, who: str) -> None:
        if answer.verdict is not Verdict.ACCEPTED:
            self.totals.refused_handshakes += 1
            self.totals.refused_by_reason[answer.verdict.name] += 1
            said = f"{answer.verdict.name}: {answer.detail}" if answer.detail else answer.verdict.name
            self._tell(who, f"refused a connection: {said}")
        await stream.send_all(frame(answer.encode(hello.protocol)))

    def _judge(self, hello: Hello, stream: trio.abc.Stream) -> Answer:
        """Whether to take messages from the one who says this hello."""
        if self.protocol.agree(hello.protocol) is None:  # it may not even say who it is
            return judge(hello, self.endpoint, self.protocol)
        try:
            self.guard.check_caller(stream, hello.sender)
        except TlsFailure as failure:  # who proves nothing is told nothing else
            self.totals.refused_by_reason[failure.trouble.name] += 1
            return Answer(Verdict.NOT_PROVEN, self.protocol, str(failure))
        answer = judge(hello, self.endpoint, self.protocol)
        if answer.verdict is Verdict.UNKNOWN_NODE and self.endpoint.stranger(hello.sender, hello.address):
            answer = judge(hello, self.endpoint, self.protocol)  # it is a peer now
        return answer

    def _count_refused(self, reason: str) -> None:
        self.totals.refused_handshakes += 1
        self.totals.refused_by_reason[reason] += 1

    def _tell_if_ended(self, serving: trio.CancelScope, stream: trio.abc.Stream, caller: Caller) -> None:
        """Count, and tell, where the connection of a client or an operator was ended: its node was removed."""
        if serving.cancelled_caught:
            self.totals.refused_by_reason[Trouble.NOT_A_MEMBER.name] += 1
            failure = TlsFailure(Trouble.NOT_A_MEMBER, caller.name)
            self._tell(_name(stream, None), f"closed a connection: {failure}")

    async def _refuse_message(self, stream: trio.abc.Stream, sender: str | None, error: ProtocolError) -> None:
        """Say why the connection is closed: to the log, and to a peer, which would else send the same again."""
        self.totals.refused_by_reason[Verdict.REFUSED_MESSAGE.name] += 1
        self._tell(_name(stream, sender), f"closed a connection: {error}")
        if sender is not None:
            # Nothing else was ever sent on it after the handshake, so this hardly ever has to wait.
            with trio.move_on_after(self.strangers.timeout_s), contextlib.suppress(trio.BrokenResourceError):
                answer = Answer(Verdict.REFUSED_MESSAGE, self.protocol, str(error))
                await stream.send_all(frame(answer.encode(self.protocol)))

    def _tell(self, who: str, what: str) -> None:
        """Log it, once until it changes or a connection of the same one succeeds, and never without end."""
        if self._told.get(who) == what or not self._lines.admits(""):
            return
        self._told.pop(who, None)
        self._told[who] = what
        if len(self._told) > _MOST_TOLD:
            del self._told[next(iter(self._told))]
        left_out, self._lines.refused = self._lines.refused, 0
        more = f" ({left_out:,} such lines before this one were left out: there were too many)" if left_out else ""
        self._log.warning("%s: %s%s", who, what, more)

    async def _read_first(self, stream: trio.abc.Stream) -> bytes | None:
        """The frame that a connection begins with: a hello, or what an operator asks for."""
        parser = FrameParser(MAX_HELLO_BYTES)
        first: bytes | None = None
        while data := await stream.receive_some(MAX_HELLO_BYTES):
            for payload in parser.feed(data):
                if first is not None:
                    raise ProtocolError("a frame before the handshake's answer")
                first = payload
            if first is not None:
                if parser.held_bytes:
                    raise ProtocolError("more than a hello before the handshake's answer")
                return first
        if parser.held_bytes:
            raise ProtocolError("a hello that breaks off")
        if isinstance(stream, TlsStream):
            raise TlsFailure(Trouble.LEFT)
        return None

    async def _serve_client(self, stream: trio.abc.Stream, clients: Clients, caller: Caller) -> None:
        kept = True
        with self.acquainted.connected(_host(stream)), self.callers.serving(caller) as serving:
            kept = await clients.serve(stream, self.endpoint, caller)
        self._tell_if_ended(serving, stream, caller)
        if not kept:
            self.totals.refused_by_reason["CLIENT_MEMORY"] += 1
            self._tell(_name(stream, None), f"closed a connection: {caller.name} held most of what clients may hold")

    async def _serve_operator(self, stream: trio.abc.Stream, request: bytes) -> None:
        if self.operators is None:
            raise ProtocolError("this node does nothing for operators")
        caller = self.guard.check_outsider(stream, "an operator")
        with self.callers.serving(caller, grace_s=REPLY_GRACE_S, newcomers=True) as serving:
            await self.operators.serve(stream, request, caller)
        self._tell_if_ended(serving, stream, caller)

    async def _receive(self, stream: trio.abc.Stream, greeting: Greeting, whole: trio.CancelScope) -> None:
        """Deliver what the peer sends until it goes or a newer connection of its takes over.

        Raises:
            ProtocolError: it sends what is no message, or one that the node refuses.
            trio.BrokenResourceError: as it comes.
        """
        sender = greeting.sender
        if sender in self._connections:
            self._connections[sender].whole.cancel()
        self._connections[sender] = connection = _Connection(whole)
        self.heard_of(greeting)
        try:
            with connection.reading:
                await self._deliver_all(stream, sender, connection)
        finally:
            if self._connections.get(sender) is connection:
                del self._connections[sender]
                self.lost(sender)
        if connection.refused:
            raise ProtocolError(connection.refused)

    async def _deliver_all(self, stream: trio.abc.Stream, sender: str, connection: _Connection) -> None:
        statistics, deliver = self.peers[sender], self.endpoint.deliver
        parser = FrameParser(self.endpoint.max_message_bytes)
        receive = stream.receive_into if isinstance(stream, DirectStream) else partial(receive_into, stream)
        while count := await receive(parser.room()):
            statistics.received_bytes += count
            for payload in parser.received(count):
                if connection.over:  # by the message before: it was that the sender is no peer any more
                    return
                statistics.received_messages += 1
                try:
                    message = decode(payload, statistics)
                except UnknownMessage as unknown:
                    self._drop_unknown(sender, statistics, unknown)
                else:
                    deliver(sender, message)

    def _drop_unknown(self, sender: str, statistics: PeerStatistics, unknown: UnknownMessage) -> None:
        """Count a message of a newer node, and tell of the first one."""
        if not statistics.unknown_messages:
            self._log.info("dropped, as all that follow, from peer %s: %s", sender, unknown)
        statistics.unknown_messages += 1


def _host(stream: trio.abc.Stream) -> str:
    return stream.peer_host if isinstance(stream, DirectStream) else ""


def _name(stream: trio.abc.Stream, sender: str | None) -> str:
    """Who is at the other end, for the log: an id, as it says, and the host."""
    host = _host(stream)
    who = f"peer {sender!r}" if sender else "a stranger"
    return f"{who} at {host}" if host else who
