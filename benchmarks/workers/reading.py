"""Readers at one node of raft_actors, beside writers if asked; and what a new leader answers right after a failover."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import trio

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


async def read(node: Node[StateMachine[bytes, int]], request: Request) -> Reply:
    """Have readers read over and over, and writers write if there are any."""
    window, writes, payload = Window.of(request), Window.of(request), payload_of(request)
    make_level = _LEVELS[request["level"]]

    async def reader() -> None:
        level = make_level(node)
        while True:
            started = clock()
            await node.read(_look, level)
            if not window.count(started, 1):
                return

    async def writer() -> None:
        while True:
            started = clock()
            await node.propose(payload)
            if not writes.count(started, 1):
                return

    async with trio.open_nursery() as nursery:
        for _ in range(request["readers"]):
            nursery.start_soon(reader)
        for _ in range(request["writers"]):
            nursery.start_soon(writer)
    writes_per_s = writes.commits / (writes.ends - writes.begins)
    return {**await trio.to_thread.run_sync(window.result), "writes_per_s": writes_per_s}


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
