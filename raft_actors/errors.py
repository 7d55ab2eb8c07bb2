"""Every error this library raises on purpose, by culprit.

The tree answers two questions a caller has: whose fault is it, and what happened to my command?

- `ConfigurationError`: the caller handed in something that can't work.
- `UsageError`: the caller called where or when it can't work: on another thread, outside Trio, before the node's life.
- `ProposalError`: a command or read was not carried out, or its outcome is unknown; each says which.
- `StorageError`: the disk or the store on it. Final: the node stops (a failed commit's outcome is indeterminate,
  so a retry could resurrect or lose writes).
- `TransportError`: a peer or the network. Never stops a node, except where a node can't listen at all.
- `StateMachineError`: the application's own state machine failed where it must not.
- `InternalError`: our bug.

All of them survive pickle, copy and process pools, with their attributes, notes and cause.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Self

from raft_actors.overload import OverloadCause
from raft_actors.rebuilding import picklable, rebuild


class RaftError(Exception):
    """Base of every error that raft_actors raises on purpose."""

    # Exceptions are pickled as a call of their class with `args`, which is the text here, not what `__init__` takes.

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (type(self), self.args, self.__dict__, picklable(self.__cause__, RaftError))

    def __copy__(self) -> Self:
        return rebuild(type(self), self.args, self.__dict__, self.__cause__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # The cause is shared: it is somebody else's, holds whatever its author put there, and is not changed any more.
        return rebuild(type(self), copy.deepcopy(self.args, memo), copy.deepcopy(self.__dict__, memo), self.__cause__)


class ConfigurationError(RaftError, ValueError):
    """A setting, id or address can't work; the message names it and the remedy."""


class CertificateError(ConfigurationError):
    """A certificate, key or CA can't be used; the message names the file, what is wrong, and the remedy."""


class UsageError(RaftError, RuntimeError):
    """A call where or when it can't work: on another thread than the node's, outside Trio, or before the node was run.

    It has touched nothing; the message tells what to do instead.
    """


class InternalError(RaftError):
    """An invariant of this library does not hold: our bug. The node stops rather than carry on."""


# --- proposals and reads -------------------------------------------------------------------------------------


class ProposalError(RaftError):
    """A proposal or read did not succeed; the subclass tells whether it can still take effect."""


class NotLeader(ProposalError):
    """This node does not lead, so nothing was proposed: propose at the node that leads, or wait until this one does.

    `Node.wait_leader_changed` takes this error, and waits until a retry may end differently.

    Attributes:
        leader: id of the leader as far as this node knows, or None during an election.
        address: the leader's address in the cluster configuration, or None. Nodes reach each other there, and it takes
            no proposals: an application proposes in the process that runs that node, however it reaches that one.
        term: the term in which this node does not lead; 0 before it has recovered.
        metadata: what the application has made known of the leader (`Member.metadata`): where clients reach it, say.
    """

    def __init__(
        self,
        leader: str | None,
        address: str | None = None,
        term: int = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.leader = leader
        self.address = address
        self.term = term
        self.metadata: dict[str, str] = dict(metadata or {})
        if leader is None:
            text = "not the leader, and no leader is known yet: wait_leader(), then retry"
        else:
            peers = f" (nodes reach it at {address}, which takes no proposals)" if address else ""
            text = f"not the leader: node {leader!r} leads{peers}; propose there, or wait_leader_changed() here"
        super().__init__(text)


class NotMember(NotLeader):
    """This node is no member of the cluster (yet, or any more), so it serves nobody: propose, and read, at one that is.

    A node that was started with `join=True` is none until `Node.change_members` of the leader has named it. One that
    was removed may be stopped, and its store deleted. Only `Local` reads are answered there.
    """

    def __init__(
        self,
        leader: str | None,
        address: str | None = None,
        term: int = 0,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(leader, address, term, metadata)
        leads = "" if leader is None else f", such as {leader!r}, which leads"
        text = f"not a member of the cluster, as far as this node's log goes: propose at one{leads}"
        self.args: tuple[str] = (text,)


class TransferError(RaftError):
    """Leadership was not handed over as asked. Nothing else has changed."""


class TransferRefused(TransferError):
    """No member was asked to take over leadership; the message says why."""


class TransferFailed(TransferError):
    """The transfer was started, and did not complete (in time): the message says what is known."""


class LeadershipLost(ProposalError):
    """Leadership ended, and the outcome can't be known here: the command may have been committed, once, or never.

    A read that ends with it was not answered.

    Attributes:
        term: the term whose leadership ended.
        index: the log index the command was given; None for a read, and where it is not known.
        leader: the leader that a command was forwarded to, and that did not report its outcome; else None.
    """

    def __init__(self, term: int, index: int | None, leader: str | None = None) -> None:
        self.term = term
        self.index = index
        self.leader = leader
        what = "the read" if index is None else f"the command at index {index}"
        what = what if leader is None else f"the command that was forwarded to {leader!r}"
        super().__init__(f"leadership of term {term} was lost: the outcome of {what} is unknown")


class NotCommitted(ProposalError):
    """The command never took effect, and never will: another entry is committed in its place. Propose it again.

    A leader that lost its leadership finds this out by what its successor commits.

    Attributes:
        term: the term in which it had its place in the log.
        index: the log index that it had; of several commands proposed together, that of the first without effect.
        results: of several commands proposed together, the results of the first ones, which did take effect; a
            `ResultLost` for one whose result is not known here.
    """

    def __init__(self, term: int, index: int, results: tuple[Any, ...] = ()) -> None:
        self.term = term
        self.index = index
        self.results = results
        some = f" (the {len(results)} before it that were proposed together with it were applied)" if results else ""
        super().__init__(
            f"the command that a leader of term {term} had placed at index {index} is not committed, and never will "
            f"be{some}: propose it again"
        )


class ResultLost(ProposalError):
    """The command took effect, once, but its result is lost: do not propose it again.

    This node was brought up to date by a snapshot that covers the command, so it has not applied it itself.

    Attributes:
        index: the log index of the command.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"the command at index {index} took effect, but its result is not known here any more")


class SessionExpired(ProposalError):
    """The session has expired (unused for long, or closed): this attempt did not apply the command. Open a new one.

    An earlier attempt, made while the session was still known, may have applied it, once.

    Attributes:
        session: its id.
        certain: True: no earlier attempt can have applied it, so the command surely never takes effect.
    """

    def __init__(self, session: int, *, certain: bool = True) -> None:
        self.session = session
        self.certain = certain
        super().__init__(
            f"session {session} is not known any more: this command was not carried out now; what was under way before "
            "may have been, once. Make a new session"
        )


class LeadershipEnded(ProposalError):
    """The leadership in which this was to be proposed is over: nothing was proposed. See `Node.while_leading`.

    Attributes:
        term: its term.
    """

    def __init__(self, term: int, why: str) -> None:
        self.term = term
        super().__init__(f"the leadership of term {term} is over: {why}; nothing was proposed")


class Overloaded(ProposalError):
    """Too much waits to be committed: nothing was proposed; slow down and retry.

    Attributes:
        cause: which bound is reached.
        retry_after_s: after how many seconds to retry: by then those refused before may have been served.
    """

    def __init__(self, text: str, cause: OverloadCause = OverloadCause.PROPOSALS, retry_after_s: float = 0.0) -> None:
        self.cause = cause
        self.retry_after_s = retry_after_s
        super().__init__(text)


class ReadNotReady(ProposalError):
    """`read_nowait` can't answer at once, and says why: nothing was read. `read` waits instead."""


class CommandTooLarge(ProposalError, ValueError):
    """The encoded command is larger than `NodeConfig.max_command_bytes`: nothing was proposed."""

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            f"the command has {size:,} bytes and max_command_bytes is {limit:,}: split it, or raise it on every node"
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

    Attributes:
        index: the log index of a proposal that was under way, if it is known here; else None.
        under_way: whether it was: in the log, or handed on to a leader that has not answered. Its outcome is unknown.
    """

    def __init__(self, node_id: str, index: int | None = None, *, under_way: bool = False) -> None:
        self.node_id = node_id
        self.index = index
        self.under_way: bool = under_way or index is not None
        what = "what was handed on" if index is None else f"the command at index {index}"
        tail = f": the outcome of {what} is unknown" if self.under_way else ""
        super().__init__(f"node {node_id!r} has stopped{tail}")


class SubscriberTooSlow(RaftError):
    """A subscriber fell so far behind that events which must not be lost no longer fit its buffer."""


# --- membership ----------------------------------------------------------------------------------------------


class ChangeRefused(RaftError):
    """A change of members can't be made as asked; nothing was changed, and the message says why and what to do."""


class ChangeFailed(RaftError):
    """A change of members was begun, and ended with other members than asked for; the message says which, and why."""


class FeatureMissing(RaftError):
    """The cluster uses a feature that this version of the library does not have: upgrade this node."""


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


class StoreReplaced(StorageMismatch):
    """The others know this node by another store, or a later start of it: what it promised is not in this one."""


class StorageVersionError(StorageError):
    """The store was written with a schema that this version does not know."""


class StorageCorrupt(StorageError):
    """What the store holds fails its checksum or contradicts itself."""


# --- transports ----------------------------------------------------------------------------------------------


class TransportError(RaftError):
    """The network, or a peer, misbehaved."""


class ProtocolError(TransportError):
    """Bytes from a peer are not what the protocol allows; the connection that carried them is closed."""


class Unreachable(TransportError):
    """A node that was asked for something can't be reached, or was lost before it replied: it may have done it."""


class ListenError(TransportError):
    """The transport can't listen on its address: taken, not allowed, or not of this machine."""


# --- state machine -------------------------------------------------------------------------------------------


class StateMachineError(RaftError):
    """The application's state machine failed to snapshot, restore or decode; the node can't go on."""


class StateDiverged(StateMachineError):
    """After the same commands this replica's state differs from that of a majority of the voters, or no majority
    agrees.

    See `NodeConfig.state_check_entries`.

    Attributes:
        node_id: the replica's.
        index: the last entry that had been applied. Which one before it was the cause is not known.
        digests: node id → digest of its state there, of those that had reported one.
    """

    def __init__(self, node_id: str, index: int, digests: Mapping[str, str]) -> None:
        self.node_id = node_id
        self.index = index
        self.digests: dict[str, str] = dict(digests)
        same = ", ".join(node for node, digest in digests.items() if digest == digests[node_id])
        states = "; ".join(f"{node} has {digest}" for node, digest in digests.items())
        super().__init__(
            f"the state of node {node_id!r} at index {index} (that of {same}) is not the one of a majority: {states}. "
            "Make `apply` depend on command and state alone; then have nodes whose state is wrong start without their "
            "store and join anew, as their snapshots may be wrong, too. Where no state has a majority, compare them "
            "first, by copies of the stores"
        )
