"""What nodes say to each other: the RPCs of the Raft paper's Figures 2 and 13, as one-way messages.

A request and its reply are separate messages, so that appends can be pipelined and no task waits for a peer. Every
message carries its sender's term, but for the two of a pre-vote, which say what theirs means. The sender's id is not in
the message: the transport, which has authenticated the peer, hands it over beside it, so no peer can speak for another.
"""

from __future__ import annotations

import enum

import attrs

from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.persistent_state import SnapshotMetadata, StoredConfiguration
from raft_actors.records import frozen, record

SINCE = "raft_actors.since"
"""Key of a field's metadata: the protocol version that brought it. See `transports.wire.codec`."""


@frozen
class RequestPreVote:
    """A node asks whether it would get a vote, before it stands (dissertation §9.6). It binds nobody.

    The one message whose term its sender is not in: `term` is the term that it would stand in.

    Attributes:
        round: a number of the asker's own, which the answer repeats: a grant of an earlier round says nothing of now.
    """

    term: int
    last_log_index: int
    last_log_term: int
    round: int


@frozen
class RequestPreVoteReply:
    """The answer to `RequestPreVote`: nothing at the voter has changed.

    Attributes:
        term: in a grant the term that was asked for, since the voter's own may be lower than the asker's, who would
            take it for stale; in a refusal the voter's own, which an asker that is behind it adopts.
        round: the request's.
    """

    term: int
    round: int
    granted: bool


@frozen
class RequestVote:
    """A candidate asks for a vote (§5.2, §5.4.1).

    Attributes:
        leadership_transfer: whether the leader itself has asked the candidate to stand (dissertation §3.10): then it
            does not matter that the leader was heard of lately.
    """

    term: int
    last_log_index: int
    last_log_term: int
    leadership_transfer: bool = False


@frozen
class RequestVoteReply:
    """The answer to `RequestVote`, sent once the vote is durable."""

    term: int
    granted: bool


@record
class AppendEntries:
    """The leader replicates entries; without entries, a heartbeat (§5.2, §5.3).

    `wants_reply` is false in a heartbeat that need not be accepted aloud, as the follower has acknowledged all that the
    leader has sent, and was heard of lately. A rejection is always sent.
    """

    term: int
    prev_log_index: int
    prev_log_term: int
    leader_commit: int
    entries: tuple[EntryBatch, ...] = ()
    wants_reply: bool = True

    @property
    def last_index(self) -> int:
        """The index up to which the follower's log matches the leader's once this is accepted."""
        return self.entries[-1].last_index if self.entries else self.prev_log_index


@record
class AppendEntriesAccepted:
    """The follower's durable log matches the leader's up to `match_index`."""

    term: int
    match_index: int


@frozen
class AppendEntriesRejected:
    """The follower's log does not hold the entry before the sent ones (or the sender's term is stale).

    `conflict_term` is the term that the follower has at `prev_log_index`, None where its log is shorter than that;
    `conflict_index` is the first index it has of that term, or the one after its last (§5.3, fast backup).
    """

    term: int
    prev_log_index: int
    conflict_term: int | None
    conflict_index: int


@frozen
class InstallSnapshot:
    """One chunk of the leader's snapshot (§7). Chunks are numbered from 0; `done` marks the last one.

    Attributes:
        configuration: in the first chunk, the configuration in force where the snapshot ends: the index of its entry,
            eight bytes, and what the entry holds (`membership_codec`). Empty for the one that the cluster began with.
    """

    term: int
    snapshot: SnapshotMetadata
    sequence: int
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    done: bool
    configuration: bytes = attrs.field(default=b"", repr=False, metadata={SINCE: 3})

    def stored_configuration(self) -> StoredConfiguration | None:
        """The configuration, taken apart; None for the one that the cluster began with."""
        data = self.configuration
        return StoredConfiguration(int.from_bytes(data[:8], "big"), data[8:]) if data else None


@frozen
class InstallSnapshotReply:
    """The follower has stored the chunks below `next_sequence` of that snapshot; they become durable with the whole.

    Attributes:
        next_sequence: the chunk that the follower wants next; 0 asks to start over.
        installed: the whole snapshot is durable (or was not needed: the follower's log already holds its last entry).
    """

    term: int
    snapshot: SnapshotMetadata
    next_sequence: int
    installed: bool


@frozen
class ConfirmLeader:
    """The leader asks whether it leads still, for reads that wait to hear it (dissertation §6.4, step 3).

    No heartbeat: it moves no timer, so reads alone keep nobody from electing another leader. And no append: an answer
    to one with entries would wait for the follower's disk.

    Attributes:
        round: counts up within the term. Who asks again asks in a new round, so no answer to an earlier question passes
            for one to a later.
    """

    term: int
    round: int


@frozen
class ConfirmLeaderReply:
    """The follower was still in this term when it was asked: until then, no later leader had its vote.

    Attributes:
        round: the question's. It answers all earlier ones of the term, too.
    """

    term: int
    round: int


@frozen
class RequestReadIndex:
    """A follower asks the leader how much it must have applied to answer reads that it has (dissertation §6.4).

    Attributes:
        request: a number of the asker's own, which the answer repeats. It counts up, from a beginning that differs from
            one start of the asker to the next, so that no answer to an earlier life passes for one of this.
    """

    term: int
    request: int


@frozen
class ReadIndexReply:
    """The leader led when it was asked: all that was committed by then lies at or before an entry.

    Attributes:
        request: the question's. It answers all earlier ones of the asker's in the term, too.
        index: that entry; None: the leader can't tell, so the reads have to be made there.
    """

    term: int
    request: int
    index: int | None


@frozen
class TimeoutNow:
    """The leader asks a follower that holds its whole log to stand at once (dissertation §3.10).

    Attributes:
        lease_over: whether no lease of any leader up to this term runs any more: if it is elected in the next one, it
            need not wait for the end of any.
    """

    term: int
    lease_over: bool = attrs.field(default=False, metadata={SINCE: 3})


@frozen
class RequestLeave:
    """A member asks the leader to be removed: its process is about to end for good."""

    term: int


class Forwarded(enum.IntEnum):
    """What became of a forwarded batch of proposals. The numbers are the wire's, and keep their meaning for ever."""

    PLACED = 1
    """It was appended, at the index that the answer names. The log tells the rest."""
    REFUSED = 2
    """It was not taken in, and never will be."""
    OVERLOADED = 3
    """Nor was it then, for want of room."""
    UNKNOWN = 4
    """Who is asked can't say: it does not remember to have led that term."""


@frozen
class ForwardProposals:
    """A member hands proposals of its application on to the leader, or asks again what became of them.

    It is meant for the leader of `term`, who takes each batch in once: it knows it by sender, life and number.

    Attributes:
        life: drawn at random at the sender's start.
        number: counts its batches, from 1.
        settled_below: batches with lower numbers are not asked for any more.
        entries: one batch: the commands in order, encoded as entries from index 1 on.
    """

    term: int
    life: int
    number: int
    settled_below: int
    entries: tuple[EntryBatch, ...]


@frozen
class ForwardReply:
    """The answer to `ForwardProposals`, sent once the batch has its place: nothing is durable yet.

    Attributes:
        life, number: the batch's.
        outcome: a `Forwarded`; what a newer node may say beyond these is taken for `UNKNOWN`.
        index: log index of its first command, in the term for which it was meant; 0 where it was not placed.
        cause: of `OVERLOADED`: the value of an `OverloadCause`, as ASCII; empty: an older node, which does not say.
        retry_after_ms: of `OVERLOADED`: when to come back; 0: likewise.
    """

    term: int
    life: int
    number: int
    outcome: int
    index: int
    cause: bytes = attrs.field(default=b"", metadata={SINCE: 3})
    retry_after_ms: int = attrs.field(default=0, metadata={SINCE: 3})


DIGEST_BYTES = 16
"""What a digest of a state takes; one of another size would be another feature."""


@frozen
class StateDigest:
    """What the sender's state came to at an index: see `raft.state_checks`.

    Attributes:
        index: the last entry applied, which is committed.
        digest: of the state machine's state there, and of the sessions', in `DIGEST_BYTES` bytes.
    """

    term: int
    index: int
    digest: bytes


Message = (
    RequestPreVote
    | RequestPreVoteReply
    | RequestVote
    | RequestVoteReply
    | AppendEntries
    | AppendEntriesAccepted
    | AppendEntriesRejected
    | InstallSnapshot
    | InstallSnapshotReply
    | ConfirmLeader
    | ConfirmLeaderReply
    | RequestReadIndex
    | ReadIndexReply
    | TimeoutNow
    | RequestLeave
    | ForwardProposals
    | ForwardReply
    | StateDigest
)
"""Every message that a transport must carry."""
