"""What a role decides on: everything that may wait in a node's inbox. The mirror of `effects`."""

from __future__ import annotations

from raft_actors.raft.effects import Persist, Send
from raft_actors.raft.messages import Message
from raft_actors.raft.persistent_state import SnapshotMetadata, StoredConfiguration
from raft_actors.raft.requests import ChangeRequest, ReadRequest, Request, TransferRequest
from raft_actors.records import define, frozen, record


@record
class Received:
    """A message from a peer, whose id the transport vouches for."""

    sender: str
    message: Message


@record
class Durable:
    """A `Persist` effect, and all that were asked before it, are on disk."""

    persisted: Persist


@frozen
class TimerFired:
    """The role's deadline has passed (unless it was moved meanwhile)."""


@frozen
class PeerDisconnected:
    """The connections with a peer have ended: its process has, most likely. A hint: the transport may not know."""

    peer: str


@frozen
class PeerConnected:
    """There is a new connection to a peer. A hint: what was sent to it before may have been refused, or lost."""

    peer: str


@frozen
class ChunkStored:
    """The installer has an answer for the leader whose snapshot chunk it handled."""

    term: int
    reply: Send


@frozen
class SnapshotReceived:
    """All chunks of a leader's snapshot are written, ready to be committed.

    Attributes:
        configuration: the one in force where it ends; None for the one that the cluster began with.
    """

    term: int
    leader: str
    snapshot: SnapshotMetadata
    snapshot_id: int
    chunks: int
    configuration: StoredConfiguration | None = None


@frozen
class SnapshotWritten:
    """All chunks of a snapshot of this node's own state are written, ready to be committed."""

    snapshot: SnapshotMetadata
    snapshot_id: int


@define(eq=False)
class Requested:
    """Applications propose commands or want linearizable reads.

    One item takes in all requests that come while it waits in the inbox, so that a busy leader handles one item
    instead of thousands.

    Attributes:
        requests: the proposals and reads, in the order in which they came.
        taken: whether a role has decided on it; what comes later needs an item of its own.
        term: the only term in which they may be proposed; 0: any.
    """

    requests: list[Request]
    taken: bool = False
    term: int = 0


@define(eq=False)
class ReadsRequested:
    """Applications want linearizable reads, for which nothing need be appended. As with `Requested`, one item takes in
    all that come while it waits.

    Attributes:
        reads: in the order in which they came.
        taken: whether a role has decided on it.
    """

    reads: list[ReadRequest]
    taken: bool = False


@frozen
class StateDigested:
    """This node's state was hashed, as it was after the entry at an index."""

    index: int
    digest: bytes


@frozen
class TransferRequested:
    """An application wants leadership to go to another member."""

    request: TransferRequest


@frozen
class ChangeRequested:
    """An application wants other members, or no change of them any more."""

    request: ChangeRequest


Input = (
    Received
    | Durable
    | TimerFired
    | PeerDisconnected
    | PeerConnected
    | ChunkStored
    | SnapshotReceived
    | SnapshotWritten
    | StateDigested
    | Requested
    | ReadsRequested
    | TransferRequested
    | ChangeRequested
)
