"""How far one follower's log has come, and what may be sent to it next: pure decisions of a replicator.

A leader does not know at first where a follower's log agrees with its own. So progress has three states:

- PROBE: one empty AppendEntries at a time, each answer moving `next_index` closer to the point of agreement. A
  rejection says what the follower has there, so that a whole term is skipped at once (§5.3), never one index at a
  time.
- REPLICATE: the logs agree at `match_index`; appends are pipelined: `next_index` moves on with each message sent,
  without waiting for the answer, up to a window of messages and bytes. A rejection means that something was lost on
  the way: back to PROBE, from where the follower says its log ends.
- SNAPSHOT: the entries that the follower needs are compacted away. Chunks of the snapshot are pipelined (see
  `chunk_window`); then PROBE from the snapshot's end.

Lost messages need no timer of their own: each heartbeat lets a PROBE or a chunk be sent again, and in REPLICATE a
heartbeat names the entry before `next_index`, so a follower that lost something rejects it.
"""

from __future__ import annotations

import enum
from collections import deque

import attrs

from raft_actors.errors import InternalError
from raft_actors.raft.log import Log
from raft_actors.raft.messages import AppendEntriesRejected
from raft_actors.records import define


class ProgressState(enum.StrEnum):
    """See the module's text."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@define(eq=False)
class Progress:
    """One follower's progress.

    Attributes:
        next_index: the first entry to send next; always above `match_index`.
        match_index: the last entry known to be durable on the follower; it never goes back.
        probe_sent: in PROBE, a message is on its way and has not been answered; in SNAPSHOT, there is none to send yet.
        inflight: in REPLICATE, (last index, bytes) of each append not yet answered; empty in other states.
        inflight_bytes: the sum of theirs.
        contradictions: how often, since it last accepted anything, the follower has rejected what it had acknowledged.
            A few are late answers; many mean that it has lost its files.
    """

    next_index: int
    max_inflight: int
    max_inflight_bytes: int
    match_index: int = 0
    state: ProgressState = ProgressState.PROBE
    probe_sent: bool = False
    inflight: deque[tuple[int, int]] = attrs.field(factory=deque[tuple[int, int]])
    inflight_bytes: int = 0
    contradictions: int = 0

    def may_append(self, last_index: int) -> bool:
        """Whether entries should be sent now, the log ending at `last_index`."""
        return (
            self.state is ProgressState.REPLICATE
            and self.next_index <= last_index
            and len(self.inflight) < self.max_inflight
            and self.inflight_bytes < self.max_inflight_bytes
        )

    def append_sent(self, last_index: int, size: int) -> None:
        """Note that the entries from `next_index` to `last_index`, `size` bytes, were sent."""
        self.next_index = last_index + 1
        self.inflight.append((last_index, size))
        self.inflight_bytes += size

    def accepted(self, match_index: int) -> None:
        """The follower's log matches up to `match_index`."""
        self.contradictions = 0
        self.match_index = max(self.match_index, match_index)
        if self.state is ProgressState.SNAPSHOT:
            self.next_index = max(self.next_index, self.match_index + 1)
            return
        if self.state is ProgressState.PROBE:
            # Only an answer to the probe itself ends probing; an older one says less than the rejection since.
            if match_index < self.next_index - 1:
                return
            self._enter(ProgressState.REPLICATE)
        while self.inflight and self.inflight[0][0] <= self.match_index:
            self.inflight_bytes -= self.inflight.popleft()[1]
        self.next_index = max(self.next_index, self.match_index + 1)

    def rejected(self, rejection: AppendEntriesRejected, log: Log) -> None:
        """The follower does not have the entry before those that were sent."""
        previous = rejection.prev_log_index
        if previous <= self.match_index:
            # Late, or told by a follower that has lost what it had: to ask again at once would be to ask without end.
            self.contradictions += 1
            return
        if self.state is ProgressState.SNAPSHOT:
            return
        if self.state is ProgressState.PROBE and previous != self.next_index - 1:
            return
        self._enter(ProgressState.PROBE)
        self.next_index = max(self.match_index + 1, min(self._agreement_after(rejection, log), previous))

    def heartbeat_due(self) -> None:
        """A heartbeat interval has passed: what was not answered by now may be sent again."""
        self.probe_sent = False

    def snapshot_needed(self) -> None:
        """What the follower needs next is compacted away."""
        self._enter(ProgressState.SNAPSHOT)

    def snapshot_installed(self, index: int) -> None:
        """The follower has all up to `index`, from a snapshot or because it needed none."""
        self.match_index = max(self.match_index, index)
        self._enter(ProgressState.PROBE)
        self.next_index = self.match_index + 1

    def is_snapshot_needless(self, log: Log) -> bool:
        """Whether the follower has acknowledged so much that the entries which follow are in the log: what it was
        taken to lack was only late.
        """
        if self.state is not ProgressState.SNAPSHOT or self.match_index < log.first_index - 1:
            return False
        return self.match_index > 0 and log.term_at(self.match_index) is not None

    def snapshot_given_up(self) -> None:
        """The follower needs none: the logs agree at `match_index`."""
        self._enter(ProgressState.REPLICATE)
        self.next_index = self.match_index + 1

    def check(self) -> None:
        """Cheap invariants.

        Raises:
            InternalError: one does not hold.
        """
        if self.next_index <= self.match_index:
            raise InternalError(f"next index {self.next_index} ≤ match index {self.match_index}")
        if self.inflight and self.state is not ProgressState.REPLICATE:
            raise InternalError(f"{len(self.inflight)} appends count as under way in state {self.state}")
        if self.inflight_bytes < 0 or (self.inflight_bytes and not self.inflight):
            raise InternalError(f"{self.inflight_bytes} bytes under way in {len(self.inflight)} appends")

    def _enter(self, state: ProgressState) -> None:
        self.state = state
        self.probe_sent = False
        self.inflight.clear()
        self.inflight_bytes = 0

    @staticmethod
    def _agreement_after(rejection: AppendEntriesRejected, log: Log) -> int:
        """Where to try next: after this log's last entry of the follower's conflicting term, if it has that term at
        all, else at the first index that the follower has of it (§5.3; with no term, where the follower's log
        ends)."""
        if rejection.conflict_term is not None:
            last_of_term = log.last_index_of_term(rejection.conflict_term)
            if last_of_term is not None:
                return last_of_term + 1
        return rejection.conflict_index
