"""A disk for roles that are driven without an event loop: nothing in it ever waits."""

from __future__ import annotations

import zlib
from collections.abc import Coroutine, Sequence
from itertools import groupby
from typing import Any, NoReturn, TypeVar

import outcome

from raft_actors.persistence.abc import SnapshotReader, Storage, StorageStatistics, StoreIdentity
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.persistent_state import (
    CommitSnapshot,
    HardState,
    LogWrite,
    Recovered,
    SnapshotMetadata,
    StoredConfiguration,
    TermRun,
    Write,
)

T = TypeVar("T")

CHUNKS = 3


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """Run an async function that has nothing to wait for, though it may let others have their turns."""
    answer = None
    while True:
        try:
            asked = work.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        # Who waits tells Trio how to abort that; who only lets others have their turns goes on.
        if hasattr(asked, "abort_func"):
            raise AssertionError("it waits for something")
        answer = outcome.Value(None)


def fold(digest: int, command: bytes) -> int:
    """The state machine: a digest of all commands so far."""
    return zlib.crc32(command, digest)


class Reader(SnapshotReader):
    """Reads a snapshot, which is a digest cut into chunks."""

    def __init__(self, metadata: SnapshotMetadata, chunks: Sequence[bytes]) -> None:
        self.metadata = metadata
        self.chunk_count = len(chunks)
        self._chunks = chunks

    async def read_chunk(self, sequence: int) -> bytes:
        return self._chunks[sequence]

    def close(self) -> None:
        pass


class Disk(Storage):
    """What is durable on one node: as naive as can be, an entry at a time."""

    def __init__(self) -> None:
        self.hard_state = HardState()
        self.snapshot: SnapshotMetadata | None = None
        self.snapshot_chunks: list[bytes] = []
        self.entries: dict[int, tuple[int, EntryKind, bytes]] = {}
        self.first_index = 1
        self.last_index = 0
        self.commit_index = 0
        self.snapshot_configuration: StoredConfiguration | None = None
        self._begun: dict[int, tuple[SnapshotMetadata, list[bytes]]] = {}
        self._snapshot_ids = 0

    # --- what the persistence actor does ----------------------------------------------------------------------

    def carry_out(self, write: Write | None) -> None:
        """Make a write durable."""
        if isinstance(write, LogWrite):
            self._change_log(write)
        elif isinstance(write, CommitSnapshot):
            self._commit_snapshot(write)

    def _change_log(self, write: LogWrite) -> None:
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.truncate_from is not None:
            assert write.truncate_from > self.commit_index, "what is committed is removed"
            self._keep(self.first_index, write.truncate_from - 1)
        for batch in write.entries:
            for entry in batch.entries():
                assert entry.index == self.last_index + 1, "a hole in the log on disk"
                self.entries[entry.index] = (entry.term, entry.kind, entry.command)
                self.last_index = entry.index
        self.commit_index = max(self.commit_index, write.commit_index)
        assert self.commit_index <= self.last_index, "what is committed is not on disk"

    def _commit_snapshot(self, write: CommitSnapshot) -> None:
        self.snapshot, self.snapshot_chunks = self._begun.pop(write.snapshot_id)
        self.snapshot_configuration = write.configuration
        index = self.snapshot.index
        self.commit_index = max(self.commit_index, index)
        if write.discard_log or self.last_index < index:
            self._keep(index + 1, index)
        else:
            self._keep(max(self.first_index, write.first_index), self.last_index)

    def _keep(self, first_index: int, last_index: int) -> None:
        self.entries = {index: self.entries[index] for index in self.entries if first_index <= index <= last_index}
        self.first_index, self.last_index = first_index, last_index

    # --- recovery ---------------------------------------------------------------------------------------------

    def recover(self) -> Recovered:
        """What a node finds when it starts; snapshots that were not committed are gone."""
        self._begun.clear()
        runs: list[TermRun] = []
        for index in range(self.first_index, self.last_index + 1):
            term = self.entries[index][0]
            if not runs or runs[-1].term != term:
                runs.append(TermRun(term, index))
        tail = self._batches(self.first_index, self.last_index)[-2:]
        first_index, last_index = self.first_index, self.last_index
        return Recovered(
            self.hard_state,
            self.snapshot,
            first_index,
            last_index,
            tuple(runs),
            tail,
            self.commit_index,
            configurations=self._configurations(),
        )

    def _configurations(self) -> tuple[StoredConfiguration, ...]:
        """The one that the snapshot ends with, and those of entries behind it."""
        snapshot_index = self.snapshot.index if self.snapshot else 0
        found = [self.snapshot_configuration] if self.snapshot_configuration is not None else []
        found += [
            StoredConfiguration(index, command)
            for index, (_, kind, command) in sorted(self.entries.items())
            if kind is EntryKind.CONFIGURATION and index > snapshot_index
        ]
        return tuple(found)

    def covers(self, index: int, term: int) -> bool:
        """Whether the entry of that term is here, or in the snapshot."""
        if self.snapshot is not None and index <= self.snapshot.index:
            return True
        return index in self.entries and self.entries[index][0] == term

    def _batches(self, first_index: int, last_index: int) -> tuple[EntryBatch, ...]:
        found = []
        indexes = range(first_index, last_index + 1)
        for (term, kind), run in groupby(indexes, key=lambda index: self.entries[index][:2]):
            run_indexes = list(run)
            commands = [self.entries[index][2] for index in run_indexes]
            found.append(EntryBatch.encode(run_indexes[0], term, kind, commands))
        return tuple(found)

    # --- what replicators and installers use ------------------------------------------------------------------

    async def read_entries(self, first_index: int, last_index: int, max_bytes: int) -> tuple[EntryBatch, ...]:
        if first_index not in self.entries:
            raise KeyError(first_index)
        return self._batches(first_index, min(last_index, first_index + 3))

    async def begin_snapshot(self, metadata: SnapshotMetadata) -> int:
        self._snapshot_ids += 1
        self._begun[self._snapshot_ids] = (metadata, [])
        return self._snapshot_ids

    async def write_snapshot_chunk(self, snapshot_id: int, sequence: int, data: bytes) -> None:
        chunks = self._begun[snapshot_id][1]
        assert sequence == len(chunks), "a hole in a snapshot"
        chunks.append(data)

    async def discard_snapshot(self, snapshot_id: int) -> None:
        self._begun.pop(snapshot_id, None)

    async def open_snapshot(self) -> SnapshotReader | None:
        return Reader(self.snapshot, self.snapshot_chunks) if self.snapshot else None

    def begin_own_snapshot(self, metadata: SnapshotMetadata, digest: int) -> int:
        """Write a snapshot of the state machine in one go."""
        data = digest.to_bytes(4, "big")
        self._snapshot_ids += 1
        self._begun[self._snapshot_ids] = (metadata, [data[:1], data[1:2], data[2:]])
        return self._snapshot_ids

    def digest(self) -> int:
        """The state that the snapshot holds."""
        return int.from_bytes(b"".join(self.snapshot_chunks), "big")

    # --- not needed here --------------------------------------------------------------------------------------

    async def open(self, identity: StoreIdentity, *, tail_bytes: int) -> NoReturn:
        raise NotImplementedError

    async def write(self, writes: Sequence[Write]) -> NoReturn:
        raise NotImplementedError

    def statistics(self) -> StorageStatistics:
        raise NotImplementedError

    async def aclose(self) -> NoReturn:
        raise NotImplementedError
