"""Open stores with something in them."""

from __future__ import annotations

from collections.abc import Sequence

from raft_actors.persistence import MemoryStorage
from raft_actors.persistence.abc import Storage, StoreIdentity
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.log import Log
from raft_actors.raft.persistent_state import CommitSnapshot, LogWrite, SnapshotMetadata
from tests.unit.builders import batches, recovered

IDENTITY = StoreIdentity("test", "n1")


async def open_store(*written: EntryBatch) -> MemoryStorage:
    """A store that holds these entries."""
    storage = MemoryStorage()
    await storage.open(IDENTITY, tail_bytes=0)
    if written:
        await storage.write([LogWrite(entries=written)])
    return storage


async def store_snapshot(storage: Storage, snapshot: SnapshotMetadata, *chunks: bytes, first_index: int = 1) -> int:
    """Write a snapshot and make it the current one."""
    snapshot_id = await storage.begin_snapshot(snapshot)
    for sequence, chunk in enumerate(chunks):
        await storage.write_snapshot_chunk(snapshot_id, sequence, chunk)
    await storage.write([CommitSnapshot(snapshot_id, first_index)])
    return snapshot_id


async def forgetful(terms: Sequence[int]) -> tuple[Log, MemoryStorage]:
    """A log of which nothing is in memory but the terms, and a store that has its entries."""
    storage = await open_store(*batches(1, terms))
    known = recovered(terms)
    log = Log(type(known)(known.hard_state, None, 1, known.last_index, known.term_runs, ()), cache_bytes=1)
    return log, storage
