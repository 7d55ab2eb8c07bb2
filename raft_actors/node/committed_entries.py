"""Committed entries, from memory or from storage."""

from __future__ import annotations

from raft_actors.config import MIB
from raft_actors.errors import InternalError
from raft_actors.persistence.abc import Storage
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.log import Log

#: Entries fetched at a time.
FETCH_BYTES = 1 * MIB


async def committed_entries(log: Log, storage: Storage, first_index: int, commit_index: int) -> list[EntryBatch]:
    """Some from `first_index` on; none where a leader's snapshot has replaced them."""
    if first_index < log.first_index:
        # The storage may still hold the log from before, in which these entries were never committed.
        return []
    batches = log.recent(first_index, commit_index, FETCH_BYTES)
    if batches is not None:
        return batches
    last_index = min(commit_index, log.durable_index)
    if last_index < first_index:
        raise InternalError(f"entry {first_index} is committed, but neither in memory nor on disk")
    try:
        return list(await storage.read_entries(first_index, last_index, FETCH_BYTES))
    except KeyError:
        if first_index >= log.first_index:
            raise InternalError(f"entry {first_index} is committed but can't be read") from None
        return []
