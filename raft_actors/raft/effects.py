"""What a decision asks to be done. Decisions return effects; the role's actor performs them, in order.

An effect is plain data, so a test reads what a role decided without running anything. `Become` ends a list of effects:
nothing may follow it, for it would be done in a role that is over.
"""

from __future__ import annotations

from typing import Any

from raft_actors.errors import StoreReplaced
from raft_actors.raft.impossible import Impossible
from raft_actors.raft.membership import Goal
from raft_actors.raft.messages import InstallSnapshot, Message
from raft_actors.raft.persistent_state import HardState, SnapshotMetadata, Write
from raft_actors.raft.requests import ChangeRequest, ReadRequest, Request, TransferRequest
from raft_actors.raft.state_checks import Difference
from raft_actors.raft.transitions import GivenUp, RoleName
from raft_actors.records import frozen, record


@record
class Send:
    """Send a message to a peer, now."""

    to: str
    message: Message


@frozen
class RestoreSnapshot:
    """Have the state machine restored from the storage's snapshot, which is this one."""

    snapshot: SnapshotMetadata


@frozen
class AnnounceSnapshot:
    """Tell those who care that the snapshot which was being taken is durable (or was given up for a newer one).

    Attributes:
        snapshot: the newest now.
        taken: whether it is the one that was being taken.
    """

    snapshot: SnapshotMetadata
    taken: bool = True


@record
class Apply:
    """Have the entries up to `commit_index` applied, and these proposals and reads (in log order) answered.

    Attributes:
        keep_from: the first index of a proposal of which only the beginning is committed. Its results must be kept:
            it will be among the outcomes of a later `Apply`. None where there is no such proposal.
    """

    commit_index: int
    outcomes: tuple[Request, ...] = ()
    keep_from: int | None = None


@frozen
class AnswerReads:
    """Have these reads answered as soon as the entry at `index`, which is committed, is applied here.

    All that was committed before they were asked for is in the state then, and so is nothing that is not committed: so
    it does not matter what becomes of this leadership meanwhile, or how late it is.

    Attributes:
        as_of: when it was certain that nothing beyond `index` was committed, on the clock `RaftState.boottime`; None:
            not known.
    """

    index: int
    reads: tuple[ReadRequest, ...]
    as_of: float | None


@frozen
class Refuse:
    """Answer a proposal, a read, a transfer or a change of members with an error."""

    outcome: Request | ReadRequest | TransferRequest | ChangeRequest
    error: Exception


@frozen
class DoubtStore:
    """Note before anything else is written that this node's store lacks what the node has promised, and find out
    whether the members have agreed on it since.

    Attributes:
        peer: whose word shows it.
        index: of the configuration that the store lacks.
        error: what the node ends with if they have not.
        term: of that configuration's entry, or of a snapshot that covers it; 0: not known.
    """

    peer: str
    index: int
    error: StoreReplaced
    term: int = 0


@frozen
class RefuseMessage:
    """Count and tell that a peer has said what no honest member can say, and end the connection that it came over.

    Attributes:
        peer: who said it.
        cause: what kind of thing it is.
        why: what it said, and why that can't be, as the log and the peer are told.
    """

    peer: str
    cause: Impossible
    why: str


Consequence = Send | Apply | Refuse | RestoreSnapshot | AnnounceSnapshot
"""What may wait for a write."""


@record
class Persist:
    """Write, and perform `then` once it is durable: the only way to send what depends on a write.

    The rest is the stamp that comes back with the durable ack, to tell a stale one.

    Attributes:
        write: what to write; None only waits until all that was asked before is durable.
        then: effects that must wait. A `Send` among them is dropped if the term has changed meanwhile.
        hard_state: the term and vote that are durable with it.
        epoch: `Log.epoch` after it.
        last_index: `Log.last_index` after it.
        size: bytes of entries in it.
    """

    write: Write | None
    then: tuple[Consequence, ...]
    hard_state: HardState
    epoch: int
    last_index: int
    size: int = 0


@frozen
class Transferred:
    """Answer a transfer: this member leads now."""

    request: TransferRequest
    leader: str


@frozen
class ChangeBegun:
    """Answer a change of members: it has begun, or nothing is left to do.

    Attributes:
        index: of the configuration with which it began, or which is as asked already.
        goal: what it is to come to.
    """

    request: ChangeRequest
    index: int
    goal: Goal


@frozen
class StoreChunk:
    """Have a chunk of the leader's snapshot written; the installer answers the leader."""

    leader: str
    message: InstallSnapshot


@frozen
class DiscardSnapshot:
    """Give up a written snapshot that is not wanted any more."""

    snapshot_id: int


@frozen
class ReplicateTo:
    """Have a replicator for each of these peers, and for nobody else, as long as this leadership lasts.

    Those that are there stay as they are. What another leadership replicated to says nothing: each begins with none.

    Attributes:
        peers: to whom.
        next_index: where a new replicator begins to look for what its follower lacks (Figure 2: nextIndex).
    """

    peers: tuple[str, ...]
    next_index: int


@frozen
class WakeReplicators:
    """Tell every replicator that the log or the commit index has grown."""


@frozen
class Beat:
    """Tell every replicator that a heartbeat is due.

    Attributes:
        silent: followers that have not answered for half an election timeout: theirs has to ask for an answer.
    """

    silent: frozenset[str] = frozenset()


@frozen
class Resume:
    """Tell the replicator of a peer, if it has one, that there is a new connection to it."""

    peer: str


@frozen
class AnnounceCommit:
    """Tell the followers that the commit index has grown, unless the next append, which does, comes soon.

    Attributes:
        at_once: followers that have to know at once, as somebody there waits for it.
    """

    at_once: tuple[str, ...] = ()


@frozen
class KeepResults:
    """Have results kept from this index on, whoever may turn out to wait for them; None: not any more."""

    from_index: int | None


@frozen
class TellCommit:
    """Tell a follower what is committed, at once, where it was not told yet: reads wait there for it."""

    peer: str


@frozen
class EndScopes:
    """End what may only go on while this node leads, and nobody else can commit anything.

    Attributes:
        why: as an application is told.
    """

    why: str


@frozen
class LookAgain:
    """Have those look again who wait for entries to be applied: nobody sends this node any more of them."""


@frozen
class LeaveBehind:
    """Tell those who care that entries are about to be forgotten which a follower, that is there, still needs.

    Attributes:
        peer: the follower.
        needed: the first entry that it needs.
        first_index: the first that the log has from now on.
    """

    peer: str
    needed: int
    first_index: int


@frozen
class GiveLeadershipUp:
    """Tell those who care that this leader is about to step down, though it knows of no other one.

    Attributes:
        term: that it led.
        reason: why.
        silent_s: for how long its disk, or a majority, has not been heard of.
    """

    term: int
    reason: GivenUp
    silent_s: float


@frozen
class TellDifference:
    """Tell those who care that replicas differ; end this node where it is the one that is wrong."""

    difference: Difference


@record
class Feed:
    """Hand a follower's reply to its replicator."""

    peer: str
    reply: Message


@frozen
class Become:
    """Leave this role for another: always the last effect of a list.

    Attributes:
        role: which one.
        redeliver: what the new role handles first, or None.
    """

    role: RoleName
    redeliver: Any = None


Effect = (
    Send
    | Persist
    | RestoreSnapshot
    | AnnounceSnapshot
    | Apply
    | AnswerReads
    | Refuse
    | Transferred
    | ChangeBegun
    | StoreChunk
    | DiscardSnapshot
    | ReplicateTo
    | WakeReplicators
    | Beat
    | Resume
    | AnnounceCommit
    | TellCommit
    | KeepResults
    | EndScopes
    | LeaveBehind
    | LookAgain
    | GiveLeadershipUp
    | TellDifference
    | RefuseMessage
    | DoubtStore
    | Feed
    | Become
)
