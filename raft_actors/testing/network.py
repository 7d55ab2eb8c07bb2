"""The network of a simulated cluster: `MemoryNetwork`, carried out by the event queue, traced, and able to do worse.

What a message meets on its way is drawn when it is sent, from its link's own generator, as there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs
import trio
from typing_extensions import override

from raft_actors.errors import ConfigurationError
from raft_actors.observe.trace import Trace
from raft_actors.raft.messages import Message
from raft_actors.testing.event_queue import EventQueue, Gate
from raft_actors.transports.abc import Endpoint, PeerStatistics, TransportStatistics
from raft_actors.transports.faults import NO_FAULTS
from raft_actors.transports.links import REQUESTS, LinkStatistics
from raft_actors.transports.memory import MemoryNetwork, MemoryTransport
from raft_actors.transports.wire.codec import encode, size_bound

LINK_FAULTS = ("disconnect", "partition", "cut", "stall", "slow link")
"""What `heal` undoes, as the trace calls it."""

MOST_RESET_DELAY_S = 0.002
"""How long it may take until a node learns that its peer's process has ended."""


@attrs.define(eq=False)
class _Way:
    """What a direction between two nodes has beside its faults.

    Attributes:
        bytes_per_s: how much it carries; None: any amount.
        free_at: when what was sent before has left.
        stalled: whether what is sent stays under way for now.
        waiting: what does.
    """

    bytes_per_s: float | None = None
    free_at: float = 0.0
    stalled: bool = False
    waiting: list[_Packet] = attrs.field(factory=list["_Packet"])


_Packet = tuple[int, str, Endpoint, MemoryTransport, Message, LinkStatistics]
"""A message under way: its id in the trace, sender, its endpoint, where it goes, the message, the link's counters."""


@attrs.define(eq=False, kw_only=True)
class SimulatedNetwork(MemoryNetwork):
    """See the module's text.

    Attributes:
        outlive: whether a message that is under way outlives its receiver's restart, and arrives at its next life.
        event_queue: of the simulation.
        trace: told of each message.
        gates: node id → the gate that holds back what concerns a paused node.
    """

    event_queue: EventQueue
    trace: Trace
    gates: dict[str, Gate]
    certified: bool = True
    outlive: bool = False
    _ways: dict[tuple[str, str], _Way] = attrs.field(factory=dict[tuple[str, str], _Way], init=False)

    @override
    def transport(self, node_id: str) -> SimulatedTransport:
        return SimulatedTransport(self, node_id)

    # --- faults ---

    def set_bandwidth(self, sender: str, receiver: str, bytes_per_s: float | None) -> None:
        """Let one direction carry only so much, one message after the other; None: any amount again.

        Raises:
            ConfigurationError: it is not above 0.
        """
        if bytes_per_s is not None and bytes_per_s <= 0:
            raise ConfigurationError(f"a link carries more than 0 bytes per second, not {bytes_per_s}")
        way = self._way(sender, receiver)
        way.bytes_per_s, way.free_at = bytes_per_s, 0.0

    def stall(self, sender: str, receiver: str) -> None:
        """Take what is sent this way, and let it go nowhere: a peer that accepts and does not read."""
        self._way(sender, receiver).stalled = True

    def resume(self, sender: str, receiver: str) -> None:
        """Undo `stall`: what waited arrives now, in order."""
        way = self._way(sender, receiver)
        way.stalled = False
        waiting, way.waiting = way.waiting, []
        now = trio.current_time()
        for packet in waiting:
            self.event_queue.at(now, self.gates.get(receiver), self._arrive, packet)

    @override
    def heal(self) -> None:
        """Undo every cut, disconnection, partition, stall and slow link (not the faults of messages)."""
        MemoryNetwork.heal(self)
        for (sender, receiver), way in self._ways.items():
            way.bytes_per_s = None
            if way.stalled:
                self.resume(sender, receiver)

    def _way(self, sender: str, receiver: str) -> _Way:
        return self._ways.setdefault((sender, receiver), _Way())

    def pose(self, impostor: str, victim: str, receiver: str, message: Message) -> None:
        """Send a message as if a node had, from somebody who has no certificate for its id, and knows all else that it
        would say of itself.
        """
        posed, target = self.running.get(victim), self.running.get(receiver)
        known = (None if posed is None else posed.endpoint) or (None if target is None else target.endpoint)
        if known is not None:
            self.carry(victim, attrs.evolve(known, node_id=impostor), receiver, message)

    # --- carrying ---

    @override
    def carry(self, sender: str, origin: Endpoint, receiver: str, message: Message) -> bool:
        self._packets = number = self._packets + 1
        kind = type(message)
        self.trace.add("send", sender, id=number, to=receiver, type=kind.__name__, text=message)
        link = self._links.get((sender, receiver)) or self._link(sender, receiver)
        statistics = link.statistics
        target = self.running.get(receiver)
        if target is None or statistics.in_flight >= self.max_in_flight:
            statistics.refused += 1
            self._lose(number, "down" if target is None else "full")
            return False
        if self.encode or self.count_bytes:
            statistics.sent_bytes += len(encode(message))
        statistics.sent[kind.__name__] += 1
        faults = link.faults or (self.requests if kind in REQUESTS else self.replies)
        delays = (0.0,) if faults is NO_FAULTS else faults.draw(link.rng)
        if not self.is_open(sender, receiver):
            statistics.blocked += 1
            self._lose(number, "cut")
            return True
        if not delays:
            statistics.dropped += 1
            self._lose(number, "drop")
            return True
        statistics.duplicated += len(delays) > 1
        statistics.in_flight += len(delays)
        self._send_on((number, sender, origin, target, message, statistics), delays)
        return True

    def _send_on(self, packet: _Packet, delays: Iterable[float]) -> None:
        _, sender, _, target, message, _ = packet
        receiver = target.node_id
        leaves = trio.current_time()
        way = self._ways.get((sender, receiver))
        if way is not None:
            if way.stalled:
                way.waiting += [packet for _ in delays]
                return
            if way.bytes_per_s is not None:
                leaves = way.free_at = max(leaves, way.free_at) + size_bound(message) / way.bytes_per_s
        gate, at, arrive = self.gates.get(receiver), self.event_queue.at, self._arrive
        for delay in delays:
            at(leaves + delay, gate, arrive, packet)

    def _arrive(self, packet: _Packet) -> None:
        number, sender, origin, meant, message, statistics = packet
        statistics.in_flight -= 1
        receiver = meant.node_id
        target = self.running.get(receiver)
        why: str | None
        if target is None or (target is not meant and not self.outlive):
            why = "down"
        elif not self.is_open(sender, receiver):
            why = "cut"
        else:
            why = target.take(sender, origin, message) if isinstance(target, SimulatedTransport) else "down"
            if why is None:
                statistics.delivered += 1
                self.trace.add("receive", receiver, id=number, sender=sender, type=type(message).__name__)
                return
        statistics.blocked += 1
        self._lose(number, why)

    # --- connections ---

    @override
    def hang_up(self, node_id: str) -> None:
        for receiver in sorted(self.running):
            if receiver != node_id and self.is_open(node_id, receiver):
                self._break(node_id, receiver)

    def reset(self, one: str, other: str) -> None:
        """Break the connections between two nodes, which both learn, if they run. They are up again at once."""
        for sender, receiver in ((one, other), (other, one)):
            if sender in self.running and receiver in self.running and self.is_open(sender, receiver):
                self._break(sender, receiver)

    def part(self, node_id: str, peer: str) -> None:
        """A node has ended its connections with a peer, which learns it, if it runs and can be reached."""
        if peer in self.running and self.is_open(node_id, peer):
            self._break(node_id, peer)

    def _break(self, sender: str, receiver: str) -> None:
        delay_s = self._link(sender, receiver).rng.uniform(0.0, MOST_RESET_DELAY_S)
        target = self.running[receiver]
        self.event_queue.at(trio.current_time() + delay_s, self.gates.get(receiver), self._broken, (sender, target))

    def _broken(self, connection: tuple[str, MemoryTransport]) -> None:
        sender, target = connection
        if isinstance(target, SimulatedTransport) and self.running.get(target.node_id) is target:
            self.trace.add("disconnect", target.node_id, peer=sender)
            target.lose(sender)

    def _lose(self, number: int, why: str) -> None:
        self.trace.add("lose", None, id=number, why=why)


@attrs.define(eq=False)
class SimulatedTransport(MemoryTransport):
    """One node's access to a `SimulatedNetwork`."""

    dead: bool = attrs.field(default=False, init=False)
    """Whether its node has lost its power: whatever it still does in its last step leaves no trace."""

    @override
    @trio.lowlevel.enable_ki_protection
    async def run(self, endpoint: Endpoint, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be reachable until cancelled; the event queue does the rest."""
        running = self.network.running
        if endpoint.node_id != self.node_id or self.node_id in running:
            raise ConfigurationError(
                f"node {endpoint.node_id!r} can't run here: {self.node_id!r} is another, or runs already"
            )
        self._totals = TransportStatistics(peers={peer: PeerStatistics() for peer in endpoint.peers})
        self._admitted.clear()
        self._endpoint = endpoint
        running[self.node_id], self.network.stores[self.node_id] = self, endpoint.incarnation
        try:
            async with self.clients.serving(endpoint):
                task_status.started()
                await trio.sleep_forever()
        finally:
            if self.unplug():
                self.network.hang_up(self.node_id)
            self._endpoint = None

    def unplug(self) -> bool:
        """Take the node off the network, if this is still its transport; tell whether it was."""
        if self.network.running.get(self.node_id) is not self:
            return False
        del self.network.running[self.node_id]
        return True

    def die(self, *, hang_up: bool) -> None:
        """The node is gone: what it still sends in this very step goes nowhere.

        Args:
            hang_up: only its process is, and the operating system ends its connections; else its peers learn nothing.
        """
        self.dead = True
        self.clients.vanish = not hang_up
        if self.unplug() and hang_up:
            self.network.hang_up(self.node_id)

    def lose(self, peer: str) -> None:
        """Tell the node that the connections with a peer have ended."""
        if self._endpoint is not None and peer in self._endpoint.peers:
            self._endpoint.peer_lost(peer)

    @override
    def set_peers(self, peers: Mapping[str, str]) -> None:
        if self._endpoint is not None and not self.dead:
            gone = sorted({*self._endpoint.peers} - {*peers})
            MemoryTransport.set_peers(self, peers)
            for peer in gone:
                network = self.network
                if isinstance(network, SimulatedNetwork):
                    network.part(self.node_id, peer)

    @override
    def send_nowait(self, to: str, message: Message) -> bool:
        return not self.dead and MemoryTransport.send_nowait(self, to, message)

    def take(self, sender: str, origin: Endpoint, message: Message) -> str | None:
        """Hand a message to the node. Returns why it is lost, or None."""
        endpoint = self._endpoint
        if endpoint is None:
            return "down"
        if not self.takes(sender, origin, endpoint):
            return "refused"
        self._totals.peers[sender].received_messages += 1
        return None if endpoint.deliver(sender, message) else "full"
