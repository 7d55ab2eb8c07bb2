"""A network inside one process, for tests and simulations, with the faults that a real one has.

Each node's transport delivers what is on its way to that node, from a heap ordered by due time, so the network needs no
task of its own. With the default faults (none) messages arrive at once and in order, but never inside `send_nowait`: an
actor that sends is not entered again before it has finished.

Everything random is drawn when a message is sent, from a generator that belongs to its link (sender, receiver) and is
seeded with the network's seed and the two ids. So what happens on a link depends on the messages of that link alone,
not on the order in which Trio happens to run the nodes' tasks.
"""

from __future__ import annotations

import heapq
import operator
import random
from collections.abc import Collection, Mapping
from functools import partial

import attrs
import trio

from raft_actors.errors import ConfigurationError, Unreachable
from raft_actors.raft.features import FEATURES
from raft_actors.raft.messages import Message
from raft_actors.records import define
from raft_actors.transports.abc import Endpoint, PeerStatistics, Transport, TransportStatistics
from raft_actors.transports.conversation import Caller
from raft_actors.transports.faults import NO_FAULTS, Faults
from raft_actors.transports.links import REQUESTS, Link, LinkStatistics
from raft_actors.transports.memory_conversations import FoundNode, MemoryClients, MemoryDialer
from raft_actors.transports.memory_greeting import greet
from raft_actors.transports.wire.codec import decode, encode, size_bound

_Packet = tuple[float, int, str, Endpoint | None, Message | bytes | None, Link]
"""A message under way: due time, number, sender, its endpoint, the message or its bytes, link. None: a hang-up.

Numbers count messages up, so a heap of packets orders them by due time, then as they were sent, and looks no further.
"""


@define(eq=False, kw_only=True)
class MemoryNetwork:
    """Connects the nodes of one process. Faults and cuts may change at any time.

    Attributes:
        seed: of everything random.
        requests: faults of messages that ask (`REQUESTS`).
        replies: faults of messages that answer.
        max_in_flight: messages under way on one link; further ones are refused and counted.
        encode: pass every message through the codec, so that the receiver gets a copy and sizes are exact.
        running: node id → the transport that runs for it.
        stores: node id → the incarnation of the store that it has run on last.
        count_bytes: count encoded sizes also without `encode`. Either costs some microseconds a message.
        certified: whether who asks a node for something is known by its id, as over TLS by its certificate; else
            anybody may ask for anything, as without TLS.
        older: node id → what this node can do beyond its protocol version, where that is not all that there is: it
            stands for a node of an older version (or a newer one). A node learns of it at its start.
    """

    seed: int = 0
    requests: Faults = NO_FAULTS
    replies: Faults = NO_FAULTS
    max_in_flight: int = 4_096
    encode: bool = False
    count_bytes: bool = False
    certified: bool = False
    older: dict[str, frozenset[str]] = attrs.field(factory=dict[str, frozenset[str]])
    running: dict[str, MemoryTransport] = attrs.field(factory=dict[str, "MemoryTransport"], init=False, repr=False)
    stores: dict[str, str] = attrs.field(factory=dict[str, str], init=False, repr=False)
    _links: dict[tuple[str, str], Link] = attrs.field(factory=dict[tuple[str, str], Link], init=False, repr=False)
    _cuts: set[tuple[str, str]] = attrs.field(factory=set[tuple[str, str]], init=False)
    _disconnected: set[str] = attrs.field(factory=set[str], init=False)
    _groups: dict[str, int] = attrs.field(factory=dict[str, int], init=False)
    _packets: int = attrs.field(default=0, init=False)

    def transport(self, node_id: str) -> MemoryTransport:
        """Make a transport for this node. A node that starts again takes a new one, or the same once more."""
        return MemoryTransport(self, node_id)

    def dialer(self, name: str) -> MemoryDialer:
        """Make the way of a client to the nodes. Its links can be cut as those of nodes: by its name."""
        rng = random.Random(f"{self.seed}:client {name!r}")
        return MemoryDialer(name, self._find, self.is_open, lambda: rng.uniform(*self.requests.delay_s))

    def _find(self, address: str) -> FoundNode | None:
        endpoints = [transport.endpoint for transport in self.running.values()]
        named = {peer for one in endpoints if one for peer, at in one.peers.items() if at == address}
        for node_id, transport in self.running.items():
            endpoint = transport.endpoint
            if endpoint is not None and (address in (node_id, endpoint.address) or node_id in named):
                return FoundNode(node_id, endpoint, transport.clients, self.older.get(node_id, FEATURES))
        return None

    # --- faults ---

    def set_faults(self, requests: Faults, replies: Faults | None = None) -> None:
        """Set the faults of every link without its own; replies have those of requests unless given."""
        self.requests = requests
        self.replies = requests if replies is None else replies

    def set_link_faults(self, sender: str, receiver: str, faults: Faults | None) -> None:
        """Give one direction faults of its own, whatever the message; None takes them away."""
        self._link(sender, receiver).faults = faults

    def cut(self, sender: str, receiver: str) -> None:
        """Lose everything from `sender` to `receiver`, and nothing in the other direction."""
        self._cuts.add((sender, receiver))

    def mend(self, sender: str, receiver: str) -> None:
        """Undo `cut`."""
        self._cuts.discard((sender, receiver))

    def disconnect(self, node_id: str) -> None:
        """Lose everything to and from this node."""
        self._disconnected.add(node_id)

    def connect(self, node_id: str) -> None:
        """Undo `disconnect`."""
        self._disconnected.discard(node_id)

    def partition(self, *groups: Collection[str]) -> None:
        """Lose everything between nodes of different groups. Replaces an earlier partition.

        A node that is in no group reaches all: `partition({"a"}, {"c"})` leaves "b" as a bridge.
        """
        self._groups = {node_id: number for number, group in enumerate(groups) for node_id in group}

    def heal(self) -> None:
        """Undo every cut, disconnection and partition (not the faults)."""
        self._cuts.clear()
        self._disconnected.clear()
        self._groups.clear()

    def is_open(self, sender: str, receiver: str) -> bool:
        """Tell whether messages from `sender` can reach `receiver`: no cut, disconnection or partition is between."""
        groups = self._groups
        if not groups and not self._cuts and not self._disconnected:
            return True
        return (
            (sender, receiver) not in self._cuts
            and sender not in self._disconnected
            and receiver not in self._disconnected
            and (sender not in groups or receiver not in groups or groups[sender] == groups[receiver])
        )

    # --- counters ---

    def link_statistics(self, sender: str, receiver: str) -> LinkStatistics:
        """Return a copy of one direction's counters, from the network's beginning."""
        total = LinkStatistics()
        total.add(self._link(sender, receiver).statistics)
        return total

    def statistics(self) -> LinkStatistics:
        """Return the sum of all links' counters."""
        total = LinkStatistics()
        for link in self._links.values():
            total.add(link.statistics)
        return total

    # --- carrying ---

    def _link(self, sender: str, receiver: str) -> Link:
        link = self._links.get((sender, receiver))
        if link is None:
            # random.Random takes the whole string, the same in every process (hash() differs between them).
            rng = random.Random(f"{self.seed}:{sender!r}:{receiver!r}")
            link = self._links[sender, receiver] = Link(rng)
        return link

    def carry(self, sender: str, origin: Endpoint, receiver: str, message: Message) -> bool:
        """Send a message on its way; only transports call this. False: it was refused."""
        link, target = self._link(sender, receiver), self.running.get(receiver)
        if target is None or link.statistics.in_flight >= self.max_in_flight:
            link.statistics.refused += 1
            return False
        content: Message | bytes = message
        if self.encode or self.count_bytes:
            data = encode(message)
            link.statistics.sent_bytes += len(data)
            content = data if self.encode else message
        link.statistics.sent[type(message).__name__] += 1
        faults = link.faults or (self.requests if type(message) in REQUESTS else self.replies)
        # Drawn even if the way is blocked: a cut must not shift what befalls later messages.
        delays = [0.0] if faults == NO_FAULTS else faults.draw(link.rng)
        if not self.is_open(sender, receiver):
            link.statistics.blocked += 1
            return True
        link.statistics.dropped += not delays
        link.statistics.duplicated += len(delays) > 1
        now = trio.current_time()
        for delay in delays:
            self._packets += 1
            target.accept((now + delay, self._packets, sender, origin, content, link))
        return True

    def hang_up(self, node_id: str) -> None:
        """Tell all that a node can reach that its connections have ended, as an operating system does when a process
        has; only transports call this. Where a link is cut, nobody learns of it.
        """
        now = trio.current_time()
        for receiver, target in self.running.items():
            if receiver != node_id and self.is_open(node_id, receiver):
                self._packets += 1
                target.accept((now, self._packets, node_id, None, None, self._link(node_id, receiver)))


@define(eq=False)
class MemoryTransport(Transport):
    """One node's access to a `MemoryNetwork`; made by `MemoryNetwork.transport`."""

    network: MemoryNetwork
    node_id: str
    _endpoint: Endpoint | None = attrs.field(default=None, init=False)
    _totals: TransportStatistics = attrs.field(factory=TransportStatistics, init=False, repr=False)
    _packets: list[_Packet] = attrs.field(factory=list[_Packet], init=False, repr=False)
    _admitted: dict[str, Endpoint] = attrs.field(factory=dict[str, Endpoint], init=False, repr=False)
    """Peers that were greeted, as which they were."""
    _waiting: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False, repr=False)
    clients: MemoryClients = attrs.field(factory=MemoryClients, init=False, repr=False)
    """Those that are served."""

    @trio.lowlevel.enable_ki_protection
    async def run(self, endpoint: Endpoint, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry messages until cancelled (see `Transport.run`). What is under way to the node then is lost.

        Raises:
            ConfigurationError: the endpoint is another node's, or this node runs already.
        """
        if endpoint.node_id != self.node_id:
            raise ConfigurationError(f"the transport of {self.node_id!r} can't run for {endpoint.node_id!r}")
        running = self.network.running
        if self.node_id in running:
            raise ConfigurationError(f"node {self.node_id!r} runs already on this network: ids must differ")
        self._totals = TransportStatistics(peers={peer: PeerStatistics() for peer in endpoint.peers})
        self._admitted.clear()
        self._endpoint = endpoint
        running[self.node_id], self.network.stores[self.node_id] = self, endpoint.incarnation
        try:
            async with self.clients.serving(endpoint):
                task_status.started()
                while True:
                    self._deliver_due()
                    await self._wait_due()
        finally:
            del running[self.node_id]
            self.network.hang_up(self.node_id)
            self._endpoint = None
            for *_, link in self._packets:
                link.statistics.in_flight -= 1
                link.statistics.blocked += 1
            self._packets.clear()

    def send_nowait(self, to: str, message: Message) -> bool:
        """Queue a message to a peer (see `Transport.send_nowait`)."""
        endpoint, peer = self._endpoint, self._totals.peers.get(to)
        if peer is None:
            return False
        if endpoint is None or self._is_too_large(message, endpoint.max_message_bytes):
            sent = False
        else:
            sent = self.network.carry(self.node_id, endpoint, to, message)
        peer.sent_messages += sent
        peer.dropped_messages += not sent
        return sent

    def refuse(self, peer: str, why: str) -> None:
        """Count what a peer has said (see `Transport.refuse`). It connects again with its next message."""
        self._totals.protocol_errors += 1
        self._totals.refused_by_reason["REFUSED_MESSAGE"] += 1
        self._admitted.pop(peer, None)

    def set_peers(self, peers: Mapping[str, str]) -> None:
        """Have other peers from now on (see `Transport.set_peers`). Addresses mean nothing here.

        What is under way to one that is no peer any more still arrives, as it does from a kernel's buffers.
        """
        if self._endpoint is not None:
            self._endpoint = attrs.evolve(self._endpoint, peers=dict(peers))
            self._admitted.clear()
            counted = self._totals.peers
            self._totals.peers = {peer: counted.get(peer) or PeerStatistics() for peer in peers}
            self.clients.review()

    def own_features(self) -> frozenset[str]:
        """What this node can do (see `Transport.own_features`)."""
        return self.network.older.get(self.node_id, FEATURES)

    def features_of(self, peer: str) -> frozenset[str]:
        """What both this node and the peer can do (see `Transport.features_of`)."""
        older = self.network.older
        if not older:
            return FEATURES
        return self.own_features() & older.get(peer, FEATURES)

    async def ask(self, address: str, request: bytes) -> bytes:
        """Have a node do something (see `Transport.ask`). The address is the one that it says, or its id."""
        await trio.lowlevel.checkpoint()
        for node_id, transport in self.network.running.items():
            endpoint = transport.endpoint
            if endpoint is None or address not in (node_id, endpoint.address):
                continue
            if endpoint.operate is not None and self.network.is_open(self.node_id, node_id):
                speaks_for = partial(operator.eq, self.node_id) if self.network.certified else None
                return await transport.clients.operate(request, Caller(self.node_id, speaks_for=speaks_for))
        raise Unreachable(f"nobody answers at {address}")

    @property
    def endpoint(self) -> Endpoint | None:
        """The node that it runs for, if it does."""
        return self._endpoint

    @staticmethod
    def _is_too_large(message: Message, limit: int) -> bool:
        return size_bound(message) > limit and len(encode(message)) > limit

    def accept(self, packet: _Packet) -> None:
        """Take charge of a message to this node. Only the network calls this."""
        packet[-1].statistics.in_flight += 1
        heapq.heappush(self._packets, packet)
        if self._waiting and self._packets[0] is packet:
            self._waiting.unpark()

    def statistics(self) -> TransportStatistics:
        """Return the counters since `run` was last called. A peer is connected if it runs and can be reached.

        Bytes are the links' affair: see `MemoryNetwork.link_statistics`.
        """
        network, peers = self.network, {}
        for peer, counted in self._totals.peers.items():
            running = network.running.get(peer)
            reachable = running is not None and running.is_the_one(counted) and network.is_open(self.node_id, peer)
            peers[peer] = attrs.evolve(
                counted,
                connected=self._endpoint is not None and reachable,
                queued_messages=network.link_statistics(self.node_id, peer).in_flight,
            )
        reasons = self._totals.refused_by_reason + self.clients.refused
        return attrs.evolve(self._totals, peers=peers, refused_by_reason=reasons)

    def is_the_one(self, counted: PeerStatistics) -> bool:
        """Whether this is the node that was greeted, not another one of its id."""
        return self._endpoint is not None and counted.incarnation in ("", self._endpoint.incarnation)

    async def _wait_due(self) -> None:
        """Wait until the earliest packet is due, or an earlier one has come."""
        deadline = self._packets[0][0] if self._packets else float("inf")
        with trio.CancelScope(deadline=deadline):
            await self._waiting.park()

    def _deliver_due(self) -> None:
        now = trio.current_time()
        while (endpoint := self._endpoint) and self._packets and self._packets[0][0] <= now:
            _, _, sender, origin, content, link = heapq.heappop(self._packets)
            link.statistics.in_flight -= 1
            if origin is None or content is None:
                self._end_connection(endpoint, sender)
            elif not self.takes(sender, origin, endpoint) or not self.network.is_open(sender, self.node_id):
                link.statistics.blocked += 1
            else:
                link.statistics.delivered += 1
                self._totals.peers[sender].received_messages += 1
                endpoint.deliver(sender, decode(content) if isinstance(content, bytes) else content)

    def takes(self, sender: str, origin: Endpoint, endpoint: Endpoint) -> bool:
        """Whether this node takes what a peer sends. Where it doesn't, that is counted."""
        return self._admitted.get(sender) is origin or self._greet(sender, origin, endpoint)

    def _greet(self, sender: str, origin: Endpoint, endpoint: Endpoint) -> bool:
        if origin.node_id == sender and origin.incarnation != self.network.stores.get(sender):
            return False  # whoever sent it is gone, and its store, too: over TCP it could greet nobody any more
        can, caller = self.network.older.get(sender, FEATURES), self.network.running.get(sender)
        lives = caller is not None and caller.endpoint is origin
        hears = lives and self.network.is_open(self.node_id, sender)
        refused = greet(sender, origin, endpoint, can, self.own_features(), hears=hears)
        if refused is not None:
            reason, by = refused
            (caller if caller is not None and lives and by is origin else self).refuse_greeting(reason)
            return False
        self._totals.peers[sender].incarnation = origin.incarnation
        self._admitted[sender] = origin
        return True

    def refuse_greeting(self, reason: str) -> None:
        """Count that this node has refused another one."""
        self._totals.refused_handshakes += 1
        self._totals.refused_by_reason[reason] += 1

    def _end_connection(self, endpoint: Endpoint, sender: str) -> None:
        # Unless it is back already: then there is a new connection.
        if sender in endpoint.peers and sender not in self.network.running:
            endpoint.peer_lost(sender)
