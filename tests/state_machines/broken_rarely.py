"""State machines whose mistake shows at few places only: the commands that reach it, and what the check calls it."""

from __future__ import annotations

import json
import pickle
import sqlite3
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import Any

from typing_extensions import override

from tests.state_machines.databases import in_memory
from tests.state_machines.right import joined
from tests.state_machines.unusual import Get, Plain, Put, Take


class DecodesEachPiece(Plain):
    """A letter of several bytes may be cut; the given commands have none."""

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps({key: value.hex() for key, value in self.data.items()}, ensure_ascii=False).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        text = "".join([chunk.decode() async for chunk in chunks])
        self.data = {key: bytes.fromhex(value) for key, value in json.loads(text).items()}


class CopiesTheOutside(Plain):
    """The lists within its dict change under a snapshot: but not by the given commands, in their order."""

    @override
    def put(self, key: str, value: bytes) -> None:
        self.data.setdefault(key, []).append(value.hex())

    @override
    def apply(self, command: Put | Get | Take) -> None:
        super().apply(command)

    @override
    def snapshot(self) -> Iterable[bytes]:
        taken = dict(self.data)

        def lines() -> Iterator[bytes]:
            for pair in taken.items():
                yield json.dumps(pair).encode() + b"\n"

        return lines()

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data = dict(json.loads(line) for line in (await joined(chunks)).splitlines())


class NumbersByTheDatabase(Plain):
    """SQLite's AUTOINCREMENT goes on after the greatest number ever; that one may be gone when a snapshot is taken."""

    made = "CREATE TABLE pair (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, at TEXT DEFAULT '')"

    def __init__(self) -> None:
        self.database = self._empty()

    def _empty(self) -> sqlite3.Connection:
        database = in_memory()
        database.execute(self.made)
        return database

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        match command:
            case Put(key, _):
                return self.database.execute("INSERT INTO pair (key) VALUES (?)", (key,)).lastrowid
            case Get(key):
                return self.database.execute("SELECT count(*) FROM pair WHERE key = ?", (key,)).fetchone()
            case Take(_):
                newest = "SELECT max(number) FROM pair"
                return self.database.execute(f"DELETE FROM pair WHERE number = ({newest})").rowcount

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps(self.database.execute("SELECT * FROM pair ORDER BY number").fetchall())]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.database.close()
        self.database = self._empty()
        self.database.executemany("INSERT INTO pair VALUES (?, ?, ?)", pickle.loads(await joined(chunks)))


class DrawsInTheDatabase(NumbersByTheDatabase):
    """Its fields are one object, in which nothing can be seen from outside."""

    made = NumbersByTheDatabase.made.replace("''", "(hex(randomblob(8)))")


SOME = [Put(key, b"") for key in "abcdef"]
RESTORED = "restore brings back the whole state, and that alone"
BROKEN: list[tuple[Any, list[Any], int, str]] = [
    (DecodesEachPiece, [*SOME, Get("a")], 10, "restore"),
    (CopiesTheOutside, [Put("a", b"1"), Take(7)], 10, "snapshots are of their moment"),
    (NumbersByTheDatabase, [*SOME, Take(1), *SOME[:5]], 0, RESTORED),
    (DrawsInTheDatabase, SOME, 0, "every instance answers alike"),
]
"""Machine, commands, how many more to draw of them, and what the check says is broken."""
