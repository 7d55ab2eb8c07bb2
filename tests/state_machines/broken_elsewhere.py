"""State machines with one mistake each that shows in queries, in log time, between instances, in other commands."""

from __future__ import annotations

import json
import locale
import os
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from random import random, seed  # noqa: TID251 - the mistake
from typing import Any

import attrs
import trio
from typing_extensions import override

from raft_actors import attrs_queries
from tests.state_machines.right import joined
from tests.state_machines.unusual import Get, LetsKeysExpire, Plain, Put, Take


@attrs.frozen
class Length:
    key: str

    def __call__(self, machine: Plain) -> int:
        return len(machine.data[self.key])


class GrowsByQueries(Plain):
    queries = attrs_queries(Length)

    def __init__(self) -> None:
        self.data = defaultdict(bytes)

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        super().apply(command)
        return len(self.data)

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        await super().restore(chunks)
        self.data = defaultdict(bytes, self.data)


class ForgetsDeadlines(LetsKeysExpire):
    @override
    def snapshot(self) -> Iterable[bytes]:
        now_ms, until_ms, self.until_ms = self.now_ms, self.until_ms, {}
        pieces = super().snapshot()
        self.now_ms, self.until_ms = now_ms, until_ms
        return pieces


class CountsTimes(LetsKeysExpire):
    @override
    def pass_time(self, now_ms: int) -> None:
        self.until_ms["times"] = self.until_ms.get("times", 10**15) + 1


class TakesNoTime(Plain):
    @override
    def pass_time(self, now_ms: int) -> None:
        raise ValueError(now_ms)


SHARED: dict[str, bytes | None] = {}


class SharesACache(Plain):
    @override
    def apply(self, command: Put | Get | Take) -> Any:
        if isinstance(command, Get):
            return SHARED.setdefault(command.key, super().apply(command))
        if isinstance(command, Put):
            SHARED.pop(command.key, None)
        else:
            SHARED.clear()
        return super().apply(command)


class SharesAGenerator(Plain):
    def __init__(self) -> None:
        super().__init__()
        seed(7)

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        return super().apply(command), int(random() * 1_000) if isinstance(command, Take) else None


class GivesAViewAway(Plain):
    @override
    def apply(self, command: Put | Get | Take) -> Any:
        super().apply(command)
        return self.data.keys()


class AnswersLater(Plain):
    @override
    def apply(self, command: Put | Get | Take) -> Any:
        super().apply(command)
        return (value for value in self.data.values())


class KnowsTrioTime(Plain):
    @override
    def apply(self, command: Put | Get | Take) -> Any:
        super().apply(command)
        return trio.current_time()


class BoundsOnlyTheFirst(Plain):
    """Restored without its bound, which some hundred commands reach."""

    def __init__(self) -> None:
        self.data = deque(maxlen=100)

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        if isinstance(command, Put):
            self.data.append(command.key)
        return len(self.data)

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(list(self.data)).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data = deque(json.loads(await joined(chunks)))


class DropsTheOldest(Plain):
    """Restored in another order, which shows in what it drops next, and in no answer."""

    @override
    def apply(self, command: Put | Get | Take) -> None:
        self.data[f"{command}"] = b""
        if len(self.data) > 3:
            del self.data[next(iter(self.data))]

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(sorted(self.data)).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data = dict.fromkeys(json.loads(await joined(chunks)), b"")


class SplitsAtSpaces(Plain):
    @override
    def snapshot(self) -> Iterable[bytes]:
        return [f"{key} {value.hex()}\n".encode() for key, value in self.data.items()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        lines = (await joined(chunks)).decode().split("\n")[:-1]
        self.data = {key: bytes.fromhex(value) for key, value in (line.split(" ") for line in lines)}


class ReadsAVariable(Plain):
    @override
    def apply(self, command: Put | Get | Take) -> Any:
        if len(self.data) >= int(os.getenv("MOST_KEYS", "1000")):
            raise ValueError("full")
        return super().apply(command)


class WritesForTheUser(Plain):
    """Its whole process writes numbers as the user does."""

    def __init__(self) -> None:
        super().__init__()
        locale.setlocale(locale.LC_NUMERIC, "")

    @override
    def apply(self, command: Put | Get | Take) -> Any:
        super().apply(command)
        return f"{1_000 + len(self.data):n}"


class ReadsAFile(Plain):
    @override
    def apply(self, command: Put | Get | Take) -> Any:
        limit = Path(__file__).with_name("limit")
        return super().apply(command) if not limit.exists() else None


class ExpiresByThread(Plain):
    @override
    def put(self, key: str, value: bytes) -> None:
        super().put(key, value)
        timer = threading.Timer(1_000, self.data.pop, (key, None))
        timer.daemon = True
        timer.start()


BROKEN: dict[Any, str] = {
    ExpiresByThread: "no thread changes the state",
    GrowsByQueries: "queries change nothing",
    ForgetsDeadlines: "restore brings back the whole state, and that alone",
    CountsTimes: "restore brings back the whole state, and that alone",
    TakesNoTime: "pass_time",
    SharesACache: "instances share no state",
    SharesAGenerator: "instances share no state",
    GivesAViewAway: "answers stay as they were",
    AnswersLater: "answers stay as they were",
    KnowsTrioTime: "every instance answers alike",
    BoundsOnlyTheFirst: "restore brings back the whole state, and that alone",
    DropsTheOldest: "restore brings back the whole state, and that alone",
    SplitsAtSpaces: "restore brings back the whole state, and that alone",
}
#: What only a process of its own can show.
BROKEN_IN_PROCESSES: dict[Any, str] = {
    ReadsAVariable: "every process answers alike",
    WritesForTheUser: "every process answers alike",
    ReadsAFile: "no file matters",
}
