"""What a node needs of a network, and what it does not count on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs
import trio

from raft_actors.errors import Unreachable
from raft_actors.raft.features import FEATURES
from raft_actors.raft.messages import Message
from raft_actors.raft.starts import Met, Start
from raft_actors.records import define, frozen
from raft_actors.transports.conversation import Converse
from raft_actors.transports.greeting import Admit, Operate, Refused, Trusts, anybody, everybody, never_mind

if TYPE_CHECKING:
    from raft_actors.transports.tls.statistics import CertificateStatistics

Deliver = Callable[[str, Message], bool]
"""`deliver(sender, message)`: hand a received message to the node. Never blocks; False: its inbox was full, dropped."""


PeerLost = Callable[[str], None]
"""`peer_lost(peer)`: there was a connection with this peer, and none is left. Never blocks."""

PeerReached = Callable[[str], None]
"""`peer_reached(peer)`: there is a new connection to this peer, so what is sent to it now goes out. Never blocks."""


def _nobody_minds(_peer: str) -> None: ...


Stranger = Callable[[str, str], bool]
"""`stranger(sender, address)`: a node of this cluster that is no peer has something to say, and can be reached there
(""; not known). True: it is a peer from now on (`Transport.set_peers` was called meanwhile). Never blocks."""


def _keep_out(_sender: str, _address: str) -> bool:
    return False


def _no_matter_when(_expires_at: float) -> None: ...


def _knows_none() -> int:
    return 0


def _has_met_nobody(_peer: str) -> Met | None:
    return None


@frozen
class Endpoint:
    """The node a transport works for.

    Attributes:
        cluster_id: peers of another cluster are refused.
        node_id: this node.
        peers: node id → address of every other member, until `Transport.set_peers` says others.
        fallbacks: node id → where else a peer may be, to be tried where it is not reached at its address.
        deliver: where received messages go.
        max_message_bytes: no honest message is larger once encoded. A larger one is refused: unsent at this node,
            and at a peer before it is read.
        peer_lost: called when the connections with a peer have ended, most likely because its process has. A transport
            without connections need not call it, and none can notice a machine that vanishes, or a link that is cut.
        initial_voters: ids of the voters that the cluster began with, sorted. A peer that says others is refused; empty
            where not known, and not compared then.
        stranger: asked about a node of this cluster that is no peer. A node's own list may be older than another's.
        heartbeat_interval_s: how often a leader sends heartbeats; 0: not compared with a peer's.
        election_timeout_s: the shortest time after which a follower that hears no leader asks for votes; 0: not
            compared. A peer whose times don't fit (one of the two would depose the other) is refused.
        leases: what leases leaders hold (`config.Leases`); empty: none. A peer that says otherwise is refused.
        skipped_commands: which commands this node leaves out (`ClusterConfig.skipped_text`); likewise.
        certificate_expiring: called once a day, from some time before it on, when this node's certificate ends, in
            seconds since 1970. Never blocks.
        incarnation: of this node's store, which peers get to know; "": they don't.
        address: where peers can reach this node, which they get to know; "": they know it already.
        configuration_index: returns the newest configuration of the cluster that this node knows, for `Greeting`.
        configuration_term: returns the term of that configuration's entry (`raft.newest`); 0: it does not say.
        admit: the node's word on a peer that the transport would take; asked whenever a connection begins, whichever
            side opened it.
        operate: does what operators ask of this node, and nodes that want to join; None: nothing.
        refused: called when a peer refuses this node's incarnation.
        converse: serves a client, which is no member; None: none is served.
        trusts: whether a client or operator has its rights still, asked when it comes, and again with each
            `Transport.set_peers`: then the connection of one that has them no more is ended.
        max_request_bytes: no request of a client is larger.
        start: the start of this node's store, which peers get to know; None: they don't.
        met: `met(peer)`: what this node remembers of a peer, which that peer is told whenever a connection begins.
        peer_reached: called when a peer that was out of reach, or of which nothing was known, can be sent messages:
            what was refused, or lost with the connection before, need not wait for its next turn. A transport need not
            call it.
    """

    cluster_id: str
    node_id: str
    peers: Mapping[str, str]
    deliver: Deliver
    max_message_bytes: int
    peer_lost: PeerLost = _nobody_minds
    initial_voters: tuple[str, ...] = ()
    heartbeat_interval_s: float = 0.0
    election_timeout_s: float = 0.0
    stranger: Stranger = _keep_out
    leases: str = ""
    skipped_commands: str = ""
    certificate_expiring: Callable[[float], None] = _no_matter_when
    incarnation: str = ""
    address: str = ""
    configuration_index: Callable[[], int] = _knows_none
    admit: Admit = anybody
    refused: Refused = never_mind
    operate: Operate | None = None
    converse: Converse | None = None
    max_request_bytes: int = 0
    fallbacks: Mapping[str, str] = attrs.field(factory=dict[str, str])
    trusts: Trusts = everybody
    peer_reached: PeerReached = _nobody_minds
    start: Start | None = None
    met: Callable[[str], Met | None] = _has_met_nobody
    configuration_term: Callable[[], int] = _knows_none

    def is_of_same_cluster(self, other: Endpoint) -> bool:
        """Whether two nodes' clusters have the same id, leases and skipped commands, and began with the same voters,
        where both know them.
        """
        if self.initial_voters != other.initial_voters and self.initial_voters and other.initial_voters:
            return False
        said = [(end.cluster_id, end.leases, end.skipped_commands) for end in (self, other)]
        return said[0] == said[1]


@define
class PeerStatistics:
    """Counters of the traffic with one peer, since the transport started, or since it became a peer."""

    connected: bool = False
    sent_messages: int = 0
    sent_bytes: int = 0
    received_messages: int = 0
    received_bytes: int = 0
    dropped_messages: int = 0
    """Messages to this peer that were not sent: too large, its queue full, or no connection."""
    too_large_messages: int = 0
    """Those of them that are larger than any message may be: they would be dropped for ever."""
    queued_messages: int = 0
    queued_bytes: int = 0
    connects: int = 0
    """Connections to this peer that completed their handshake."""
    refusals: int = 0
    """Connections to this peer that it refused, at the handshake or for what came over them."""
    refusals_by_reason: Counter[str] = attrs.field(factory=Counter[str])
    """The same by the names of `handshake.Verdict`."""
    last_refusal: str | None = None
    """Why it refused the last one: a name of `handshake.Verdict`, such as "OTHER_CLUSTER"."""
    version: int | None = None
    """The protocol version that this node and the peer have agreed on, at the last handshake of either; None before,
    and where no protocol is spoken (in memory)."""
    features: frozenset[str] = frozenset()
    """What both can do beyond that version."""
    encrypted: bool = False
    """Whether the connection that was last agreed on, in either direction, is one over TLS."""
    incarnation: str = ""
    """Of the peer's store, as it said at the last handshake of either; "" where it did not say."""
    address: str = ""
    """Where it was dialled last; "" where nobody is dialled (in memory)."""
    unknown_messages: int = 0
    """Messages of a class that only the peer, which is newer, knows: dropped."""
    unknown_fields: int = 0
    """Fields of messages that only the peer knows: dropped, the rest of the message was taken."""


@define
class TransportStatistics:
    """A snapshot of a transport's counters."""

    peers: dict[str, PeerStatistics] = attrs.field(factory=dict[str, PeerStatistics])
    protocol_errors: int = 0
    """Connections closed because of what came over them."""
    refused_handshakes: int = 0
    """Connections that this node refused: another cluster, an unknown node, another protocol version, or a handshake
    that was not over in time."""
    refused_by_reason: Counter[str] = attrs.field(factory=Counter[str])
    """Those that were told a reason, and connections closed for what came over them, by the names of
    `handshake.Verdict`, or of `tls.failures.Trouble` where a connection was not secured, whichever side opened it.
    DROPPED counts packets that asked for a connection, and that the system dropped because there were too many."""
    clients: int = 0
    """Connections of clients that are open now."""
    certificate: CertificateStatistics | None = None
    """Of this node's own certificate; None without TLS."""


class Transport(ABC):
    """Carries messages between the nodes of a cluster.

    NOT guaranteed, and never relied on by a node: that a message arrives, once, in order, soon, or that its loss is
    noticed. Guaranteed: a message that arrives is whole and unaltered, comes from the peer it is said to come from, and
    was sent to this node of this cluster. One slow, dead or hostile peer delays no other.
    """

    @abstractmethod
    async def run(self, endpoint: Endpoint, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry messages until cancelled; `started()` once peers can reach this node.

        A transport runs for one node at a time; after `run` has ended it may run again. An exception that
        `endpoint.deliver` raises ends the run; it may come out inside an ExceptionGroup.

        Raises:
            ListenError: the address can't be listened on.
        """

    @abstractmethod
    def send_nowait(self, to: str, message: Message) -> bool:
        """Queue a message to a peer, without blocking.

        False: it was dropped at once, because it is too large, the queue is full, the peer is not a peer or known to be
        out of reach, or the transport doesn't run. True promises nothing.
        """

    def features_of(self, peer: str) -> frozenset[str]:
        """What both this node and the peer can do beyond the protocol version that they speak: names that they greeted
        each other with (`raft.features`). None for a transport that does not ask; costs next to nothing.
        """
        return frozenset()

    def own_features(self) -> frozenset[str]:
        """What this node can do, and greets its peers with."""
        return FEATURES

    def refuse(self, peer: str, why: str) -> None:  # noqa: B027 - for those that have connections
        """End the connection over which a peer speaks to this node, and tell it why: what it has said is a message, but
        none that a member can send. It may connect again. Never blocks.

        A transport without connections, or that doesn't run, does nothing.
        """

    @abstractmethod
    def set_peers(self, peers: Mapping[str, str]) -> None:
        """Replace the peers: node id → address of every other member. Never blocks.

        New peers are dialled. A node that is no longer a peer is disconnected at once: its connections in both
        directions are closed, queued messages to it are dropped, nothing that it sends is delivered, its statistics are
        gone, and `peer_lost` is not called. The same holds for clients and operators that the endpoint no longer trusts
        (an operator may still get its reply). A peer with a new address is dialled there and keeps its statistics;
        messages queued for the old address are dropped. Nothing changes for a peer that stays the same, or is already
        connected at the new address. An invalid address counts as an unreachable peer, and is logged: members come from
        the log, and a wrong one must not end every node.

        Does nothing while the transport doesn't run: it starts with the peers of its endpoint.
        """

    async def ask(self, address: str, request: bytes) -> bytes:
        """Have the node at an address, which need not be a peer, do something; return its reply (`Endpoint.operate`).

        Raises:
            TransportError: it can't be reached, or was lost before it replied (then it may have done it); or this
                transport can't ask at all.
        """
        raise Unreachable(f"a {type(self).__name__} can't ask the node at {address!r} for anything")

    @abstractmethod
    def statistics(self) -> TransportStatistics:
        """Counters so far, of those who are peers now."""
