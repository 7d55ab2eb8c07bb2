"""State machines that look suspicious, and with which nothing is wrong."""

from __future__ import annotations

import datetime
import json
import pickle
from collections import OrderedDict
from collections.abc import AsyncIterable, Iterable
from typing import Any

from typing_extensions import override

from raft_actors import StateMachine
from tests.state_machines.broken import Right, joined


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
