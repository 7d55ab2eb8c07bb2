"""Queues of jobs, each kind with one mistake; `Jobs` itself has none."""

from __future__ import annotations

import heapq
import json
import pickle
import queue
import random
import secrets
import struct
from collections import defaultdict, deque
from collections.abc import AsyncIterable, Iterable
from datetime import datetime
from typing import Any

import attrs

from raft_actors import StateMachine, attrs_commands
from tests.state_machines.kept_apart.base import broken, join, right


@attrs.frozen
class Push:
    job: str
    priority: int = 0


@attrs.frozen
class Pop:
    worker: str


JOBS = [
    Push("a", 2),
    Push("b", 1),
    Push("c", 2),
    Pop("w1"),
    Push("d", 2),
    Push("e"),
    Pop("w2"),
    Pop("w1"),
    Push("a"),
    Pop("w3"),
    Push("z", 1),
]


@right(JOBS)
class Jobs(StateMachine[Any, Any]):
    commands = attrs_commands(Push | Pop)

    def __init__(self) -> None:
        self.heap: Any = []
        self.n = 0

    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            self.n += 1
            heapq.heappush(self.heap, (command.priority, self.n, command.job))
            return len(self.heap)
        return heapq.heappop(self.heap)[2] if self.heap else None

    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps((self.heap, self.n))]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.heap, self.n = pickle.loads(await join(chunks))


@broken(JOBS)
class TieCounterReset(Jobs):
    def snapshot(self) -> Iterable[bytes]:
        return [pickle.dumps(self.heap)]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.heap = pickle.loads(await join(chunks))
        self.n = 0


@broken(JOBS)
class TiesById(Jobs):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            heapq.heappush(self.heap, (command.priority, id(command), command.job))
            return len(self.heap)
        return heapq.heappop(self.heap)[2] if self.heap else None


@broken(JOBS)
class DrainsQueue(StateMachine[Any, Any]):
    commands = attrs_commands(Push | Pop)

    def __init__(self) -> None:
        self.queue: Any = queue.Queue()

    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            self.queue.put(command.job)
            return self.queue.qsize()
        return self.queue.get_nowait() if self.queue.qsize() else None

    def snapshot(self) -> Iterable[bytes]:
        jobs = []
        while not self.queue.empty():
            jobs.append(self.queue.get())
        return [json.dumps(jobs).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.queue = queue.Queue()
        for j in json.loads(await join(chunks)):
            self.queue.put(j)


@broken(JOBS)
class BoundLost(StateMachine[Any, Any]):
    commands = attrs_commands(Push | Pop)

    def __init__(self) -> None:
        self.queue: Any = deque(maxlen=50)

    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            self.queue.append(command.job)
            return len(self.queue)
        return self.queue.popleft() if self.queue else None

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(list(self.queue)).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.queue = deque(json.loads(await join(chunks)))


@broken(JOBS)
class LengthInAByte(StateMachine[Any, Any]):
    commands = attrs_commands(Push | Pop)

    def __init__(self) -> None:
        self.log: Any = []

    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            self.log.append(command.job)
        return len(self.log)

    def snapshot(self) -> Iterable[bytes]:
        return [struct.pack(">B", len(self.log)), *(struct.pack(">B", len(j)) + j.encode() for j in self.log)]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        data = await join(chunks)
        self.log, at = [], 1
        while len(self.log) < data[0]:
            self.log.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]


@broken(JOBS)
class PopsFromASet(StateMachine[Any, Any]):
    commands = attrs_commands(Push | Pop)

    def __init__(self) -> None:
        self.free: Any = set()

    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            self.free.add(command.job)
            return len(self.free)
        return self.free.pop() if self.free else None

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(sorted(self.free)).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.free = set(json.loads(await join(chunks)))


@broken(JOBS)
class PopsIntsFromASet(StateMachine[Any, Any]):
    """Sets of ints have no hash seed; their order depends on what was there before."""

    commands = attrs_commands(Push | Pop)

    def __init__(self) -> None:
        self.free: Any = set()
        self.n = 0

    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            self.n += 7
            self.free.add(self.n * (1 + command.priority))
            return self.n
        return self.free.pop() if self.free else None

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.n, sorted(self.free)]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.n, f = json.loads(await join(chunks))
        self.free = set(f)


@broken(JOBS)
class SeededGenerator(Jobs):
    """Draws by a generator with a fixed seed, whose state no snapshot has."""

    def __init__(self) -> None:
        super().__init__()
        self.rng: Any = random.Random(42)

    def apply(self, command: Any) -> Any:
        if isinstance(command, Pop) and self.heap:
            return self.heap.pop(self.rng.randrange(len(self.heap)))[2]
        return super().apply(command)


@broken(JOBS)
class GlobalRandom(Jobs):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Pop) and self.heap:
            return random.choice(self.heap)[2]  # noqa: TID251 - the mistake
        return super().apply(command)


@broken(JOBS)
class LeaseTokens(Jobs):
    def apply(self, command: Any) -> Any:
        r = super().apply(command)
        return (r, secrets.token_hex(4)) if isinstance(command, Pop) else r


@broken(JOBS)
class LocalTime(Jobs):
    def apply(self, command: Any) -> Any:
        r = super().apply(command)
        return (r, datetime.fromtimestamp(1_700_000_000 + self.n).isoformat()) if isinstance(command, Pop) else r


@broken(JOBS)
class TiesBySet(Jobs):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            return super().apply(command)
        if not self.heap:
            return None
        best = min(p for p, _, _ in self.heap)
        job = next(iter({j for p, _, j in self.heap if p == best}))
        self.heap = [e for e in self.heap if e[2] != job]
        heapq.heapify(self.heap)
        return job


@broken(JOBS)
class DefaultdictLost(StateMachine[Any, Any]):
    commands = attrs_commands(Push | Pop)

    def __init__(self) -> None:
        self.by: Any = defaultdict(list)

    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            self.by[str(command.priority)].append(command.job)
            return len(self.by[str(command.priority)])
        for p in sorted(self.by):
            if self.by[p]:
                return self.by[p].pop(0)
        return None

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps(self.by).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.by = json.loads(await join(chunks))


@broken(JOBS)
class TuplesBecomeLists(Jobs):
    def apply(self, command: Any) -> Any:
        if isinstance(command, Pop):
            return heapq.heappop(self.heap) if self.heap else None
        return super().apply(command)

    def snapshot(self) -> Iterable[bytes]:
        return [json.dumps([self.heap, self.n]).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.heap, self.n = json.loads(await join(chunks))


@broken(JOBS)
class ForgetsRunning(Jobs):
    """Who works on what is in no snapshot: a worker may take a second job after a restart."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: Any = {}

    def apply(self, command: Any) -> Any:
        if isinstance(command, Push):
            return super().apply(command)
        if command.worker in self.busy:
            return self.busy[command.worker]
        self.busy[command.worker] = super().apply(command)
        return self.busy[command.worker]
