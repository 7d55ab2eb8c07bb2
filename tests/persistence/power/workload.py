"""The work that the power is cut in: every kind of call that a node makes, by a seed."""

from __future__ import annotations

import random

import attrs

from raft_actors.persistence import HardState, LogWrite
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.persistence.model import KINDS, Contents, Model, Snapshot, small_configuration

# Small, so that a copy of the store for each of thousands of crashes is cheap.
_LONGEST_LOG = 250


@attrs.frozen
class Write:
    """Change term, vote and log."""

    writes: tuple[LogWrite, ...]


@attrs.frozen
class Begin:
    """Begin a snapshot; the calls that follow name it by `key`."""

    key: int
    metadata: SnapshotMetadata


@attrs.frozen
class Chunk:
    """Write a piece of a snapshot."""

    key: int
    sequence: int
    data: bytes


@attrs.frozen
class Commit:
    """Commit a snapshot, maybe with changes of term, vote and log in the same transaction, after it."""

    key: int
    first_index: int
    discard_log: bool
    writes: tuple[LogWrite, ...]


@attrs.frozen
class Discard:
    """Give up a snapshot."""

    key: int


@attrs.frozen
class Read:
    """Read entries, and the snapshot."""

    first_index: int
    last_index: int
    max_bytes: int


@attrs.frozen
class Idle:
    """Ask for nothing for a while."""


@attrs.frozen
class Reopen:
    """End the process, and open the store again.

    Attributes:
        how: “close”, “kill”, or “power”: a power cut, too.
        seed: says what survives a power cut.
    """

    how: str
    seed: int = 0


Call = Write | Begin | Chunk | Commit | Discard | Read | Idle | Reopen


@attrs.frozen
class Workload:
    """Calls, and what the store holds after none, one, two … of them."""

    calls: tuple[Call, ...]
    states: tuple[Contents, ...]


def make_workload(seed: int, count: int) -> Workload:
    """`count` calls; the same each time for one seed."""
    generator = _Generator(random.Random(seed))
    calls: list[Call] = []
    states = [generator.model.contents()]
    for _ in range(count):
        calls.append(generator.call())
        changes = isinstance(calls[-1], Write | Commit)
        states.append(generator.model.contents() if changes else states[-1])
    return Workload(tuple(calls), tuple(states))


@attrs.define
class _Generator:
    rng: random.Random
    model: Model = attrs.field(factory=Model)
    under_way: dict[int, list[bytes]] = attrs.field(factory=dict[int, list[bytes]])
    metadata: dict[int, SnapshotMetadata] = attrs.field(factory=dict[int, SnapshotMetadata])
    keys: int = 0

    def call(self) -> Call:
        rng, length = self.rng, self.model.last_index - self.model.first_index
        choice = rng.random()
        if choice < 0.22 or (length > _LONGEST_LOG and choice < 0.6):
            return self._snapshot()
        if choice < 0.30:
            return self._read()
        if choice < 0.34:
            return Idle()
        if choice < 0.375:
            self.under_way.clear()
            return Reopen(rng.choice(["close", "kill", "power"]), rng.getrandbits(32))
        if choice < 0.42:
            return self._write(LogWrite(self._next_vote()))
        if choice < 0.44:
            return self._write(LogWrite(commit_index=rng.randint(self.model.commit_index, self.model.last_index)))
        return self._write(*self._log_writes())

    def _write(self, *writes: LogWrite) -> Write:
        self.model.apply(writes)
        return Write(writes)

    def _next_vote(self) -> HardState:
        term = max(self.model.hard_state.term, self.model.last_term)
        return HardState(term + self.rng.choice([0, 1, 1]), self.rng.choice(["n1", "n2", None]))

    def _log_writes(self) -> list[LogWrite]:
        rng, model = self.rng, self.model
        last_index, last_term, commit_index = model.last_index, model.last_term, model.commit_index
        writes: list[LogWrite] = []
        for _ in range(rng.choice([1, 1, 1, 1, 3])):
            truncate_from, hard_state = None, None
            if rng.random() < 0.15:
                lowest = max(commit_index + 1, model.first_index, last_index - 20)
                truncate_from = rng.randint(lowest, max(lowest, last_index + 1))
                hard_state = HardState(max(model.hard_state.term, last_term) + 1)
                last_index = min(last_index, truncate_from - 1)
                last_term = hard_state.term
            batches: list[EntryBatch] = []
            for _ in range(rng.choice([1, 1, 1, 1, 2, 9, 180 if rng.random() < 0.05 else 3])):
                last_term = max(1, last_term + (rng.random() < 0.03))
                batches.append(self._batch(last_index + 1, last_term))
                last_index = batches[-1].last_index
            told = rng.choice([0, rng.randint(commit_index, last_index), last_index])
            commit_index = max(commit_index, told)
            writes.append(LogWrite(hard_state, truncate_from, tuple(batches), told))
        return writes

    def _batch(self, first_index: int, term: int) -> EntryBatch:
        rng = self.rng
        count = rng.choice([1, 1, 1, 3])
        commands = [rng.randbytes(rng.choice([0, 1, 20, 100, 100, 3000])) for _ in range(count)]
        return small_configuration(EntryBatch.encode(first_index, term, rng.choice(KINDS), commands))

    def _read(self) -> Call:
        model, rng = self.model, self.rng
        if model.last_index < model.first_index:
            return Idle()
        first = rng.randint(model.first_index, model.last_index)
        return Read(first, rng.randint(first, model.last_index), rng.choice([0, 500, 100_000]))

    def _snapshot(self) -> Call:
        rng = self.rng
        if not self.under_way or (len(self.under_way) < 2 and rng.random() < 0.1):
            return self._begin()
        key = rng.choice(list(self.under_way))
        chunks, metadata = self.under_way[key], self.metadata[key]
        if metadata.index < self.model.snapshot_index or rng.random() < 0.05:
            del self.under_way[key]
            return Discard(key)
        if rng.random() < 0.6:
            chunks.append(rng.randbytes(rng.choice([0, 10, 900, 9000])))
            return Chunk(key, len(chunks) - 1, chunks[-1])
        return self._commit(key, metadata, tuple(chunks))

    def _begin(self) -> Begin:
        model, rng = self.model, self.rng
        lowest = max(model.snapshot_index, 1)
        if rng.random() < 0.2 or model.last_index <= lowest:  # from a leader, beyond our log
            metadata = SnapshotMetadata(max(lowest, model.last_index) + rng.randint(0, 5), model.last_term + 1)
        else:
            index = rng.randint(max(lowest, model.first_index), model.last_index)
            metadata = SnapshotMetadata(index, model.log[index].term)
        self.keys += 1
        self.under_way[self.keys], self.metadata[self.keys] = [], metadata
        return Begin(self.keys, metadata)

    def _commit(self, key: int, metadata: SnapshotMetadata, chunks: tuple[bytes, ...]) -> Commit:
        rng = self.rng
        del self.under_way[key]
        discard = metadata.index >= self.model.last_index and rng.random() < 0.5
        first_index = metadata.index + 1 - rng.choice([0, 0, 0, min(20, metadata.index)])
        self.model.apply(Snapshot(metadata, chunks, first_index, discard))
        writes = tuple(self._log_writes()) if rng.random() < 0.2 else ()
        if writes:
            self.model.apply(writes)
        return Commit(key, first_index, discard, writes)
