"""Durable before sent: servers update their stable storage before responding to RPCs (Raft paper, Figure 2 and §5.6 of
its extended version); a leader counts itself once its own disk has an entry (dissertation §10.2.1)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.persistence.memory_disk import MemoryDisk
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    InstallSnapshotReply,
    Message,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.testing.facts import holds
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class DurableBeforeSent(Invariant):
    """Whatever a message says is on its sender's disk when it is sent: the term, a vote, acknowledged entries. And what
    a node takes for durable, is."""

    name = "durable before sent"
    source = "Raft paper, Figure 2; dissertation §10.2.1"

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Compare a message with its sender's disk."""
        if isinstance(message, RequestPreVote) or (isinstance(message, RequestPreVoteReply) and message.granted):
            return  # of a term that nobody is in yet: it binds nobody
        disk = life.disk
        term = message.term
        if disk.state.hard_state.term < term:
            self.fail(f"{life} speaks of term {term}, and its disk is in {disk.state.hard_state.term}: {message}")
        kind = type(message)
        if kind is AppendEntries:
            return
        if isinstance(message, AppendEntriesAccepted):
            # The entry itself, not an older one that waits to be overwritten.
            index = message.match_index
            if not holds(disk, index, self._term_at(life, index)):
                self.fail(f"{life} acknowledges entry {index} to {to!r} before its disk holds it: {message}")
        elif isinstance(message, RequestVoteReply):
            if message.granted:
                self._check_vote(life, term, to)
        elif isinstance(message, RequestVote):
            self._check_vote(life, term, life.node_id)
            if not holds(disk, message.last_log_index, message.last_log_term) and not _outdone(disk, message):
                self.fail(f"{life} stands for election with a log that its disk does not hold: {message}")
        elif isinstance(message, InstallSnapshotReply) and message.installed:
            snapshot = message.snapshot
            if not holds(disk, snapshot.index, snapshot.term):
                self.fail(f"{life} acknowledges a {snapshot} to {to!r} before its disk holds it")

    def _check_vote(self, life: Life, term: int, candidate: str) -> None:
        on_disk = life.disk.state.hard_state
        if (on_disk.term, on_disk.voted_for) != (term, candidate):
            self.fail(f"{life} votes for {candidate!r} in term {term}, and its disk says {on_disk}")

    @override
    def changed(self, life: Life) -> None:
        """Compare what a node takes for durable with its disk. A leader counts itself by that."""
        state, on_disk = life.state, life.disk.state.hard_state
        durable = state.durable
        # The disk may know of a vote of which the node has not heard yet; never the other way round.
        other_vote = durable.voted_for not in (None, on_disk.voted_for)
        if durable.term > on_disk.term or (durable.term == on_disk.term and other_vote):
            self.fail(f"{life} takes {durable} for durable, and its disk says {on_disk}")
        index = state.log.durable_index
        if index > life.seen_durable and not holds(life.disk, index, self._term_at(life, index)):
            self.fail(f"{life} takes entry {index} for durable, and its disk does not hold it")

    def _term_at(self, life: Life, index: int) -> int | None:
        """The term of a node's entry. What it has compacted away was committed: the disk may not have got so far."""
        term = life.log.term_at(index)
        return self.facts.committed.term_at(index) if term is None else term


def _outdone(disk: MemoryDisk, claim: RequestVote) -> bool:
    """Whether a snapshot of a later term has replaced the log that a candidate speaks of, while its vote for itself was
    on the way to the disk: then it says less than it could, which is safe (§5.4.1)."""
    state = disk.state
    later = state.snapshot is not None and state.snapshot.term > claim.last_log_term
    return later and state.last_index < claim.last_log_index
