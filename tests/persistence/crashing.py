"""A process that does random work on a store and dies: `python crashing.py FILE SEED COUNT [STATEMENTS | to-the-end]`.

It prints the number of operations done after each. With STATEMENTS it dies at that statement of SQLite's, counted from
the start; with `to-the-end` it dies after the work, most of which is then in the write-ahead log; else when it is
killed.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from raft_actors.persistence import HardState, LogWrite, SqliteStorage
from raft_actors.persistence.sqlite import wal
from tests.persistence.model import carry_out, random_work
from tests.persistence.support import IDENTITY


def trace_statements(callback: Callable[[str], object]) -> Callable[..., sqlite3.Connection]:
    """A replacement for `sqlite3.connect` that reports each statement as it begins."""
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(callback)
        return connection

    return traced


def die_at(statement: int) -> None:
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            os._exit(9)

    setattr(sqlite3, "connect", trace_statements(count))  # noqa: B010 - mypy knows it for a function


async def work(path: Path, seed: int, count: int, report: Callable[[int], None], *, leave_log: bool = False) -> None:
    if leave_log:
        setattr(wal, "_CHECKPOINT_BYTES", 2**40)  # noqa: B010 - pyright knows it for a constant
    storage = SqliteStorage(path)
    await storage.open(IDENTITY, tail_bytes=0)
    report(0)
    for number, operation in enumerate(random_work(seed, count), start=1):
        await carry_out(storage, operation)
        report(number)
    if leave_log:
        # A vote is marked at once, before the next call is looked at: from here on the mark is up to date.
        await storage.write([LogWrite(HardState(10**6, "n1"))])
        await storage.open_snapshot()
        os._exit(9)
    await storage.aclose()


def main() -> None:
    path, seed, count, *how = sys.argv[1:]
    if how and how[0] != "to-the-end":
        die_at(int(how[0]))
    report = lambda number: print(number, flush=True)  # noqa: E731, T201
    trio.run(lambda: work(Path(path), int(seed), int(count), report, leave_log="to-the-end" in how))


if __name__ == "__main__":
    main()
