"""What is in stock: a state machine of which clients know commands and queries."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Iterable

import attrs
from typing_extensions import override

from raft_actors import StateMachine, attrs_commands, attrs_queries


@attrs.frozen
class Add:
    """Goods have come."""

    item: str
    count: int


@attrs.frozen
class Sell:
    """Goods go, if there are as many."""

    item: str
    count: int


@attrs.frozen
class Left:
    """A query: how many there are. It travels to a node, and is called there."""

    item: str

    def __call__(self, stock: Stock) -> int:
        return stock.counts.get(self.item, 0)


class Stock(StateMachine[Add | Sell, int]):
    """Counts goods; a command's result is how many there are now."""

    commands = attrs_commands(Add | Sell)
    queries = attrs_queries(Left)

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    @override
    def apply(self, command: Add | Sell) -> int:
        count = self.counts.get(command.item, 0)
        if isinstance(command, Add):
            count += command.count
        elif command.count > count:
            raise ValueError(f"{count} of {command.item} are left")
        else:
            count -= command.count
        self.counts[command.item] = count
        return count

    @override
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.counts).encode()]

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.counts = json.loads(b"".join([chunk async for chunk in chunks]))
