"""Orders of a shop, each kind with one mistake; `Orders` itself has none."""

from __future__ import annotations

import itertools
import json
import socket
import uuid
from collections import defaultdict
from collections.abc import AsyncIterable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs

from raft_actors import attrs_commands
from tests.state_machines.kept_apart.base import Json, broken, join, right


@attrs.frozen
class Place:
    customer: str
    item: str
    quantity: int


@attrs.frozen
class Cancel:
    order: int


ORDERS = [
    Place("ann", "tea", 2),
    Place("bob", "rice", 1),
    Cancel(1),
    Place("ann", "salt", 4),
    Place("cid", "tea", 1),
    Cancel(9),
    Cancel(4),
]


@right(ORDERS)
class Orders(Json):
    commands = attrs_commands(Place | Cancel)

    def empty(self) -> Any:
        return {"next": 1, "orders": {}}

    def new_id(self) -> Any:
        self.state["next"] += 1
        return str(self.state["next"] - 1)

    def apply(self, command: Any) -> Any:
        if isinstance(command, Place):
            i = self.new_id()
            self.state["orders"][i] = self.record(command)
            return i
        if str(command.order) not in self.state["orders"]:
            raise KeyError(command.order)
        return self.state["orders"].pop(str(command.order))["item"]

    def record(self, command: Any) -> Any:
        return {"customer": command.customer, "item": command.item, "quantity": command.quantity}


@broken(ORDERS)
class UuidIds(Orders):
    def new_id(self) -> Any:
        return uuid.uuid4().hex


@broken(ORDERS)
class StampsRecords(Orders):
    def record(self, command: Any) -> Any:
        return {**super().record(command), "at": datetime.now(UTC).isoformat()}


@broken(ORDERS)
class PlacedBy(Orders):
    def record(self, command: Any) -> Any:
        return {**super().record(command), "node": socket.gethostname()}


@broken(ORDERS)
class ModuleCounter(Orders):
    """All instances of a process draw from one counter."""

    ids = itertools.count(1)

    def new_id(self) -> Any:
        return str(next(ModuleCounter.ids))


@broken(ORDERS)
class ForgetsNextId(Orders):
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.state["orders"]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.state = {"next": 1, "orders": json.loads(await join(chunks))}


@broken(ORDERS)
class NextIdFromMax(Orders):
    """Like AUTOINCREMENT, but rebuilt from the greatest id that is left."""

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.state["orders"]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        orders = json.loads(await join(chunks))
        self.state = {"next": 1 + max(map(int, orders), default=0), "orders": orders}


@broken(ORDERS)
class IntKeysInJson(Orders):
    """JSON has texts for keys: after a restore no order is found."""

    def new_id(self) -> Any:
        self.state["next"] += 1
        return self.state["next"] - 1

    def apply(self, command: Any) -> Any:
        if isinstance(command, Place):
            return super().apply(command)
        return self.state["orders"].pop(command.order, None)


@broken(ORDERS)
class ReturnsItsRecord(Orders):
    """The answer is a part of the state, which later commands change."""

    def apply(self, command: Any) -> Any:
        if isinstance(command, Place):
            for r in self.state["orders"].values():
                if r["customer"] == command.customer:
                    r["quantity"] += command.quantity
                    return r
            i = self.new_id()
            self.state["orders"][i] = self.record(command)
            return self.state["orders"][i]
        return super().apply(command)


@broken(ORDERS)
class IndexNotRebuilt(Orders):
    def __init__(self) -> None:
        super().__init__()
        self.by_customer: Any = defaultdict(list)

    def apply(self, command: Any) -> Any:
        if isinstance(command, Place):
            i = super().apply(command)
            self.by_customer[command.customer].append(i)
            return len(self.by_customer[command.customer])
        return super().apply(command)


@broken(ORDERS)
class ShallowCopyInSnapshot(Orders):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Place):
            for r in self.state["orders"].values():
                if r["customer"] == command.customer:
                    r["quantity"] += command.quantity
                    return r["quantity"]
        return super().apply(command)

    def snapshot(self) -> Iterable[bytes]:
        taken, number = dict(self.state["orders"]), self.state["next"]

        def pieces() -> Iterator[bytes]:
            yield f"{number}\n".encode()
            for k, r in taken.items():
                yield json.dumps([k, r]).encode() + b"\n"

        return pieces()

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        first, *rest = (await join(chunks)).decode().split("\n")[:-1]
        self.state = {"next": int(first), "orders": dict(json.loads(r) for r in rest)}


@broken(ORDERS)
class CsvByHand(Orders):
    """Text with a comma or a line end in it does not come back."""

    def snapshot(self) -> Iterable[bytes]:
        lines = [str(self.state["next"])]
        for k, r in self.state["orders"].items():
            lines.append(f"{k},{r['customer']},{r['item']},{r['quantity']}")
        return ["\n".join(lines).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        first, *rest = (await join(chunks)).decode().split("\n")
        orders = {}
        for line in rest:
            key, customer, item, quantity = line.split(",")
            orders[key] = {"customer": customer, "item": item, "quantity": int(quantity)}
        self.state = {"next": int(first), "orders": orders}


@broken(ORDERS)
class AsciiOnly(Orders):
    """Found only where a command with other text is read back by a later one: ORDERS has none."""

    def snapshot(self) -> Iterable[bytes]:
        return [repr(self.state).encode("ascii", "replace")]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.state = eval((await join(chunks)).decode())


@broken(ORDERS)
class DecodesEachChunk(Orders):
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.state, ensure_ascii=False).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.state = json.loads("".join([c.decode() async for c in chunks]))


@broken(ORDERS)
class ExpectsOneChunkARecord(Orders):
    def snapshot(self) -> Iterable[bytes]:
        return [
            str(self.state["next"]).encode(),
            *[json.dumps([k, r]).encode() for k, r in self.state["orders"].items()],
        ]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        parts = [c async for c in chunks]
        self.state = {"next": int(parts[0]), "orders": dict(json.loads(p) for p in parts[1:])}


@broken(ORDERS)
class RestoreMerges(Orders):
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        s = json.loads(await join(chunks))
        self.state["next"] = s["next"]
        self.state["orders"].update(s["orders"])


@broken(ORDERS)
class LiveIterator(Orders):
    """Reads the state while later commands change it."""

    def snapshot(self) -> Iterable[bytes]:
        yield f"{self.state['next']}\n".encode()
        for k, r in self.state["orders"].items():
            yield json.dumps([k, r]).encode() + b"\n"

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        first, *rest = (await join(chunks)).decode().split("\n")[:-1]
        self.state = {"next": int(first), "orders": dict(json.loads(r) for r in rest)}


@broken(ORDERS)
class AddressInError(Orders):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Cancel) and str(command.order) not in self.state["orders"]:
            raise LookupError(f"no such order in {object.__repr__(self)}")
        return super().apply(command)


@broken(ORDERS)
class CountsSinceStart(Orders):
    def __init__(self) -> None:
        super().__init__()
        self.handled = 0

    def apply(self, command: Any) -> Any:
        self.handled += 1
        r = super().apply(command)
        return f"{r} ({self.handled} handled)"
