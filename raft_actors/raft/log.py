"""The log as decisions see it: the term of every entry, and the recent entries themselves.

All of it is synchronous and in memory, however long the log is: terms are kept as runs (one for each leader that ever
appended), entries only as a bounded tail. Older entries are read from storage by whoever needs them (a replicator
feeding a slow follower, the applier of a restarted node).

Indexes, in this order: `snapshot.index` ≤ what was applied; `first_index … last_index` are kept (`first_index` is at
most one beyond the snapshot's index); entries up to `durable_index` are on this node's disk.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter

from raft_actors.errors import InternalError
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.log_sizes import LogSizes
from raft_actors.raft.persistent_state import Recovered, SnapshotMetadata, TermRun

_first_index = attrgetter("first_index")


def _estimated_bytes(recovered: Recovered) -> int:
    """What the entries take that a store had when it was opened: as much each as those that it gave back."""
    known = sum(map(len, recovered.tail))
    size = sum(batch.size for batch in recovered.tail)
    return size * (recovered.last_index - recovered.first_index + 1) // known if known else 0


class Log:
    """One node's log. See the module's text."""

    def __init__(self, recovered: Recovered, *, cache_bytes: int) -> None:
        self.snapshot: SnapshotMetadata | None = recovered.snapshot
        self.first_index: int = recovered.first_index
        self.last_index: int = recovered.last_index
        self.durable_index: int = recovered.last_index
        """At most `last_index`, and 0 after `reset` until the snapshot that the log goes on after is on disk. It may be
        below the commit index: this node's disk is one vote of several."""
        self.epoch: int = 0
        """Counts truncations. A durable ack of an older epoch may speak of entries overwritten since, so it does not
        count (docs/architecture.md, "Durable before sent"); the ack of the write that truncated comes after it and
        does."""
        self._run_terms = [run.term for run in recovered.term_runs]
        self._run_starts = [run.first_index for run in recovered.term_runs]
        """With `_run_terms`: equally long, both strictly rising, the first is `first_index`; none where no entry is."""
        self._term_before = self._snapshot_term_before()
        """Of the entry before the first kept: what follows it can be sent, though that one is compacted away."""
        self._tail = list(recovered.tail)
        """Contiguous batches up to `last_index`, or none; the first may begin below `first_index`. All that is not yet
        durable is among them: nobody could read it on disk."""
        self._tail_bytes = sum(batch.size for batch in self._tail)
        self._cache_bytes = cache_bytes
        self._sizes = LogSizes(self.first_index, _estimated_bytes(recovered))

    # --- terms -----------------------------------------------------------------------------------------------

    @property
    def snapshot_index(self) -> int:
        """Index of the last entry that the snapshot covers; 0 without a snapshot."""
        return self.snapshot.index if self.snapshot else 0

    @property
    def last_term(self) -> int:
        """Term of the last entry (of the snapshot's last, where no entry is kept; 0 in an empty log)."""
        if self.last_index >= self.first_index:
            return self._run_terms[-1]
        return self.snapshot.term if self.snapshot else 0

    def term_at(self, index: int) -> int | None:
        """Term of the entry at `index`, or None where it is unknown: compacted away, or beyond the end."""
        if self.first_index <= index <= self.last_index:
            return self._run_terms[bisect_right(self._run_starts, index) - 1]
        if self.snapshot is not None and index == self.snapshot.index:
            return self.snapshot.term
        if index == self.first_index - 1:
            return self._term_before
        return 0 if index == 0 else None

    def _snapshot_term_before(self) -> int | None:
        if self.snapshot is not None and self.snapshot.index == self.first_index - 1:
            return self.snapshot.term
        return 0 if self.first_index == 1 else None

    def first_index_of_term(self, index: int) -> int:
        """The first kept index of the run of equal terms that the entry at `index` belongs to."""
        return max(self.first_index, self._run_starts[bisect_right(self._run_starts, index) - 1])

    def last_index_of_term(self, term: int) -> int | None:
        """The last kept index whose entry is of `term`, or None where there is none."""
        position = bisect_right(self._run_terms, term)
        if position == 0 or self._run_terms[position - 1] != term:
            return None
        return self._run_starts[position] - 1 if position < len(self._run_starts) else self.last_index

    def is_up_to_date(self, last_log_index: int, last_log_term: int) -> bool:
        """Whether a log that ends thus is at least as up-to-date as this one (§5.4.1)."""
        return (last_log_term, last_log_index) >= (self.last_term, self.last_index)

    @property
    def term_runs(self) -> tuple[TermRun, ...]:
        """The terms of all kept entries, as storage has them."""
        return tuple(map(TermRun, self._run_terms, self._run_starts))

    # --- change ----------------------------------------------------------------------------------------------

    def append(self, batch: EntryBatch) -> None:
        """Add a batch at the end."""
        if batch.first_index != self.last_index + 1 or batch.term < self.last_term:
            raise InternalError(
                f"can't append entry {batch.first_index} of term {batch.term} to a log that ends with entry "
                f"{self.last_index} of term {self.last_term}"
            )
        if self.last_index < self.first_index or self._run_terms[-1] != batch.term:
            self._run_terms.append(batch.term)
            self._run_starts.append(batch.first_index)
        self.last_index = batch.last_index
        self._tail.append(batch)
        size = batch.size
        self._tail_bytes += size
        sizes = self._sizes
        sizes.total += size
        if sizes.total >= sizes.next_sample:
            sizes.sample(batch.last_index)
        if self._tail_bytes > self._cache_bytes:
            self._shrink_tail()

    def conflict_with(self, batch: EntryBatch) -> int | None:
        """The first index at which the kept entries differ from the batch, or None (§5.3: same index, other term)."""
        index = max(batch.first_index, self.first_index)
        while index <= min(batch.last_index, self.last_index):
            position = bisect_right(self._run_starts, index) - 1
            if self._run_terms[position] != batch.term:
                return index
            if position + 1 == len(self._run_starts):
                return None
            index = self._run_starts[position + 1]
        return None

    def contradiction(self, batch: EntryBatch) -> int | None:
        """The first index at which this log is known to hold something else than the batch: another term or, where
        memory has the entries, other bytes. None where nothing speaks against it.

        Unlike a conflict, one at an equal term, or at what a snapshot covers, can't be mended (Figure 3, Log Matching).
        """
        conflict = self.conflict_with(batch)
        if conflict is None and self.snapshot is not None and self.snapshot.term != batch.term:
            index = self.snapshot.index
            conflict = index if batch.first_index <= index <= batch.last_index else None
        return self._difference(batch) if conflict is None else conflict

    def _difference(self, batch: EntryBatch) -> int | None:
        """The first index at which the entries in memory are not the batch's."""
        index, last_index = batch.first_index, min(batch.last_index, self.last_index)
        if not self._tail or last_index < max(self._tail[0].first_index, self.first_index):
            return None
        index = max(index, self._tail[0].first_index, self.first_index)
        position = bisect_right(self._tail, index, key=_first_index) - 1
        while index <= last_index:
            known = self._tail[position]
            if known.data != batch.data:
                until = min(known.last_index, last_index) + 1
                ours, theirs = known.since(index).before(until), batch.since(index).before(until)
                if ours.data != theirs.data:
                    pairs = zip(ours.commands(), theirs.commands(), strict=True)
                    return next((index + at for at, (one, other) in enumerate(pairs) if one != other), index)
            index = known.last_index + 1
            position += 1
        return None

    def truncate(self, from_index: int) -> None:
        """Remove the entries from `from_index` on."""
        if not self.first_index <= from_index <= self.last_index or from_index <= self.snapshot_index:
            raise InternalError(
                f"can't truncate at {from_index}: the log holds {self.first_index} to {self.last_index}, "
                f"its snapshot ends at {self.snapshot_index}"
            )
        self.epoch += 1
        self._sizes.truncate(from_index)
        self.last_index = from_index - 1
        self.durable_index = min(self.durable_index, self.last_index)
        keep = bisect_right(self._run_starts, self.last_index)
        del self._run_terms[keep:], self._run_starts[keep:]
        self._cut_tail(from_index)

    def compact(self, snapshot: SnapshotMetadata, first_index: int) -> None:
        """Record a newer snapshot of this node's own state, and forget the entries below `first_index`."""
        if not self.snapshot_index < snapshot.index <= self.last_index or first_index > snapshot.index + 1:
            raise InternalError(
                f"{snapshot} can't replace a snapshot at {self.snapshot_index} in a log to {self.last_index}"
            )
        self.snapshot = snapshot
        if first_index <= self.first_index:
            return
        self._sizes.compact(first_index)
        self._term_before = self.term_at(first_index - 1)
        self.first_index = first_index
        keep = max(0, bisect_right(self._run_starts, first_index) - 1)
        del self._run_terms[:keep], self._run_starts[:keep]
        if first_index > self.last_index:
            self._run_terms.clear()
            self._run_starts.clear()
        else:
            self._run_starts[0] = first_index
        position = bisect_right(self._tail, first_index, key=_first_index) - 1
        self._drop_from_tail(max(position, 0) if first_index <= self.last_index else len(self._tail))

    def reset(self, snapshot: SnapshotMetadata) -> None:
        """Forget all entries: the log continues after a snapshot that came from the leader (Figure 13, rule 7)."""
        self.epoch += 1
        self.snapshot = snapshot
        self._sizes = LogSizes(snapshot.index + 1, 0)
        self.first_index = snapshot.index + 1
        self.last_index = snapshot.index
        self._term_before = snapshot.term
        self.durable_index = 0  # until the snapshot itself is
        self._run_terms.clear()
        self._run_starts.clear()
        self._tail.clear()
        self._tail_bytes = 0

    def mark_durable(self, last_index: int, epoch: int) -> None:
        """Note that a write is on disk which left the log ending at `last_index` in that epoch."""
        if epoch == self.epoch and last_index > self.durable_index:
            self.durable_index = last_index
            if self._tail_bytes > self._cache_bytes:
                self._shrink_tail()  # what was too much when it was appended, and had to stay till now

    def remembers(self, index: int) -> bool:
        """Whether memory holds all entries from `index` to the end (there may be none)."""
        return index > self.last_index or bool(self._tail and self._tail[0].first_index <= index)

    @property
    def cached_bytes(self) -> int:
        """Size of the entries that memory holds."""
        return self._tail_bytes

    def first_index_within(self, max_bytes: int) -> int:
        """The first entry of about the last `max_bytes` of the log, by `LogSizes`; beyond the last where that is 0."""
        return max(self.first_index, self._sizes.index_within(max_bytes)) if max_bytes else self.last_index + 1

    # --- recent entries --------------------------------------------------------------------------------------

    def recent(self, first_index: int, last_index: int, max_bytes: int) -> list[EntryBatch] | None:
        """Batches from exactly `first_index` on, up to `last_index` or about `max_bytes`, at least one; None where
        `first_index` is older than what memory holds (or the range is empty)."""
        tail = self._tail
        if not tail or first_index < tail[0].first_index or first_index > min(last_index, self.last_index):
            return None
        last = tail[-1]
        if first_index == last.first_index and last.last_index <= last_index:
            return [last]  # as mostly: what was appended last
        position = bisect_right(tail, first_index, key=_first_index) - 1
        batches = [tail[position].since(first_index)]
        size = batches[0].size
        for following in range(position + 1, len(tail)):
            batch = tail[following]
            size += batch.size
            if size > max_bytes or batch.first_index > last_index:
                break
            batches.append(batch)
        if batches[-1].last_index > last_index:
            batches[-1] = batches[-1].before(last_index + 1)
        return batches

    def _cut_tail(self, from_index: int) -> None:
        while self._tail and self._tail[-1].last_index >= from_index:
            batch = self._tail.pop()
            self._tail_bytes -= batch.size
            if batch.first_index < from_index:
                kept = batch.before(from_index)
                self._tail.append(kept)
                self._tail_bytes += kept.size

    def _shrink_tail(self) -> None:
        """Forget the oldest recent entries, but never one that is not yet on disk: nobody could read it there.

        A quarter is forgotten at a time, because deleting at the front of a list costs its length.
        """
        target = self._cache_bytes * 3 // 4
        count, size = 0, self._tail_bytes
        for batch in self._tail:
            if size <= target or batch.last_index > self.durable_index:
                break
            size -= batch.size
            count += 1
        self._drop_from_tail(count)

    def _drop_from_tail(self, count: int) -> None:
        self._tail_bytes -= sum(batch.size for batch in self._tail[:count])
        del self._tail[:count]
