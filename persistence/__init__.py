"""Durable term, vote, log and snapshots: the storage contract and its implementations.

Lives in ``persistence/`` at the repository root, and is imported as ``raft_actors.persistence``.
"""

if __name__ == "persistence":
    # From the repository root (or with it on sys.path) this folder would also import under its bare
    # name: a second copy of every class, whose isinstance checks fail against the first.
    raise ImportError("import raft_actors.persistence instead of persistence: run 'pip install -e .' first")

from raft_actors.persistence.abc import SnapshotReader, Storage, StorageStatistics, StoreIdentity
from raft_actors.persistence.memory import MemoryDisk, MemoryStorage
from raft_actors.persistence.sqlite.inspection import KindCount, StoreSummary, inspect_store, stored_entries
from raft_actors.persistence.sqlite.storage import SqliteStorage
from raft_actors.raft.persistent_state import CommitSnapshot, HardState, LogWrite, Recovered, TermRun, Write

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
