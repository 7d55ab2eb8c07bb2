"""When a store's write-ahead log is moved to the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from raft_actors.persistence import SqliteStorage
from raft_actors.persistence.abc import StoreIdentity
from raft_actors.persistence.sqlite.wal import WriteAheadLog
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.persistent_state import LogWrite

MIB = 2**20


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much was in each log that was moved, in bytes."""
    moved: list[int] = []
    move = WriteAheadLog.move

    def noted(self: WriteAheadLog, *args: object) -> None:
        moved.append(self._bytes)
        move(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(WriteAheadLog, "move", noted)
    return moved


async def fill(path: Path, node_id: str, moved: list[int]) -> list[int]:
    """Write 40 MiB; return the sizes at which the log was moved meanwhile."""
    storage = SqliteStorage(path / f"{node_id}.db")
    await storage.open(StoreIdentity("c", node_id), tail_bytes=0)
    for index in range(1, 40 * 32 + 1):
        await storage.write([LogWrite(entries=(EntryBatch.encode(index, 1, EntryKind.COMMAND, [bytes(32 * 1024)]),))])
    sizes = list(moved)
    moved.clear()
    await storage.aclose()
    moved.clear()
    return sizes


async def test_nodes_that_write_the_same_move_their_logs_at_different_times(tmp_path: Path, moves: list[int]) -> None:
    """Moved at the same time, they would all pause, and nothing could be committed meanwhile."""
    first, second = await fill(tmp_path, "n1", moves), await fill(tmp_path, "n2", moves)
    assert min(len(first), len(second)) >= 5
    assert all(2 * MIB <= size <= 7 * MIB for size in first + second)
    assert len({size // 65536 for size in first[:5]}) == 5
    assert [size // 65536 for size in first[:5]] != [size // 65536 for size in second[:5]]
