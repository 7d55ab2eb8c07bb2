"""State machines with which nothing is wrong, and that do what looks suspicious, or what few do."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import json
import logging
import os
import pickle
import sqlite3
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import attrs
import trio
from typing_extensions import override

from raft_actors import StateMachine, attrs_commands, attrs_queries
from tests.state_machines.databases import in_memory
from tests.state_machines.right import joined


@attrs.frozen
class Put:
    key: str
    value: bytes


@attrs.frozen
class Get:
    key: str


@attrs.frozen
class Take:
    seed: int


@attrs.frozen
class Count:
    key: str
    least: int = 0
    labels: tuple[str, ...] = ()

    def __call__(self, machine: Plain) -> int:
        return sum(key.startswith(self.key) for key in machine.data)


GIVEN = [
    Put("b", b"1"),
    Put("a", b"2"),
    Get("a"),
    Put("c", b"\x00\xff"),
    Take(7),
    Put("a", b"3"),
    Get("b"),
    Get("a"),
    Take(8),
    Put("d", b""),
    Get("d"),
]


class Plain(StateMachine[Put | Get | Take, Any]):
    commands = attrs_commands(Put | Get | Take)
    queries = attrs_queries(Count)
    data: Any

    def __init__(self) -> None:
        self.data = {}

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        match command:
            case Put(key, value):
                self.put(key, value)
                return None
            case Get(key):
                return self.data.get(key)
            case Take(seed):
                # Drawn from what the command brings along: every replica draws the same.
                return self.data.pop(Random(seed).choice(sorted(self.data))) if self.data else None

    def put(self, key: str, value: bytes) -> None:
        self.data[key] = value

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps(self.data)]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data = pickle.loads(await joined(chunks))


@dataclasses.dataclass
class Ledger:
    data: dict[str, bytes] = dataclasses.field(default_factory=dict[str, bytes])
    revision: int = 0


class KeepsADataclass(Plain):
    def __init__(self) -> None:
        self.ledger = Ledger()

    @property
    @override
    def data(self) -> dict[str, bytes]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.ledger.data

    @override
    def put(self, key: str, value: bytes) -> None:
        self.ledger.revision += 1
        self.ledger.data[key] = value

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps(dataclasses.asdict(self.ledger))]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.ledger = Ledger(**pickle.loads(await joined(chunks)))


class KeepsADatabase(StateMachine[Put | Get | Take, Any]):
    """In memory, by a connection that only its own thread may use."""

    commands = attrs_commands(Put | Get | Take)

    def __init__(self) -> None:
        self.database = self._empty()

    def _empty(self) -> sqlite3.Connection:
        database = in_memory()
        database.execute("CREATE TABLE pair (key TEXT PRIMARY KEY, value BLOB)")
        return database

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        match command:
            case Put(key, value):
                self.database.execute("INSERT OR REPLACE INTO pair VALUES (?, ?)", (key, value))
                return self.database.execute("SELECT count(*) FROM pair").fetchone()[0]
            case Get(key):
                return self.database.execute("SELECT value FROM pair WHERE key = ?", (key,)).fetchone()
            case Take(seed):
                return self.database.execute(
                    "DELETE FROM pair WHERE length(value) < ? RETURNING key", (seed,)
                ).fetchall()

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [self.database.serialize()]

    @override
    def state_digest(self) -> bytes:
        return repr(self.database.execute("SELECT * FROM pair ORDER BY key").fetchall()).encode()

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.database.close()
        self.database = in_memory()
        self.database.deserialize(await joined(chunks))


class KeepsItSorted(Plain):
    def __init__(self) -> None:
        self.keys: list[str] = []
        super().__init__()

    @override
    def put(self, key: str, value: bytes) -> None:
        if key not in self.data:
            bisect.insort(self.keys, key)
        self.data[key] = value

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        super().apply(command)
        self.keys = [key for key in self.keys if key in self.data]
        return iter(tuple(self.keys))

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        await super().restore(chunks)
        self.keys = sorted(self.data)


class AnswersWithAGenerator(Plain):
    """Of what was there; and its snapshot is one, too."""

    @override
    def apply(self, command: Put | Get | Take) -> Iterator[str]:
        super().apply(command)
        keys = list(self.data)
        return (key.upper() for key in keys)

    @override
    def snapshot(self) -> Iterable[bytes]:
        pairs = list(self.data.items())

        def lines() -> Iterator[bytes]:
            for key, value in pairs:
                yield json.dumps([key, value.hex()]).encode() + b"\n"

        return lines()

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        pairs = [json.loads(line) for line in (await joined(chunks)).split(b"\n") if line]
        self.data = {key: bytes.fromhex(value) for key, value in pairs}


class LetsKeysExpire(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.until_ms: dict[str, int] = {}

    @override
    def pass_time(self, now_ms: int) -> None:
        self.now_ms = max(self.now_ms, now_ms)
        for key in [key for key, until_ms in self.until_ms.items() if until_ms <= self.now_ms]:
            del self.until_ms[key]
            self.data.pop(key, None)

    @override
    def put(self, key: str, value: bytes) -> None:
        self.data[key] = value
        self.until_ms[key] = self.now_ms + 1_000

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps((self.data, self.now_ms, self.until_ms))]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data, self.now_ms, self.until_ms = pickle.loads(await joined(chunks))


class RemembersAnswers(Plain):
    """As sessions do: a command that is told again is answered as before. The oldest are forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: OrderedDict[str, Any] = OrderedDict()

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        if not isinstance(command, Take):
            return super().apply(command)
        name = str(command.seed)
        if name not in self.answered:
            self.answered[name] = super().apply(command)
        self.answered.move_to_end(name)
        while len(self.answered) > 2:
            self.answered.popitem(last=False)
        return self.answered[name]

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps((self.data, self.answered))]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data, self.answered = pickle.loads(await joined(chunks))


class KeepsMuch(Plain):
    @override
    def put(self, key: str, value: bytes) -> None:
        self.data[key] = (value or b".") * 4_000

    @override
    def snapshot(self) -> Iterable[bytes]:
        data = pickle.dumps(self.data)
        return (data[at : at + 4_096] for at in range(0, len(data), 4_096))


class CachesWhatItAnswers(Plain):
    """A cache of its own, that goes with each change and each restore."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[str, bytes | None] = {}

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        if isinstance(command, Get):
            if command.key not in self.cache:
                self.cache[command.key] = super().apply(command)
            return self.cache[command.key]
        self.cache.clear()
        return super().apply(command)

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        await super().restore(chunks)
        self.cache.clear()


class HasSlots(StateMachine[Put | Get | Take, int]):
    __slots__ = ("__lengths", "_clock")
    commands = attrs_commands(Put | Get | Take)

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.__lengths: defaultdict[str, int] = defaultdict(int)
        self._clock = clock

    @override
    def apply(self, command: Put | Get | Take) -> int:
        began_s = self._clock()  # for a metric, say
        self.__lengths[command.__class__.__name__] += 1
        return sum(self.__lengths.values()) if self._clock() >= began_s else -1

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.__lengths, sort_keys=True).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        async for chunk in chunks:
            first = chunk
            break
        else:
            raise EOFError
        self.__lengths = defaultdict(int, json.loads(first + await joined(chunks)))


@functools.cache
def words() -> int:
    return len(Path(__file__).read_text().split())


class LooksAround(Plain):
    """Reads what comes with the program, once; logs, where it was told to; has another thread compute; waits for it."""

    threshold = 3

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        answer = super().apply(command)
        if os.environ.get("TELL_EVERYTHING"):
            logging.getLogger(__name__).debug("applied %r after %s s", command, trio.current_time())
        results: list[int] = []
        thread = threading.Thread(target=lambda: results.append(len(self.data)))
        thread.start()
        thread.join()
        return answer, results, words() > self.threshold


UNUSUAL: list[Any] = [
    Plain,
    KeepsADataclass,
    KeepsADatabase,
    KeepsItSorted,
    AnswersWithAGenerator,
    LetsKeysExpire,
    RemembersAnswers,
    KeepsMuch,
    CachesWhatItAnswers,
    HasSlots,
    LooksAround,
]
