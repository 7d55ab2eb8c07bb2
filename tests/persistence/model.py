"""A plain model of a store, and random work for it that any storage can be given."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import attrs

from raft_actors.persistence import CommitSnapshot, HardState, LogWrite, Storage
from raft_actors.raft.entries import Entry, EntryBatch, EntryKind
from raft_actors.raft.persistent_state import SnapshotMetadata, StoredConfiguration

#: As often as each occurs: changes of members are rare.
KINDS = (*[EntryKind.NOOP, EntryKind.COMMAND] * 4, EntryKind.CONFIGURATION)


@attrs.frozen
class Contents:
    """All that a store says it holds.

    Attributes:
        commit_index: in a model, what the store was told; found in a store, it may be older (see `is_of`).
    """

    hard_state: HardState
    snapshot: SnapshotMetadata | None
    chunks: tuple[bytes, ...]
    first_index: int
    last_index: int
    entries: tuple[Entry, ...]
    commit_index: int = attrs.field(default=0, eq=False)
    configurations: tuple[StoredConfiguration, ...] = ()

    def is_of(self, expected: Contents) -> bool:
        """Whether a store that should hold `expected` may hold this."""
        lowest = self.snapshot.index if self.snapshot else 0
        return self == expected and lowest <= self.commit_index <= expected.commit_index


@attrs.frozen
class Snapshot:
    """Take a snapshot up to `metadata`, in `chunks`."""

    metadata: SnapshotMetadata
    chunks: tuple[bytes, ...]
    first_index: int
    discard_log: bool
    configuration: StoredConfiguration | None = None


Operation = tuple[LogWrite, ...] | Snapshot


@attrs.define
class Model:
    """What a store must hold, as a dict."""

    hard_state: HardState = attrs.field(factory=HardState)
    snapshot: SnapshotMetadata | None = None
    chunks: tuple[bytes, ...] = ()
    first_index: int = 1
    last_index: int = 0
    commit_index: int = 0
    log: dict[int, Entry] = attrs.field(factory=dict[int, Entry])
    configurations: tuple[StoredConfiguration, ...] = ()

    def configuration_at(self, index: int) -> StoredConfiguration | None:
        return next((held for held in reversed(self.configurations) if held.index <= index), None)

    @property
    def last_term(self) -> int:
        if self.last_index >= self.first_index:
            return self.log[self.last_index].term
        return self.snapshot.term if self.snapshot else 0

    @property
    def snapshot_index(self) -> int:
        return self.snapshot.index if self.snapshot else 0

    def apply(self, operation: Operation) -> None:
        if isinstance(operation, Snapshot):
            self._take_snapshot(operation)
            return
        for write in operation:
            self.hard_state = write.hard_state or self.hard_state
            if write.truncate_from is not None:
                self.last_index = min(self.last_index, write.truncate_from - 1)
                self.log = {index: entry for index, entry in self.log.items() if index <= self.last_index}
                self.configurations = tuple(held for held in self.configurations if held.index <= self.last_index)
            for one in write.entries:
                self.log |= {entry.index: entry for entry in one.entries()}
                self.last_index = one.last_index
                if one.kind is EntryKind.CONFIGURATION:
                    self.configurations += tuple(StoredConfiguration(e.index, e.command) for e in one.entries())
            self.commit_index = max(self.commit_index, write.commit_index)

    def _take_snapshot(self, taken: Snapshot) -> None:
        index = taken.metadata.index
        self.snapshot, self.chunks = taken.metadata, taken.chunks
        self.commit_index = max(self.commit_index, index)
        if taken.discard_log or self.last_index < index:
            self.log, self.first_index, self.last_index = {}, index + 1, index
            self.configurations = ()
        else:
            self.first_index = max(self.first_index, taken.first_index)
            self.log = {number: entry for number, entry in self.log.items() if number >= self.first_index}
        later = tuple(held for held in self.configurations if held.index > index)
        self.configurations = (() if taken.configuration is None else (taken.configuration,)) + later

    def contents(self) -> Contents:
        entries = tuple(self.log[index] for index in sorted(self.log))
        first_index, last_index = self.first_index, self.last_index
        return Contents(
            self.hard_state,
            self.snapshot,
            self.chunks,
            first_index,
            last_index,
            entries,
            self.commit_index,
            self.configurations,
        )


def random_operation(model: Model, rng: random.Random) -> Operation:
    """Something that makes sense for a store like `model`. Terms grow now and then, so content tells writes apart."""
    choice = rng.random()
    if choice < 0.12:
        return _random_snapshot(model, rng)
    if choice < 0.2:
        return (LogWrite(HardState(model.hard_state.term + 1, rng.choice(["n1", "n2", None]))),)
    last_index, last_term, commit_index = model.last_index, model.last_term, model.commit_index
    writes: list[LogWrite] = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        truncate_from, hard_state = None, None
        if rng.random() < 0.15:
            truncate_from = rng.randint(max(commit_index + 1, last_index - 20), last_index + 2)
            hard_state = HardState(max(model.hard_state.term, last_term) + 1)
            if truncate_from <= last_index:
                last_index = truncate_from - 1
                last_term += 1
        batches = []
        for _ in range(rng.choice([0, 1, 1, 2, 5, 40]) if truncate_from else rng.choice([1, 1, 2, 5, 40, 200])):
            last_term = max(1, last_term + (rng.random() < 0.03))
            batches.append(_random_batch(last_index + 1, last_term, rng))
            last_index = batches[-1].last_index
        told = max(0, last_index - 60) if len(batches) % 2 else 0  # far enough behind to leave room for truncations
        commit_index = max(commit_index, told)
        writes.append(LogWrite(hard_state, truncate_from, tuple(batches), told))
    return tuple(writes)


def _random_batch(first_index: int, term: int, rng: random.Random) -> EntryBatch:
    count = rng.choice([1, 1, 1, 3, 30])
    commands = [rng.randbytes(rng.choice([0, 1, 20, 100, 5000 if count < 30 else 10])) for _ in range(count)]
    return small_configuration(EntryBatch.encode(first_index, term, rng.choice(KINDS), commands))


def small_configuration(batch: EntryBatch) -> EntryBatch:
    """The batch, or where it is of configurations one of a single small one, as all that a leader writes are."""
    if batch.kind is not EntryKind.CONFIGURATION:
        return batch
    return EntryBatch.encode(batch.first_index, batch.term, batch.kind, [batch.commands()[0][:100]])


def _random_snapshot(model: Model, rng: random.Random) -> Snapshot:
    chunks = tuple(rng.randbytes(rng.choice([0, 10, 9000])) for _ in range(rng.randint(0, 7)))
    lowest = max(model.snapshot_index, 1)
    if rng.random() < 0.3 or model.last_index <= lowest:
        index = max(lowest, model.last_index) + rng.randint(0, 5)
        discard = rng.random() < 0.5
        configuration = StoredConfiguration(index, b"a leader's") if discard else None
        return Snapshot(SnapshotMetadata(index, model.last_term + 1), chunks, index + 1, discard, configuration)
    index = rng.randint(max(lowest, model.first_index), model.last_index)
    first_index = rng.randint(max(1, index - 30), index + 1)
    metadata = SnapshotMetadata(index, model.log[index].term)
    return Snapshot(metadata, chunks, first_index, False, model.configuration_at(index))


def random_work(seed: int, count: int) -> Iterator[Operation]:
    """The same operations each time it is called with the same seed."""
    rng, model = random.Random(seed), Model()
    for _ in range(count):
        operation = random_operation(model, rng)
        model.apply(operation)
        yield operation


def states(work: Sequence[Operation]) -> list[Contents]:
    """What a store holds after none, one, two … of the operations."""
    model = Model()
    found = [model.contents()]
    for operation in work:
        model.apply(operation)
        found.append(model.contents())
    return found


async def carry_out(storage: Storage, operation: Operation) -> None:
    if not isinstance(operation, Snapshot):
        await storage.write(operation)
        return
    snapshot_id = await storage.begin_snapshot(operation.metadata)
    for sequence, chunk in enumerate(operation.chunks):
        await storage.write_snapshot_chunk(snapshot_id, sequence, chunk)
    commit = CommitSnapshot(snapshot_id, operation.first_index, operation.discard_log, operation.configuration)
    await storage.write([commit])
