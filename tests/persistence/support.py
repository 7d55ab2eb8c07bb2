"""Shared by the storage tests: short ways to write batches, and a storage of either kind that can be reopened."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from raft_actors.persistence import (
    CommitSnapshot,
    HardState,
    LogWrite,
    MemoryDisk,
    MemoryStorage,
    Recovered,
    SqliteStorage,
    Storage,
    StoreIdentity,
    TermRun,
    Write,
)
from raft_actors.raft.entries import Entry, EntryBatch, EntryKind
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.persistence.model import Contents

IDENTITY = StoreIdentity("orders", "n1")
#: Stores of older schema versions; `unpack_old_store` takes one out.
OLD_STORES = Path(__file__).with_name("old_stores")
EVERYTHING = 1 << 40


def batch(first_index: int, term: int, *commands: bytes, kind: EntryKind = EntryKind.COMMAND) -> EntryBatch:
    return EntryBatch.encode(first_index, term, kind, commands)


def singles(first_index: int, term: int, count: int, size: int = 10) -> tuple[EntryBatch, ...]:
    """`count` batches of one command each, recognizable by their index."""
    return tuple(batch(index, term, index.to_bytes(size, "big")) for index in range(first_index, first_index + count))


def append(*batches: EntryBatch) -> LogWrite:
    return LogWrite(entries=batches)


def taken_apart(batches: Iterable[EntryBatch]) -> list[Entry]:
    return [entry for one in batches for entry in one.entries()]


async def everything(storage: Storage, recovered: Recovered) -> list[Entry]:
    """All entries that a store holds, read in pieces."""
    found: list[Entry] = []
    index = recovered.first_index
    while index <= recovered.last_index:
        piece = await storage.read_entries(index, recovered.last_index, 20_000)
        found += taken_apart(piece)
        index = piece[-1].last_index + 1
    return found


async def written(storage: Storage, writes: Sequence[Write]) -> None:
    """What a task of its own can run: ask for the writes and wait for them."""
    await storage.write(writes)


async def take_snapshot(
    storage: Storage,
    index: int,
    term: int,
    chunks: Sequence[bytes],
    *,
    first_index: int | None = None,
    discard_log: bool = False,
) -> int:
    """Begin, write and commit a snapshot; by default it forgets all that it covers."""
    snapshot_id = await storage.begin_snapshot(SnapshotMetadata(index, term))
    for sequence, chunk in enumerate(chunks):
        await storage.write_snapshot_chunk(snapshot_id, sequence, chunk)
    first = index + 1 if first_index is None else first_index
    await storage.write([CommitSnapshot(snapshot_id, first, discard_log)])
    return snapshot_id


async def snapshot_contents(storage: Storage) -> tuple[SnapshotMetadata, list[bytes]] | None:
    reader = await storage.open_snapshot()
    if reader is None:
        return None
    try:
        return reader.metadata, [await reader.read_chunk(number) for number in range(reader.chunk_count)]
    finally:
        reader.close()


async def filled(storage: Storage, *batches: EntryBatch, term: int = 1) -> Recovered:
    """Open an empty store and fill it."""
    recovered = await storage.open(IDENTITY, tail_bytes=EVERYTHING)
    await storage.write([LogWrite(HardState(term, "n1"), entries=batches)])
    return recovered


@attrs.define(eq=False)
class Place:
    """Where a store is kept, in a file or in memory; `storage()` makes another storage for it."""

    path: Path | None
    disk: MemoryDisk = attrs.field(factory=MemoryDisk)

    def storage(self) -> Storage:
        return MemoryStorage(self.disk) if self.path is None else SqliteStorage(self.path)

    @asynccontextmanager
    async def reopened(
        self, storage: Storage, *, tail_bytes: int = EVERYTHING
    ) -> AsyncGenerator[tuple[Storage, Recovered]]:
        """Close a storage and open another one in its place; yields that, and what it recovered."""
        await storage.aclose()
        again = self.storage()
        try:
            yield again, await again.open(IDENTITY, tail_bytes=tail_bytes)
        finally:
            await again.aclose()

    async def recover(self, storage: Storage, *, tail_bytes: int = EVERYTHING) -> Recovered:
        """What a storage that is opened in the place of this one recovers."""
        async with self.reopened(storage, tail_bytes=tail_bytes) as (_, recovered):
            return recovered


def unpack_old_store(version: int, path: Path) -> None:
    """Put the files of a store of that schema version into the folder of `path`, which is called `n1.db`."""
    with zipfile.ZipFile(OLD_STORES / f"version-{version}.zip") as old:
        old.extractall(path.parent)


async def contents(storage: Storage, *, tail_bytes: int = 2000) -> Contents:
    """Open a store and read all of it, checking that what it says of itself is what it holds."""
    recovered = await storage.open(IDENTITY, tail_bytes=tail_bytes)
    entries = await everything(storage, recovered)
    assert [entry.index for entry in entries] == list(range(recovered.first_index, recovered.last_index + 1))
    tail = taken_apart(recovered.tail)
    assert tail == entries[len(entries) - len(tail) :]
    assert bool(tail) == bool(entries)
    runs: list[TermRun] = []
    for entry in entries:
        if not runs or runs[-1].term != entry.term:
            runs.append(TermRun(entry.term, entry.index))
    assert recovered.term_runs == tuple(runs)
    snapshot = await snapshot_contents(storage)
    assert recovered.snapshot == (snapshot[0] if snapshot else None)
    return Contents(
        recovered.hard_state,
        recovered.snapshot,
        tuple(snapshot[1]) if snapshot else (),
        recovered.first_index,
        recovered.last_index,
        tuple(entries),
        recovered.commit_index,
        recovered.configurations,
    )


async def contents_of(path: Path) -> Contents:
    """The same for a file, which is closed again."""
    storage = SqliteStorage(path)
    try:
        return await contents(storage)
    finally:
        await storage.aclose()
