"""Every error this library raises on purpose, by culprit.

The tree answers two questions a caller has: whose fault is it, and what happened to my command?

- `ConfigurationError`: the caller handed in something that can't work.
- `ProposalError`: a command or read was not carried out, or its outcome is unknown; each says which.
- `StorageError`: the disk or the store on it. Final: the node stops (a failed commit's outcome is indeterminate,
  so a retry could resurrect or lose writes).
- `TransportError`: a peer or the network. Never stops a node, except where a node can't listen at all.
- `StateMachineError`: the application's own state machine failed where it must not.
- `InternalError`: our bug.
"""

from __future__ import annotations


class RaftError(Exception):
    """Base of every error that raft_actors raises on purpose."""


class ConfigurationError(RaftError, ValueError):
    """A setting, id or address can't work; the message names it and the remedy."""


class InternalError(RaftError):
    """An invariant of this library does not hold: our bug. The node stops rather than carry on."""


# --- proposals and reads -------------------------------------------------------------------------------------


class ProposalError(RaftError):
    """A proposal or read did not succeed; the subclass tells whether it can still take effect."""


class NotLeader(ProposalError):
    """This node does not lead, so nothing was proposed: safe to retry at `leader`.

    Attributes:
        leader: id of the leader as far as this node knows, or None during an election.
        address: the leader's address in the cluster configuration, or None.
    """

    def __init__(self, leader: str | None, address: str | None = None) -> None:
        self.leader = leader
        self.address = address
        if leader is None:
            text = "not the leader, and no leader is known yet: wait_leader(), then retry"
        else:
            text = f"not the leader: retry at {leader!r}" + (f" ({address})" if address else "")
        super().__init__(text)


class LeadershipLost(ProposalError):
    """Leadership ended before the outcome was known: the command may still commit, once, or never.

    Attributes:
        term: the term whose leadership ended.
        index: the log index the command was given, or None for a read.
    """

    def __init__(self, term: int, index: int | None) -> None:
        self.term = term
        self.index = index
        what = "the read" if index is None else f"the command at index {index}"
        super().__init__(f"leadership of term {term} was lost: the outcome of {what} is unknown")


class Overloaded(ProposalError):
    """Too many bytes or proposals are waiting to commit: nothing was proposed; slow down and retry."""


class CommandTooLarge(ProposalError, ValueError):
    """The encoded command is larger than `NodeConfig.max_command_bytes`: nothing was proposed."""

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            f"the command has {size:,} bytes and max_command_bytes is {limit:,}: split it, or raise the limit on every "
            "node"
        )


class CommandFailed(ProposalError):
    """The command committed, and the state machine's `apply` raised, on every replica alike.

    The exception that `apply` raised on this node is `__cause__`.

    Attributes:
        index: the log index of the command.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"the state machine raised while applying the command at index {index}")


class NodeStopped(ProposalError):
    """The node is shutting down or has ended. What was not yet proposed never will be.

    For a proposal that was under way the outcome is unknown (`index` is then its log index).
    """

    def __init__(self, node_id: str, index: int | None = None) -> None:
        self.node_id = node_id
        self.index = index
        tail = "" if index is None else f": the outcome of the command at index {index} is unknown"
        super().__init__(f"node {node_id!r} has stopped{tail}")


class SubscriberTooSlow(RaftError):
    """A subscriber fell so far behind that events which must not be lost no longer fit its buffer."""


# --- membership ----------------------------------------------------------------------------------------------


class ChangeRefused(RaftError):
    """A change of members can't be made as asked; nothing was changed, and the message says why and what to do."""


# --- storage -------------------------------------------------------------------------------------------------


class StorageError(RaftError):
    """The store can't be opened, read or written. Final for the node that meets it."""


class StorageFailed(StorageError):
    """A read, write or sync failed. What was being written may or may not be on disk; nothing was acknowledged."""


class StorageFull(StorageFailed):
    """The disk (or a quota) is full: free room, then start the node again."""


class StorageReadOnly(StorageError):
    """The store, or the folder it lives in, can't be written."""


class StorageLocked(StorageError):
    """Another process (or another node in this one) has the store open."""


class StorageMismatch(StorageError):
    """The store belongs to another node or cluster."""


class StorageVersionError(StorageError):
    """The store was written with a schema that this version does not know."""


class StorageCorrupt(StorageError):
    """What the store holds fails its checksum or contradicts itself."""


# --- transports ----------------------------------------------------------------------------------------------


class TransportError(RaftError):
    """The network, or a peer, misbehaved."""


class ProtocolError(TransportError):
    """Bytes from a peer are not what the protocol allows; the connection that carried them is closed."""


class ListenError(TransportError):
    """The transport can't listen on its address: taken, not allowed, or not of this machine."""


# --- state machine -------------------------------------------------------------------------------------------


class StateMachineError(RaftError):
    """The application's state machine failed to snapshot, restore or decode; the node can't go on."""
