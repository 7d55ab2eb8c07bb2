"""Durable term, vote, log and snapshots: the storage contract and its implementations.

Lives in ``persistence/`` at the repository root, and is imported as ``raft_actors.persistence``.
"""

if __name__ == "persistence":
    # From the repository root (or with it on sys.path) this folder would also import under its bare
    # name: a second copy of every class, whose isinstance checks fail against the first.
    raise ImportError("import raft_actors.persistence instead of persistence: run 'pip install -e .' first")

from typing import TYPE_CHECKING

from raft_actors.lazily import lazily
from raft_actors.persistence.abc import SnapshotReader, Storage, StorageStatistics, StoreIdentity
from raft_actors.persistence.sqlite.storage import SqliteStorage
from raft_actors.raft.persistent_state import CommitSnapshot, HardState, LogWrite, Recovered, TermRun, Write

if TYPE_CHECKING:
    from raft_actors.persistence.memory import MemoryStorage
    from raft_actors.persistence.memory_disk import MemoryDisk
    from raft_actors.persistence.sqlite.inspection import KindCount, StoreSummary, inspect_store, stored_entries
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "KindCount": "sqlite.inspection",
            "MemoryDisk": "memory_disk",
            "MemoryStorage": "memory",
            "StoreSummary": "sqlite.inspection",
            "inspect_store": "sqlite.inspection",
            "stored_entries": "sqlite.inspection",
        },
    )

__all__ = [
    "CommitSnapshot",
    "HardState",
    "KindCount",
    "LogWrite",
    "MemoryDisk",
    "MemoryStorage",
    "Recovered",
    "SnapshotReader",
    "SqliteStorage",
    "Storage",
    "StorageStatistics",
    "StoreIdentity",
    "StoreSummary",
    "TermRun",
    "Write",
    "inspect_store",
    "stored_entries",
]
