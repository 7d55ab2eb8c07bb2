"""Shared by the SQLite storage's tests: ways to look inside it, and to make its disk fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import attrs

from raft_actors.persistence import (
    SqliteStorage,
)

ROOT = Path(__file__).parents[2]


async def pragmas(storage: SqliteStorage, *names: str) -> list[object]:
    """Ask the storage's own connection, on its own thread."""
    session = storage._session
    assert session is not None
    database, thread = session.database, session.thread
    return [
        await thread.run(lambda name=name: database._connection().execute(f"PRAGMA {name}").fetchone()[0])  # type: ignore[misc]
        for name in names
    ]


async def settle(storage: SqliteStorage) -> None:
    """Wait until the thread has nothing left to collect."""
    session = storage._session
    assert session is not None
    database, thread = session.database, session.thread
    wait_s: float | None = 0.0
    while wait_s is not None:
        wait_s = await thread.run(database.idle)  # asked whether it is done, and no more, it would never be idle


async def rows(storage: SqliteStorage, table: str) -> int:
    session = storage._session
    assert session is not None
    select = f"SELECT count(*) FROM {table}"
    count: int = await session.thread.run(lambda: session.database._connection().execute(select).fetchone()[0])
    return count


def snapshot_files(path: Path) -> list[str]:
    """What is there beside the store in `path` of the kind."""
    return sorted(file.name for file in path.parent.glob(f"{path.name}-snapshot-*"))


@attrs.define
class Faults:
    """What goes wrong with the next statement that begins like this."""

    prefix: str = "never"
    act: Callable[[], None] = lambda: None


def failing(code: int) -> Callable[[], None]:
    def fail() -> None:
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorcode = code
        error.sqlite_errorname = "INJECTED"
        raise error

    return fail


def flip(path: Path, position: int, bit: int) -> None:
    """Turn one bit of a file over."""
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))
