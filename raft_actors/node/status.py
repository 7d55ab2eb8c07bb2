"""What a node says of itself: a frozen picture, and counters."""

from __future__ import annotations

import enum
from collections import Counter

from raft_actors.actors.actor import MailboxStatistics
from raft_actors.node.applier_statistics import ApplierStatistics
from raft_actors.persistence.abc import StorageStatistics
from raft_actors.persistence.actor import PersistenceStatistics
from raft_actors.raft.impossible import Impossible
from raft_actors.raft.transitions import RoleName
from raft_actors.records import frozen
from raft_actors.transports.abc import TransportStatistics


class NodeState(enum.StrEnum):
    """Where in its life a node stands; each may be followed only by a later one."""

    NEW = "new"
    """It was made, and has not been run."""
    RECOVERING = "recovering"
    """It opens its storage, restores its state machine, and can't be reached yet."""
    RUNNING = "running"
    CLOSING = "closing"
    """It takes no more proposals, and finishes what is under way."""
    CLOSED = "closed"
    """It has ended, as asked."""
    CRASHED = "crashed"
    """An error has ended it, or is ending it: `Node.crash`."""


@frozen(kw_only=True)
class NodeStatus:
    """A node at one moment.

    Attributes:
        state: where in its life it stands.
        role: its role in the term; None once it has ended, when nothing here changes any more.
        leader: id of this term's leader, or None while it is not known, and once the node has ended.
        voters: ids of those who vote, in either half while the configuration is joint; see also `Node.members`.
        learners: ids of those who get the log without a vote.
        is_member: whether this node is either.
        commit_index: the last entry known to be committed.
        applied_index: the last entry applied to the state machine.
        durable_index: the last entry on this node's disk.
        first_index: of the first entry kept in the log.
        last_index: of the last one; below `first_index` where none is kept.
        snapshot_index: of the last entry that the latest snapshot covers; 0 without a snapshot.
        snapshot_term: of the same entry.
    """

    node_id: str
    cluster_id: str
    state: NodeState
    role: RoleName | None
    term: int
    voted_for: str | None
    leader: str | None
    voters: tuple[str, ...]
    learners: tuple[str, ...] = ()
    is_member: bool = True
    commit_index: int
    applied_index: int
    durable_index: int
    first_index: int
    last_index: int
    snapshot_index: int
    snapshot_term: int


@frozen(kw_only=True)
class NodeStatistics:
    """A node's counters and queue lengths.

    Attributes:
        pending_proposals: accepted proposals and reads that are not answered yet.
        pending_bytes: the size of their commands.
        waiting_proposals: those that wait for room.
        proposal_window: how many may be pending at a time, adapted to how long they take
            (`NodeConfig.congestion_delay_s`).
        proposal_delay_s: how long the latest measured proposal took, from when it was accepted; None: none was measured
            yet.
        unsynced_bytes: bytes of entries on their way to this node's disk.
        dropped_messages: messages from peers that found the inbox full.
        refused_messages: messages that no honest member can have sent, by what is impossible about them. They were
            dropped, and the connection was ended that they came over.
        elections: elections that this node has started.
        membership_changes: how often other members came into force on this node since it started.
    """

    pending_proposals: int
    pending_bytes: int
    waiting_proposals: int
    proposal_window: int
    proposal_delay_s: float | None
    unsynced_bytes: int
    dropped_messages: int
    refused_messages: Counter[Impossible]
    elections: int
    membership_changes: int
    inbox: MailboxStatistics
    persistence: PersistenceStatistics
    storage: StorageStatistics
    applier: ApplierStatistics
    transport: TransportStatistics
