"""Caches and stores of values by key, each kind with one mistake; `Kv` itself has none."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterable, Iterable
from time import monotonic
from typing import Any

import attrs

from raft_actors import StateMachine, attrs_commands, attrs_queries
from tests.state_machines.databases import in_memory
from tests.state_machines.kept_apart.base import Json, broken, join, right


@attrs.frozen
class Set:
    key: str
    value: str
    ttl_s: int = 0


@attrs.frozen
class Get:
    key: str


@attrs.frozen
class Delete:
    key: str


KV = [
    Set("k1", "a"),
    Set("k2", "b", 60),
    Get("k1"),
    Set("k3", "c"),
    Get("k2"),
    Set("k4", "d"),
    Delete("k1"),
    Get("k9"),
    Set("k1", "e"),
    Get("k3"),
    Set("k5", "f"),
    Get("k4"),
]


@right(KV)
class Kv(Json):
    commands = attrs_commands(Set | Get | Delete)

    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            self.state[command.key] = command.value
            return None
        if isinstance(command, Get):
            return self.state.get(command.key)
        return self.state.pop(command.key, None) is not None


@broken(KV)
class ExpiresByWallClock(Kv):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            self.state[command.key] = [command.value, time.time() + command.ttl_s if command.ttl_s else None]
            return None
        if isinstance(command, Get):
            v = self.state.get(command.key)
            if v is None or (v[1] is not None and v[1] < time.time()):
                return None
            return v[0]
        return self.state.pop(command.key, None) is not None


@broken(KV)
class ThrottlesByMonotonic(Kv):
    def __init__(self) -> None:
        super().__init__()
        self.last: Any = {}

    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            now = monotonic()
            if now - self.last.get(command.key, -1e9) < 0.001:
                raise RuntimeError("too fast")
            self.last[command.key] = now
        return super().apply(command)


@broken(KV)
class LruLosesOrder(Kv):
    """Evicts the least recently used of three; the snapshot is sorted by key."""

    def empty(self) -> Any:
        return OrderedDict()

    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            self.state[command.key] = command.value
            self.state.move_to_end(command.key)
            if len(self.state) > 3:
                return self.state.popitem(last=False)[0]
            return None
        if isinstance(command, Get) and command.key in self.state:
            self.state.move_to_end(command.key)
        return super().apply(command)

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(sorted(self.state.items())).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.state = OrderedDict(json.loads(await join(chunks)))


@attrs.frozen
class Peek:
    key: str

    def __call__(self, cache: Any) -> Any:
        if cache.state.get(self.key) is None:
            return None
        cache.state.move_to_end(self.key)
        return cache.state[self.key]


@broken(KV)
class QueryTouchesLru(LruLosesOrder):
    queries = attrs_queries(Peek)

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(list(self.state.items())).encode()]


@broken(KV)
class HashesToShards(Kv):
    def empty(self) -> Any:
        return {str(i): {} for i in range(4)}

    def apply(self, command: Any) -> Any:
        shard = str(hash(command.key) % 4)
        if isinstance(command, Set):
            self.state[shard][command.key] = command.value
            return shard
        if isinstance(command, Get):
            return self.state[shard].get(command.key)
        return self.state[shard].pop(command.key, None) is not None


@broken(KV)
class TimerExpiry(Kv):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Set) and command.ttl_s:
            timer = threading.Timer(command.ttl_s, lambda: self.state.pop(command.key, None))
            timer.daemon = True
            timer.start()
        return super().apply(command)


@broken(KV)
class EmptyRestoreFails(Kv):
    """An empty snapshot is no JSON."""

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.state).encode()] if self.state else []


@broken(KV)
class KeysGivenAway(Kv):
    def apply(self, command: Any) -> Any:
        super().apply(command)
        return self.state.keys() if isinstance(command, Get) else None


@broken(KV)
class AsyncApply(Kv):
    async def apply(self, command: Any) -> Any:
        return super().apply(command)


@broken(KV)
class WatchersForgotten(Kv):
    """Versions of deleted keys go on counting, and are no part of the snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: Any = Counter()

    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            self.versions[command.key] += 1
            super().apply(command)
            return self.versions[command.key]
        return super().apply(command)


@broken(KV)
class SqliteClock(StateMachine[Any, Any]):
    commands = attrs_commands(Set | Get | Delete)

    def __init__(self) -> None:
        self.db: Any = in_memory(check_same_thread=False)
        self.db.execute(
            "CREATE TABLE kv (k TEXT PRIMARY KEY, v TEXT, at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')))"
        )

    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            self.db.execute("INSERT OR REPLACE INTO kv (k, v) VALUES (?, ?)", (command.key, command.value))
            return None
        if isinstance(command, Get):
            return self.db.execute("SELECT v FROM kv WHERE k = ?", (command.key,)).fetchone()
        return self.db.execute("DELETE FROM kv WHERE k = ?", (command.key,)).rowcount

    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps(self.db.execute("SELECT * FROM kv ORDER BY k").fetchall())]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.db.execute("DELETE FROM kv")
        self.db.executemany("INSERT INTO kv VALUES (?, ?, ?)", pickle.loads(await join(chunks)))


@broken(KV)
class SqliteRowIds(StateMachine[Any, Any]):
    """AUTOINCREMENT, whose counter the snapshot of rows does not have."""

    commands = attrs_commands(Set | Get | Delete)

    def __init__(self) -> None:
        self.db: Any = in_memory(check_same_thread=False)
        self.db.execute("CREATE TABLE kv (id INTEGER PRIMARY KEY AUTOINCREMENT, k TEXT, v TEXT)")

    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            return self.db.execute("INSERT INTO kv (k, v) VALUES (?, ?)", (command.key, command.value)).lastrowid
        if isinstance(command, Get):
            return self.db.execute("SELECT v FROM kv WHERE k = ? ORDER BY id", (command.key,)).fetchall()
        return self.db.execute("DELETE FROM kv WHERE id = (SELECT max(id) FROM kv)").rowcount

    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps(self.db.execute("SELECT * FROM kv ORDER BY id").fetchall())]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.db.close()
        SqliteRowIds.__init__(self)
        self.db.executemany("INSERT INTO kv VALUES (?, ?, ?)", pickle.loads(await join(chunks)))


@broken(KV)
class DeadlinesLost(Kv):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.until: Any = {}

    def pass_time(self, now_ms: int) -> None:
        self.now = now_ms
        for k in [k for k, t in self.until.items() if t <= now_ms]:
            self.state.pop(k, None)
            del self.until[k]

    def apply(self, command: Any) -> Any:
        if isinstance(command, Set):
            self.until.pop(command.key, None)
            if command.ttl_s:
                self.until[command.key] = self.now + 1000 * command.ttl_s
        return super().apply(command)


@broken(KV)
class CountsPassings(Kv):
    def pass_time(self, now_ms: int) -> None:
        self.state["passings"] = self.state.get("passings", 0) + 1
