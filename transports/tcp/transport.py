"""TCP between nodes: each node dials every peer, sends on the connections it opened, and reads the ones it accepted.

So two nodes hold two connections, each used one way, and need not agree on which of them to keep. `sender` is the way
out, `receiver` the way in, `handshake` what they say first; this file puts them together.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import attrs
import trio

from raft_actors.errors import ConfigurationError, Unreachable
from raft_actors.node_log import NodeLog
from raft_actors.raft.features import CLIENTS
from raft_actors.raft.messages import Message
from raft_actors.records import define
from raft_actors.transports.abc import Endpoint, PeerStatistics, Transport, TransportStatistics
from raft_actors.transports.greeting import Greeting
from raft_actors.transports.sockets.accepting import AddressBudget, SharedBudget, serve_listeners
from raft_actors.transports.sockets.addresses import Address
from raft_actors.transports.sockets.connecting import connect
from raft_actors.transports.sockets.listening import listen_error, open_listeners, tune
from raft_actors.transports.sockets.stream import TcpStream
from raft_actors.transports.tcp.acquainted import Acquainted
from raft_actors.transports.tcp.backoff import Backoff
from raft_actors.transports.tcp.client_memory import ClientMemory
from raft_actors.transports.tcp.clients import Clients
from raft_actors.transports.tcp.guard import Guard
from raft_actors.transports.tcp.operators import Operators, ask
from raft_actors.transports.tcp.receiver import Receiver
from raft_actors.transports.tcp.sender import PeerSender
from raft_actors.transports.tcp.settings import check_delays, check_positive, parse_listen, parse_peer
from raft_actors.transports.tcp.strangers import Strangers
from raft_actors.transports.tls.failures import TlsFailure
from raft_actors.transports.wire.frames import MAX_PAYLOAD_BYTES, frame
from raft_actors.transports.wire.handshake import THIS_VERSION, Hello, ProtocolRange

if TYPE_CHECKING:
    from raft_actors.transports.tls.config import TlsConfig
    from raft_actors.transports.tls.credentials import Credentials
    from raft_actors.transports.tls.keeper import CredentialsKeeper, LastGood

_logger = logging.getLogger(__name__)

# Which bound of the budget → what it is counted as.
_UNHEARD = {"MAX_CONNECTS_PER_ADDRESS": "TOO_MANY", "MAX_CONNECTS": "TOO_MANY_IN_ALL", "DROPPED": "DROPPED"}


@define(eq=False)
class TcpTransport(Transport):
    """Carries messages over TCP. Addresses are `host:port`; peers' addresses come with the endpoint.

    Without `tls` there is no encryption and no proof of identity: run it in a network that only nodes can reach.

    Attributes:
        listen: where to listen, `host:port` or `[IPv6]:port`. `0.0.0.0:7000` is every IPv4 address of the machine;
            port 0 takes any free port, which `address` then tells.
        max_queue_messages: messages that may wait for one peer; more are dropped.
        max_queue_bytes: the same in bytes.
        connect_timeout_s: limit of one attempt to reach a peer, handshake included.
        handshake_timeout_s: how long a caller may take to say who it is.
        reconnect_delay_s: the shortest and the longest wait between attempts to reach a peer.
        dead_peer_timeout_s: a connection on which a peer answers nothing for this long is given up.
        max_handshakes: callers at a time that have not said who they are; a further one displaces the oldest.
        max_handshakes_per_address: the same from one address.
        max_clients: connections of clients (`RaftClient`) at a time; further ones are refused.
        max_client_memory_bytes: what they may make the node hold, all together, of requests under way and of answers
            that they have not read, not counting some 128 KiB of each. Beyond it, whoever holds most is disconnected.
        max_connects_per_address_s: connections that one address may open in a second, and twice as many at once;
            further ones are closed unheard.
        max_connects_s: the same for all addresses together from which no peer and no client is connected, and where no
            peer was reached; at once, as many as `max_clients`, who may all come when another node has gone.
        tls: mutual TLS with certificates for the nodes' ids.
        seed: of the random part of waits. None draws one from the operating system.
        protocol: the versions of the protocol that it says it speaks: for tests, which make nodes of other versions.
    """

    listen: Address = attrs.field(converter=parse_listen)
    max_queue_messages: int = attrs.field(default=4_096, kw_only=True, validator=check_positive)
    max_queue_bytes: int = attrs.field(default=32 * 1024 * 1024, kw_only=True, validator=check_positive)
    connect_timeout_s: float = attrs.field(default=2.0, kw_only=True, validator=check_positive)
    handshake_timeout_s: float = attrs.field(default=2.0, kw_only=True, validator=check_positive)
    reconnect_delay_s: tuple[float, float] = attrs.field(default=(0.05, 1.0), kw_only=True, validator=check_delays)
    dead_peer_timeout_s: float = attrs.field(default=3.0, kw_only=True, validator=check_positive)
    max_handshakes: int = attrs.field(default=64, kw_only=True, validator=check_positive)
    max_handshakes_per_address: int = attrs.field(default=32, kw_only=True, validator=check_positive)
    max_connects_per_address_s: float = attrs.field(default=32.0, kw_only=True, validator=check_positive)
    max_connects_s: float = attrs.field(default=50.0, kw_only=True, validator=check_positive)
    max_clients: int = attrs.field(default=1_024, kw_only=True, validator=check_positive)
    max_client_memory_bytes: int = attrs.field(default=256 * 1024 * 1024, kw_only=True, validator=check_positive)
    tls: TlsConfig | None = attrs.field(default=None, kw_only=True)
    seed: int | None = attrs.field(default=None, kw_only=True)
    protocol: ProtocolRange = attrs.field(default=THIS_VERSION, kw_only=True, repr=False)
    _running: bool = attrs.field(default=False, init=False)
    _address: Address | None = attrs.field(default=None, init=False)
    _senders: dict[str, PeerSender] = attrs.field(factory=dict[str, PeerSender], init=False, repr=False)
    _dial: Callable[[str], None] | None = attrs.field(default=None, init=False, repr=False)
    """Begins to send to a peer; None while the transport doesn't run."""
    _said: dict[str, str] = attrs.field(factory=dict[str, str], init=False, repr=False)
    """Peer → where it says that it can be reached."""
    _receiver: Receiver | None = attrs.field(default=None, init=False, repr=False)
    _strangers: Strangers = attrs.field(factory=lambda: Strangers(0, 0, 0.0), init=False, repr=False)
    _clients: Clients | None = attrs.field(default=None, init=False, repr=False)
    _acquainted: Acquainted = attrs.field(factory=Acquainted, init=False, repr=False)
    _budget: SharedBudget = attrs.field(
        init=False, repr=False, default=attrs.Factory(lambda self: self._new_budget(), takes_self=True)
    )
    _guard: Guard = attrs.field(factory=Guard, init=False, repr=False)
    _keeper: CredentialsKeeper | None = attrs.field(default=None, init=False, repr=False)
    """Of the certificate with which the guard goes about, if this transport has one."""
    _last_good: LastGood | None = attrs.field(default=None, init=False, repr=False)
    _totals: TransportStatistics = attrs.field(factory=TransportStatistics, init=False, repr=False)

    @property
    def address(self) -> str | None:
        """Where this transport listens, as `host:port`; None while it doesn't."""
        return None if self._address is None else str(self._address)

    @trio.lowlevel.enable_ki_protection
    async def run(self, endpoint: Endpoint, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry messages until cancelled (see `Transport.run`).

        Raises:
            ConfigurationError: a peer's address can't be one, or this transport runs already.
            CertificateError: the files that `tls` names are of no use, or not for this node.
            ListenError: the address can't be listened on.
        """
        if self._running:
            raise ConfigurationError(f"the transport on {self.listen} runs already: give each node its own")
        if endpoint.max_message_bytes > MAX_PAYLOAD_BYTES:
            raise ConfigurationError(
                f"a frame has room for {MAX_PAYLOAD_BYTES:,} bytes, not {endpoint.max_message_bytes:,}"
            )
        for text in endpoint.peers.values():
            Address.parse(text)
        self._running = True
        try:
            await self._open_guard(endpoint)
            listeners = await self._listen()
            async with trio.open_nursery() as nursery:
                if self._keeper is not None:
                    nursery.start_soon(self._keeper.watch)
                receiver = self._set_up(endpoint, nursery)
                task_status.started()
                # Closes the listeners in the end. Waits and goes on when the process is out of file descriptors.
                log = NodeLog(_logger, endpoint.node_id)
                await serve_listeners(self._serve_with(receiver), listeners, self._budget, nursery, log)
        finally:
            self._running = False
            self._address = self._dial = self._receiver = None

    async def _open_guard(self, endpoint: Endpoint) -> None:
        """Make what secures connections."""
        self._guard, self._keeper = Guard(), None
        if self.tls is not None:
            # Only here, for what it imports: see `tcp.guard`.
            from raft_actors.transports.tcp.tls_guard import TlsGuard  # noqa: PLC0415

            guard = self._guard = TlsGuard(self.tls, endpoint)
            self._keeper = guard.keeper
            await guard.keeper.load()

    async def reload_certificates(self) -> None:
        """Take what the files of `tls` hold now, without waiting for a change to be noticed. Open connections stay.

        Raises:
            CertificateError: they are of no use; the ones that were in use still are.
            ConfigurationError: this transport has no `tls`, or does not run.
        """
        if not self._running or self._keeper is None:
            raise ConfigurationError("there are no certificates to load: this transport has no tls, or does not run")
        await self._keeper.load()

    def _set_up(self, endpoint: Endpoint, nursery: trio.Nursery) -> Receiver:
        """Begin to send to the endpoint's peers, and return what serves a connection."""
        self._totals, self._senders, self._said = TransportStatistics(), {}, {}
        self._acquainted = Acquainted()
        self._budget = self._new_budget()
        self._strangers = Strangers(self.max_handshakes, self.max_handshakes_per_address, self.handshake_timeout_s)
        self._clients = None
        if endpoint.converse is not None and CLIENTS in self.protocol.features:
            memory = ClientMemory(self.max_client_memory_bytes)
            self._clients = Clients(self.max_clients, endpoint.max_request_bytes, memory)
        rng = random.Random(self.seed)

        def lost(peer: str) -> None:
            # A process that ends takes both connections along. One alone ends for other reasons, too.
            statistics = self._totals.peers.get(peer)
            if statistics is not None and not statistics.connected and not receiver.is_connected(peer):
                endpoint.peer_lost(peer)

        def dial(peer: str) -> None:
            sender = self._senders[peer] = self._make_sender(endpoint, peer, rng, lost)
            nursery.start_soon(sender.run)

        receiver = self._receiver = Receiver(
            endpoint=endpoint,
            peers=self._totals.peers,
            totals=self._totals,
            strangers=self._strangers,
            heard_of=self._heard_of,
            protocol=self.protocol,
            guard=self._guard,
            acquainted=self._acquainted,
            lost=lost,
            operators=None if endpoint.operate is None else Operators(endpoint.operate, self.handshake_timeout_s),
            clients=self._clients,
        )
        self._dial = dial
        for peer in endpoint.peers:
            self._totals.peers[peer] = PeerStatistics()
            dial(peer)
        return receiver

    def _new_budget(self) -> SharedBudget:
        return SharedBudget(
            each=AddressBudget(2 * self.max_connects_per_address_s, self.max_connects_per_address_s),
            together=AddressBudget(max(self.max_clients, 2 * self.max_connects_s), self.max_connects_s),
            is_known=self._acquainted.has,
            known=self._acquainted.networks,
        )

    def _heard_of(self, greeting: Greeting) -> None:
        """A peer has connected: it can be reached, at the address that it says, if not where it was dialled so far."""
        self._said[greeting.sender] = greeting.address
        self._senders[greeting.sender].hurry()

    def _serve_with(self, receiver: Receiver) -> Callable[[trio.SocketStream], Awaitable[None]]:
        @trio.lowlevel.enable_ki_protection
        async def serve(stream: trio.SocketStream) -> None:
            tune(stream, self.dead_peer_timeout_s)
            await receiver.serve(TcpStream(stream))

        return serve

    async def _listen(self) -> list[trio.SocketListener]:
        try:
            listeners = await open_listeners(self.listen.host, self.listen.port)
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that can't be one
            raise listen_error(f"on {self.listen}", error) from error
        if not self.listen.port:
            # A name with several addresses would get a port for each, and only one can be told.
            for listener in listeners[1:]:
                listener.socket.close()
            del listeners[1:]
        host, port = listeners[0].socket.getsockname()[:2]
        self._address = Address(host, port)
        return listeners

    def _make_sender(
        self, endpoint: Endpoint, peer: str, rng: random.Random, lost: Callable[[str], None]
    ) -> PeerSender:
        statistics = self._totals.peers[peer]
        place, connects = "", 0

        async def connect() -> trio.abc.Stream:
            # Where it was last reached; after an attempt that led nowhere, where else it may be, and so on in turn.
            nonlocal place, connects
            places = self._places(peer, endpoint.fallbacks)
            if place not in places:
                place = places[0]
            elif connects == statistics.connects:
                place = places[(places.index(place) + 1) % len(places)]
            connects, statistics.address = statistics.connects, place
            tcp = await self._open(statistics.address)
            try:
                stream = await self._guard.secure_outgoing(tcp, peer)
            except BaseException:
                await trio.aclose_forcefully(tcp)
                raise
            self._acquainted.reached(peer, tcp.peer_host)
            return stream

        return PeerSender(
            peer=peer,
            log=NodeLog(_logger, endpoint.node_id),
            connect=connect,
            hello=lambda: frame(Hello.of(endpoint, peer, self.protocol).encode()),
            protocol=self.protocol,
            statistics=statistics,
            totals=self._totals,
            max_message_bytes=endpoint.max_message_bytes,
            max_queue_messages=self.max_queue_messages,
            max_queue_bytes=self.max_queue_bytes,
            connect_timeout_s=self.connect_timeout_s,
            backoff=Backoff(*self.reconnect_delay_s, rng),
            lost=lambda: lost(peer),
            reached=lambda: endpoint.peer_reached(peer),
            admit=endpoint.admit,
            refused=endpoint.refused,
        )

    def _places(self, peer: str, fallbacks: Mapping[str, str]) -> tuple[str, ...]:
        """Where a peer may be: where the cluster takes it to be, where it says that it is, where else."""
        known = "" if self._receiver is None else self._receiver.endpoint.peers.get(peer, "")
        places = dict.fromkeys((known, self._said.get(peer, ""), fallbacks.get(peer, "")))
        return tuple(place for place in places if place) or ("",)

    def set_peers(self, peers: Mapping[str, str]) -> None:
        """Have other peers from now on (see `Transport.set_peers`)."""
        receiver, dial = self._receiver, self._dial
        if receiver is None or dial is None:
            return
        before, counted = receiver.endpoint.peers, self._totals.peers
        receiver.endpoint = attrs.evolve(receiver.endpoint, peers=dict(peers))
        for peer in before:
            if peers.get(peer) != before[peer] and not self._is_at(peer, peers.get(peer)):
                self._senders.pop(peer).stop()
            if peer not in peers:
                del counted[peer]
                self._said.pop(peer, None)
                self._acquainted.forget(peer)
                receiver.part_from(peer)
        for peer in peers:
            if peer not in self._senders:
                counted.setdefault(peer, PeerStatistics())
                dial(peer)
        receiver.callers.review()

    def _is_at(self, peer: str, address: str | None) -> bool:
        """Whether a peer is connected at this address already."""
        counted = self._totals.peers[peer]
        return counted.connected and counted.address == address

    async def _open(self, address: str) -> TcpStream:
        """Connect to a node. Raises OSError, or UnicodeError for a host name that can't be one."""
        stream = await connect(parse_peer(address), self.connect_timeout_s)
        tune(stream, self.dead_peer_timeout_s)
        return TcpStream(stream)

    async def ask(self, address: str, request: bytes) -> bytes:
        """Have the node at an address do something (see `Transport.ask`); this transport need not run.

        Raises:
            CertificateError: the files that `tls` names are of no use, and never were. Not while the transport runs.
        """
        stream: trio.abc.Stream | None = None
        try:
            with trio.fail_after(self.connect_timeout_s):
                own = await self._own_credentials()  # first: who has none is told so, whether anybody is there or not
                stream = await self._open(address)
                if self.tls is not None and own is not None:
                    from raft_actors.transports.tcp.tls_guard import secured_for_asking  # noqa: PLC0415 - likewise

                    stream = await secured_for_asking(stream, self.tls, own)
            return await ask(stream, request)
        except (OSError, UnicodeError, trio.TooSlowError, trio.BrokenResourceError, TlsFailure) as error:
            why = f"no connection within {self.connect_timeout_s} s" if isinstance(error, trio.TooSlowError) else error
            raise Unreachable(f"nobody answers at {address}: {why}") from error
        finally:
            if stream is not None:
                await trio.aclose_forcefully(stream)

    async def _own_credentials(self) -> Credentials | None:
        """With which to ask: those of the node that runs, or the last good ones of the files. None: without TLS."""
        if self.tls is None or self.tls.plain == "sent":
            return None
        if self._keeper is not None and self._receiver is not None:
            return self._keeper.current
        from raft_actors.transports.tls.keeper import LastGood  # noqa: PLC0415 - as in `_open_guard`

        self._last_good = self._last_good or LastGood(files=self.tls.files, log=_logger)
        return await self._last_good.load()

    def send_nowait(self, to: str, message: Message) -> bool:
        """Queue a message to a peer (see `Transport.send_nowait`)."""
        sender = self._senders.get(to)
        return sender is not None and sender.send_nowait(message)

    def refuse(self, peer: str, why: str) -> None:
        """End the connection that a peer has opened (see `Transport.refuse`)."""
        if self._receiver is not None:
            self._receiver.refuse(peer, why)

    def own_features(self) -> frozenset[str]:
        """What this node can do (see `Transport.own_features`)."""
        return self.protocol.features

    def features_of(self, peer: str) -> frozenset[str]:
        """What both can do, by the last greeting of either (see `Transport.features_of`)."""
        statistics = self._totals.peers.get(peer)
        return frozenset() if statistics is None else statistics.features

    def statistics(self) -> TransportStatistics:
        """Return the counters since `run` was last called."""
        peers = {peer: sender.fill_in() for peer, sender in self._senders.items()}
        certificate = None if self._keeper is None else attrs.evolve(self._keeper.statistics)
        unheard = Counter({_UNHEARD[bound]: count for bound, count in self._budget.refused.items()})
        reasons = self._totals.refused_by_reason + self._strangers.ended + unheard
        clients = 0 if self._clients is None else self._clients.serving
        return attrs.evolve(
            self._totals, peers=peers, refused_by_reason=reasons, certificate=certificate, clients=clients
        )
