"""Machines with which nothing is wrong, though some of them look as if."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import pickle
import random
import sqlite3
import time
import zlib
from collections import defaultdict, deque
from collections.abc import AsyncIterable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from raft_actors import StateMachine, attrs_commands
from tests.state_machines.databases import in_memory
from tests.state_machines.kept_apart.bank import BANK, Bank, Deposit
from tests.state_machines.kept_apart.base import join, right
from tests.state_machines.kept_apart.jobs import JOBS, BoundLost, Jobs, Pop, Push
from tests.state_machines.kept_apart.key_value import KV, Delete, Get, Kv, LruLosesOrder, Set, SqliteRowIds
from tests.state_machines.kept_apart.orders import ORDERS, Orders, Place


@right(KV)
class Lru(LruLosesOrder):
    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(list(self.state.items())).encode()]


@right(KV)
class Expiring(Kv):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.until: Any = {}

    def pass_time(self, now_ms: int) -> None:
        self.now = max(now_ms, self.now)
        for k in [k for k, t in self.until.items() if t <= self.now]:
            self.state.pop(k, None)
            del self.until[k]

    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            self.until.pop(command.key, None)
            if command.ttl_s:
                self.until[command.key] = self.now + 1000 * command.ttl_s
        elif isinstance(command, Delete):
            self.until.pop(command.key, None)
        return super().apply(command)

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.state, self.now, self.until]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.state, self.now, self.until = json.loads(await join(chunks))


@right(KV)
class Sqlite(SqliteRowIds):
    def snapshot(self) -> Iterable[bytes]:
        return ["\n".join(self.db.iterdump()).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.db.close()
        self.db = in_memory(check_same_thread=False)
        self.db.executescript((await join(chunks)).decode())

    def state_digest(self) -> bytes:
        return hashlib.sha256(repr(self.db.execute("SELECT * FROM kv ORDER BY id").fetchall()).encode()).digest()


@right(BANK)
class Money(Bank):
    """Decimals as text; compressed; logs and measures."""

    def apply(self, command: Any) -> Any:
        begin = time.perf_counter()
        try:
            if isinstance(command, Deposit):
                self.state[command.account] = self.state.get(command.account, Decimal(0)) + Decimal(command.cents) / 7
                return self.state[command.account]
            if self.state.get(command.source, 0) < command.cents:
                raise ValueError("not enough")
            return None
        finally:
            self.took = time.perf_counter() - begin
            logging.getLogger("bank").debug("%s at %s", command, datetime.now())

    def snapshot(self) -> Iterable[bytes]:
        return [zlib.compress(json.dumps({k: str(v) for k, v in self.state.items()}).encode())]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.state = {k: Decimal(v) for k, v in json.loads(zlib.decompress(await join(chunks))).items()}


@right(ORDERS)
class HashedIds(Orders):
    """Ids by a hash that is the same everywhere; a generator seeded by the command number; sets, sorted before use."""

    def __init__(self) -> None:
        super().__init__()
        self.customers: Any = set()

    def new_id(self) -> Any:
        return hashlib.sha1(super().new_id().encode()).hexdigest()[:8]

    def apply(self, command: Any) -> Any:
        if isinstance(command, Place):
            self.customers.add(command.customer)
        r = super().apply(command)
        return (r, sorted(self.customers), random.Random(self.state["next"]).random())

    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps((self.state, self.customers))]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.state, self.customers = pickle.loads(await join(chunks))


@right(ORDERS)
class Indexed(Orders):
    def __init__(self) -> None:
        super().__init__()
        self.index()

    def index(self) -> None:
        self.by: Any = defaultdict(list)
        for i, r in self.state["orders"].items():
            self.by[r["customer"]].append(i)

    def apply(self, command: Any) -> Any:
        if isinstance(command, Place):
            i = super().apply(command)
            self.by[command.customer].append(i)
            return len(self.by.get(command.customer, ()))
        if str(command.order) in self.state["orders"]:
            self.by[self.state["orders"][str(command.order)]["customer"]].remove(str(command.order))
        return super().apply(command)

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        await super().restore(chunks)
        self.index()


@right(JOBS)
class SeededAndKept(Jobs):
    def __init__(self) -> None:
        super().__init__()
        self.rng: Any = random.Random(42)

    def apply(self, command: Any) -> Any:
        if isinstance(command, Pop) and self.heap:
            return self.heap.pop(self.rng.randrange(len(self.heap)))[2]
        if isinstance(command, Push):
            self.n += 1
            self.heap.append((command.priority, self.n, command.job))
            return self.n
        return None

    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps((self.heap, self.n, self.rng.getstate()))]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.heap, self.n, generator = pickle.loads(await join(chunks))
        self.rng = random.Random()
        self.rng.setstate(generator)


@right([b"one", b"two", b"one", b""])
class EventLog(StateMachine[Any, Any]):
    """Appends; chunks are made from a list that only grows, up to where it was."""

    def __init__(self) -> None:
        self.log: Any = []

    def apply(self, command: Any) -> Any:
        if not command:
            raise ValueError("empty")
        self.log.append(command)
        return len(self.log) - 1

    def snapshot(self) -> Iterable[bytes]:
        end, log = len(self.log), self.log

        def pieces() -> Iterator[bytes]:
            for i in range(end):
                yield len(log[i]).to_bytes(4, "big") + log[i]

        return pieces()

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.log, rest = [], b""
        async for chunk in chunks:
            rest += chunk
            while len(rest) >= 4 and len(rest) >= 4 + (size := int.from_bytes(rest[:4], "big")):
                self.log.append(rest[4 : 4 + size])
                rest = rest[4 + size :]


@right(KV)
class SqliteNoDigest(StateMachine[Any, Any]):
    """A table without an order that matters, and no digest."""

    commands = attrs_commands(Set | Get | Delete)

    def __init__(self) -> None:
        self.db: Any = in_memory(check_same_thread=True)
        self.db.row_factory = sqlite3.Row
        self.db.execute("CREATE TABLE kv (k TEXT PRIMARY KEY, v TEXT)")

    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            self.db.execute(
                "INSERT INTO kv VALUES (?, ?) ON CONFLICT DO UPDATE SET v = excluded.v", (command.key, command.value)
            )
            return None
        if isinstance(command, Get):
            return [tuple(r) for r in self.db.execute("SELECT v FROM kv WHERE k = ?", (command.key,)).fetchall()]
        return self.db.execute("DELETE FROM kv WHERE k = ?", (command.key,)).rowcount

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([tuple(r) for r in self.db.execute("SELECT * FROM kv ORDER BY k")]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.db.execute("DELETE FROM kv")
        self.db.executemany("INSERT INTO kv VALUES (?, ?)", json.loads(await join(chunks)))


@right(JOBS)
class BoundedRight(BoundLost):
    def snapshot(self) -> Iterable[bytes]:
        taken = list(self.queue)
        return (base64.b64encode(j.encode()) + b"\n" for j in taken)

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.queue = deque(
            (base64.b64decode(line).decode() for line in (await join(chunks)).split(b"\n")[:-1]), maxlen=50
        )
