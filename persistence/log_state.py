"""What a log's bounds, terms and snapshot become with each write: arithmetic without a disk.

Both storages plan a write here before they touch anything, so a write that would leave a hole in the log, or reach
below a snapshot, is refused as our bug (`InternalError`) while the store is still whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import TypeVar

import attrs

from raft_actors.errors import InternalError
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.persistent_state import (
    CommitSnapshot,
    HardState,
    LogWrite,
    SnapshotMetadata,
    StoredConfiguration,
    TermRun,
    Write,
)
from raft_actors.records import define, record

_first_index = attrgetter("first_index")


@record
class LogState:
    """The durable state of a node without the entries themselves.

    Attributes:
        hard_state: term and vote.
        snapshot: the latest complete snapshot, or None.
        first_index: the first entry kept.
        last_index: the last entry; `first_index - 1` where the log is empty.
        term_runs: the terms of `first_index … last_index`; the first run starts at `first_index`.
        commit_index: entries up to here are known to be committed.
        configurations: see `Recovered.configurations`.
    """

    hard_state: HardState = attrs.field(factory=HardState)
    snapshot: SnapshotMetadata | None = None
    first_index: int = 1
    last_index: int = 0
    term_runs: tuple[TermRun, ...] = ()
    commit_index: int = 0
    configurations: tuple[StoredConfiguration, ...] = ()

    @property
    def last_term(self) -> int:
        """The last entry's term; the snapshot's where the log is empty; 0 before the first entry."""
        if self.term_runs:
            return self.term_runs[-1].term
        return self.snapshot.term if self.snapshot else 0

    @property
    def snapshot_index(self) -> int:
        """The last index that the snapshot covers, 0 where there is none."""
        return self.snapshot.index if self.snapshot else 0

    def term_at(self, index: int) -> int:
        """The term of an entry in `first_index … last_index`."""
        return self.term_runs[bisect_right(self.term_runs, index, key=_first_index) - 1].term

    def after_log_write(self, write: LogWrite) -> LogState:
        """The state once `write` is durable.

        Raises:
            InternalError: it would cut into what the snapshot covers or what is committed, leave a gap, let the term
                fall, or commit what is not there.
        """
        state = self
        if write.hard_state is not None:
            state = attrs.evolve(state, hard_state=write.hard_state)
        if write.truncate_from is not None:
            state = state._truncated(write.truncate_from)
        if write.entries or write.commit_index > state.commit_index:
            state = state._appended(write.entries, max(state.commit_index, write.commit_index))
        return state

    def after_commit_snapshot(self, write: CommitSnapshot, metadata: SnapshotMetadata) -> LogState:
        """The state once the snapshot that `metadata` describes has become the current one.

        Raises:
            InternalError: the snapshot is older than the current one, or `first_index` lies beyond what it covers.
        """
        if metadata.index < self.snapshot_index:
            raise InternalError(
                f"snapshot {write.snapshot_id} ends at index {metadata.index}, "
                f"and the current one already covers {self.snapshot_index}"
            )
        if write.first_index > metadata.index + 1:
            raise InternalError(
                f"entries up to {write.first_index - 1} would be forgotten, "
                f"but snapshot {write.snapshot_id} ends at index {metadata.index}"
            )
        base = () if write.configuration is None else (write.configuration,)
        # A log that ends inside the snapshot has nothing left that could follow it: it goes as a whole.
        if write.discard_log or self.last_index < metadata.index:
            return LogState(
                self.hard_state,
                metadata,
                metadata.index + 1,
                metadata.index,
                commit_index=metadata.index,
                configurations=base,
            )
        first_index = max(self.first_index, write.first_index)
        return attrs.evolve(
            self,
            snapshot=metadata,
            first_index=first_index,
            term_runs=self._runs_from(first_index),
            commit_index=max(self.commit_index, metadata.index),
            configurations=base + tuple(held for held in self.configurations if held.index > metadata.index),
        )

    def _truncated(self, index: int) -> LogState:
        if index <= max(self.snapshot_index, self.first_index - 1, self.commit_index):
            raise InternalError(
                f"truncating from index {index} would cut into what was committed: the log starts at "
                f"{self.first_index}, the snapshot covers {self.snapshot_index}, and entries up to "
                f"{self.commit_index} are committed"
            )
        if index > self.last_index:
            return self
        runs = tuple(run for run in self.term_runs if run.first_index < index)
        kept = tuple(held for held in self.configurations if held.index < index)
        return attrs.evolve(self, last_index=index - 1, term_runs=runs, configurations=kept)

    def _appended(self, batches: Sequence[EntryBatch], commit_index: int) -> LogState:
        last_index, last_term, runs = self.last_index, self.last_term, self.term_runs
        configurations = self.configurations
        for batch in batches:
            if batch.first_index != last_index + 1 or batch.last_index < batch.first_index:
                raise InternalError(
                    f"entries {batch.first_index}-{batch.last_index} do not follow the log's last index {last_index}"
                )
            if batch.term != last_term or not runs:
                if batch.term < last_term:
                    raise InternalError(
                        f"entry {batch.first_index} of term {batch.term} can't follow one of term {last_term}"
                    )
                runs += (TermRun(batch.term, batch.first_index),)
            if batch.kind is EntryKind.CONFIGURATION:
                configurations += tuple(StoredConfiguration(entry.index, entry.command) for entry in batch.entries())
            last_index, last_term = batch.last_index, batch.term
        if commit_index > last_index:
            raise InternalError(f"entry {commit_index} can't be committed in a log that ends with entry {last_index}")
        return LogState(
            self.hard_state, self.snapshot, self.first_index, last_index, runs, commit_index, configurations
        )

    def _runs_from(self, first_index: int) -> tuple[TermRun, ...]:
        if first_index > self.last_index:
            return ()
        later = tuple(run for run in self.term_runs if run.first_index > first_index)
        return (TermRun(self.term_at(first_index), first_index), *later)


@record
class Step:
    """One write of a transaction, with the state of the log once it is done."""

    write: Write
    after: LogState
    chunks: int = 0
    size: int = 0


@define
class BegunSnapshot:
    """A snapshot that is being written: which one, how many chunks, and their size in bytes."""

    metadata: SnapshotMetadata
    chunks: int = 0
    size: int = 0

    def add_chunk(self, sequence: int, data: bytes) -> None:
        """Note that the next chunk is written.

        Raises:
            InternalError: it is not the next one.
        """
        if sequence != self.chunks:
            raise InternalError(f"chunk {sequence} of a snapshot came when {self.chunks} was due")
        self.chunks += 1
        self.size += len(data)


B = TypeVar("B", bound=BegunSnapshot)


def find_begun(begun: Mapping[int, B], snapshot_id: int) -> B:
    """The snapshot of this id among those that were begun.

    Raises:
        InternalError: it was never begun, or is already committed or discarded.
    """
    if snapshot_id not in begun:
        raise InternalError(f"snapshot {snapshot_id} is not being written: never begun, committed or discarded")
    return begun[snapshot_id]
