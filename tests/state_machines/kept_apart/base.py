"""What these machines share, and where they are listed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any, TypeVar

from raft_actors import StateMachine

M = TypeVar("M", bound=type[StateMachine[Any, Any]])

#: Machine → the commands that it is checked with.
BROKEN: dict[type[StateMachine[Any, Any]], list[Any]] = {}
RIGHT: dict[type[StateMachine[Any, Any]], list[Any]] = {}


def broken(commands: list[Any]) -> Callable[[M], M]:
    """List a machine that has one mistake."""

    def listed(machine: M) -> M:
        BROKEN[machine] = commands
        return machine

    return listed


def right(commands: list[Any]) -> Callable[[M], M]:
    """List a machine with which nothing is wrong."""

    def listed(machine: M) -> M:
        RIGHT[machine] = commands
        return machine

    return listed


async def join(chunks: AsyncIterable[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


class Json(StateMachine[Any, Any]):
    """Keeps `self.state`, which JSON can write."""

    def __init__(self) -> None:
        self.state: Any = self.empty()

    def empty(self) -> Any:
        return {}

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.state).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.state = json.loads(await join(chunks))
