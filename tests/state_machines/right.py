"""State machines with which nothing is wrong: a plain one, on which others are built, and some that look suspicious."""

from __future__ import annotations

import datetime
import json
import pickle
from collections import OrderedDict
from collections.abc import AsyncIterable, Iterable
from typing import Any

from typing_extensions import override

from raft_actors import StateMachine

COMMANDS = [
    b"set b 2",
    b"set a 1",
    b"get a",
    b"set c 3",
    b"pop",
    b"bad x",
    b"set d 4",
    b"list",
    b"set a 5",
    b"set e 6",
    b"pop",
    b"get a",
    b"list",
]


async def joined(chunks: AsyncIterable[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


class Right(StateMachine[bytes, Any]):
    """Key and value; `pop` takes the oldest key. Nothing is wrong with it."""

    def __init__(self) -> None:
        self.data: dict[str, str] = {}
        self.count = 0

    @override
    def apply(self, command: bytes) -> Any:
        verb, *rest = command.decode().split()
        if verb == "bad":
            raise ValueError(f"no such command: {command!r}")
        self.count += 1
        return self.carry_out(verb, rest)

    def carry_out(self, verb: str, rest: list[str]) -> Any:
        if verb == "set":
            self.data[rest[0]] = rest[1]
            return self.count
        if verb == "get":
            return self.data.get(rest[0])
        if verb == "pop":
            return self.data.pop(next(iter(self.data))) if self.data else None
        return list(self.data.items())

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.data, self.count]).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data, self.count = json.loads(await joined(chunks))


class Pickles(Right):
    @override
    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps((self.data, self.count))]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.data, self.count = pickle.loads(await joined(chunks))


class TellsADigest(Right):
    @override
    def state_digest(self) -> bytes:
        return json.dumps([list(self.data.items()), self.count]).encode()


class KeepsASet(Right):
    """Its snapshots have an order that does not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()

    def carry_out(self, verb: str, rest: list[str]) -> Any:
        if verb == "set":
            self.keys.add(rest[0])
        return len(self.keys), "a" in self.keys, sorted(self.keys)

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([list(self.keys), self.count]).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        keys, self.count = json.loads(await joined(chunks))
        self.keys = set(keys)


class KeepsOrder(Right):
    def __init__(self) -> None:
        super().__init__()
        self.data = OrderedDict()

    def carry_out(self, verb: str, rest: list[str]) -> Any:
        if verb == "pop" and self.data:
            return self.data.popitem(last=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        return super().carry_out(verb, rest)

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        await super().restore(chunks)
        self.data = OrderedDict(self.data)


class Slotted(StateMachine[bytes, int]):
    __slots__ = ("_total",)

    def __init__(self) -> None:
        self._total = 0

    @override
    def apply(self, command: bytes) -> int:
        self._total += len(command)
        return self._total

    @override
    def snapshot(self) -> Iterable[bytes]:
        total = self._total
        return (bytes([digit]) for digit in str(total).encode())

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self._total = int(await joined(chunks))


class CountsForItself(Right):
    """A count that is no part of the state, and never answered."""

    def __init__(self) -> None:
        super().__init__()
        self.applied_here = 0

    @override
    def apply(self, command: bytes) -> Any:
        self.applied_here += 1
        return super().apply(command)


class AnswersAtoms(Right):
    def carry_out(self, verb: str, rest: list[str]) -> Any:
        super().carry_out(verb, rest)
        return float("nan"), datetime.datetime(2026, 1, 2), object(), ValueError("as an answer")


RIGHT = [Right, TellsADigest, Pickles, KeepsASet, KeepsOrder, Slotted, CountsForItself, AnswersAtoms]
