"""Readers at one node of raft_actors, beside writers if asked; and what a new leader answers right after a failover."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any

import trio

from benchmarks.latencies import pack
from benchmarks.workers.machines import KEY_BYTES
from benchmarks.workers.wire import Reply, Request, Window, clock, payload_of
from raft_actors import (
    BoundedStale,
    Lease,
    Linearizable,
    Local,
    Node,
    ReadLevel,
    ReadYourWrites,
    RoleName,
    StateMachine,
)

_LEVELS: dict[str, Callable[[Node[Any]], ReadLevel]] = {
    "linearizable": lambda _: Linearizable(),
    "lease": lambda _: Lease(),
    "bounded": lambda _: BoundedStale(seconds=1.0),
    "own writes": lambda node: ReadYourWrites(node.read_token()),
    "local": lambda _: Local(),
}
LEVELS = tuple(_LEVELS)
_POLL_S = 0.0005


def _look(machine: Any) -> int:
    """The query: how many commands were applied."""
    count: int = machine.count
    return count


class _Due:
    """When reads were due that have not begun: so many for each write. With none for a write, one is due always."""

    def __init__(self, reads_per_write: int) -> None:
        self._each = reads_per_write
        self._times = deque[float]()
        self._came = trio.lowlevel.ParkingLot()

    def wrote(self) -> None:
        """A write is done."""
        if self._each:
            self._times.extend([clock()] * self._each)
            self._came.unpark(count=self._each)

    async def wait(self) -> float:
        """Wait for one, and take it."""
        while self._each and not self._times:
            await self._came.park()
        return self._times.popleft() if self._each else clock()


async def read(node: Node[StateMachine[bytes, int]], request: Request) -> Reply:
    """Have readers read and writers write, over and over; or nine reads for a write, and writes by the clock."""
    window, writes, payload = Window.of(request), Window.of(request), payload_of(request)
    make_level, writers = _LEVELS[request["level"]], request["writers"]
    reads_per_write, writes_per_s = request.get("reads_per_write", 0), request.get("writes_per_s", 0.0)
    due = _Due(reads_per_write)

    async def reader() -> None:
        level = make_level(node)
        while True:
            started = await due.wait()
            await node.read(_look, level)
            if not window.count(started, 1):
                return

    async def writer(number: int) -> None:
        started = clock() + (number / writes_per_s if writes_per_s else 0.0)
        while True:
            if writes_per_s:
                await trio.sleep(max(0.0, started - clock()))
            await node.propose(payload)
            due.wrote()
            if not writes.count(started, 1):
                return
            started = started + writers / writes_per_s if writes_per_s else clock()

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as writing:
            for _ in range(request["readers"]):
                nursery.start_soon(reader)
            for number in range(writers):
                writing.start_soon(writer, number)
        if reads_per_write:
            nursery.cancel_scope.cancel()  # no write comes that they could wait for
    done = writes.commits / (writes.ends - writes.begins)
    result = await trio.to_thread.run_sync(window.result)
    return {**result, "writes_per_s": done, "write_latencies": pack(writes.latencies)}


async def read_after_failover(node: Node[StateMachine[bytes, int]], request: Request) -> Reply:
    """Wait until this node leads; then ask a new read each millisecond while the old lease may run, and see how many
    are answered before it has ended. Each is about a key of its own.
    """
    while node.status().role is not RoleName.LEADER:  # noqa: ASYNC110 - an event comes when the next step has ended
        await trio.sleep(_POLL_S)
    began = clock()
    ends = began + request["lease_s"]
    asked = answered = 0
    wrote_after_s = 0.0

    async def reader() -> None:
        nonlocal answered
        await node.read(_look, Lease(), keys=(os.urandom(KEY_BYTES),))
        answered += clock() < ends

    async def writer() -> None:
        nonlocal wrote_after_s
        await node.propose(b"first")
        wrote_after_s = clock() - began

    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer)
        while clock() < ends - request["margin_s"]:
            asked += 1
            nursery.start_soon(reader)
            await trio.sleep(0.001)
    return {"asked": asked, "answered": answered, "wrote_after_s": wrote_after_s}
