"""What is done before SQLite opens a store's database: look where it lies, take it, and check what only then can be."""

from __future__ import annotations

from pathlib import Path

from raft_actors.persistence.sqlite.files import Files
from raft_actors.persistence.sqlite.free_pages import check_free_pages
from raft_actors.persistence.sqlite.lock import StoreLock
from raft_actors.persistence.sqlite.mark import forget_removed


def take_store(path: Path, files: Files) -> StoreLock:
    """Keep everybody else out of the store in `path`, whose file is made, empty, where it is missing.

    Raises:
        StorageLocked: somebody has it.
        StorageFailed: it can't be made there.
        StorageCorrupt: its free list is damaged.
        OSError: as it comes.
    """
    files.check_place(path)
    was_there = files.exists(path)
    lock = files.lock(path)
    try:
        if not was_there:
            forget_removed(path, files)
        check_free_pages(path, files)
    except BaseException:
        lock.close()
        raise
    return lock
