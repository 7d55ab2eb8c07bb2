"""Who may call a node: tasks of its Trio run, a guest run's host; nobody else, and nothing is touched then."""

from __future__ import annotations

import queue
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import outcome
import pytest
import trio

from raft_actors import Node, RoleName, UsageError, open_node, run_node
from raft_actors.actors.actor import Mailbox
from tests.actors.machines import Machine
from tests.embedding.support import arguments, make_node


@pytest.fixture
async def node() -> AsyncIterator[Node[Machine]]:
    async with open_node("n1", **arguments()) as opened:
        await opened.wait_leader()
        yield opened


def step(waiting: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine as far as another event loop would before it meets its first yield."""
    try:
        waiting.send(None)
    finally:
        waiting.close()


def enter(manager: AbstractAsyncContextManager[Any]) -> None:
    step(manager.__aenter__())


NOWAIT: dict[str, Callable[[Node[Machine]], Any]] = {
    "propose_nowait": lambda node: node.propose_nowait(b"x"),
    "status": lambda node: node.status(),
    "statistics": lambda node: node.statistics(),
    "events": lambda node: node.events(),
}
WAITING: dict[str, Callable[[Node[Machine]], Any]] = {
    "propose": lambda node: step(node.propose(b"x")),
    "propose_many": lambda node: step(node.propose_many([b"x"])),
    "propose no commands": lambda node: step(node.propose_many([])),
    "read": lambda node: step(node.read(lambda machine: machine)),
    "wait_leader": lambda node: step(node.wait_leader()),
    "wait_applied": lambda node: step(node.wait_applied(1)),
    "take_snapshot": lambda node: step(node.take_snapshot()),
    "applied": lambda node: enter(node.applied()),
    "open_snapshot": lambda node: enter(node.open_snapshot()),
    "aclose": lambda node: step(node.aclose()),
    "run": lambda node: step(node.run()),
}


@pytest.mark.parametrize("call", NOWAIT | WAITING)
async def test_another_thread_is_refused_and_the_node_goes_on(node: Node[Machine], call: str) -> None:
    with pytest.raises(UsageError, match=r"node 'n1' lives on another thread.*from_thread|runs on Trio"):
        await trio.to_thread.run_sync((NOWAIT | WAITING)[call], node)
    with trio.fail_after(5):
        assert await node.propose(b"after") == "result of after"
        assert await node.read(lambda machine: machine.commands_applied) == [b"after"]


@pytest.mark.parametrize("call", WAITING)
async def test_a_trio_run_on_another_thread_is_refused(node: Node[Machine], call: str) -> None:
    async def elsewhere() -> None:
        WAITING[call](node)

    if call != "run":  # refused as well, but as a node that was run before
        with pytest.raises(UsageError, match="node 'n1' lives on another thread"):
            await trio.to_thread.run_sync(trio.run, elsewhere)
    with trio.fail_after(5):
        assert await node.propose(b"after") == "result of after"


async def test_what_a_node_gave_is_refused_on_another_thread_too(node: Node[Machine]) -> None:
    pending = node.propose_nowait(b"x")
    async with node.events() as events, node.applied() as log:
        for wait in (pending.wait, events.receive, log.receive):
            with pytest.raises(UsageError, match="lives on another thread"):
                await trio.to_thread.run_sync(trio.run, wait)
        with pytest.raises(UsageError, match="lives on another thread"):
            await trio.to_thread.run_sync(events.receive_nowait)
        with trio.fail_after(5):
            assert await pending.wait() == "result of x"
            await events.receive()
            await log.receive()


async def test_a_worker_thread_reaches_the_node_as_the_error_says(node: Node[Machine]) -> None:
    assert await trio.to_thread.run_sync(lambda: trio.from_thread.run(node.propose, b"x")) == "result of x"
    assert await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(node.status)) == node.status()


async def test_a_mailbox_whose_reader_waits_is_not_lost_to_another_thread() -> None:
    mailbox: Mailbox[int] = Mailbox(name="m", capacity=1)
    mailbox.home.settle()
    async with trio.open_nursery() as nursery:
        received: list[int] = []

        @nursery.start_soon
        async def _() -> None:
            received.append(await mailbox.receive())

        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(UsageError, match="m lives on another thread"):
            await trio.to_thread.run_sync(mailbox.tell, 1)
        mailbox.tell(2)
    assert received == [2]


@pytest.mark.parametrize("call", WAITING)
def test_another_event_loop_is_told_that_trio_is_needed(call: str) -> None:
    with pytest.raises(UsageError, match=r"runs on Trio.*by asyncio.*under trio\.run"):
        WAITING[call](make_node())


def test_opening_under_another_event_loop_says_that_trio_is_needed() -> None:
    with pytest.raises(UsageError, match="runs on Trio"):
        enter(open_node("n1", **arguments()))
    with pytest.raises(UsageError, match="runs on Trio"):
        step(run_node("n1", **arguments()))


@pytest.mark.parametrize("call", [name for name in NOWAIT | WAITING if name not in ("run", "aclose")])
async def test_a_node_that_was_never_run_says_so(call: str) -> None:
    with pytest.raises(UsageError, match=r"node 'n1' has not been run: start it by"):
        (NOWAIT | WAITING)[call](make_node())


def test_a_guest_runs_host_may_make_every_call_that_does_not_wait() -> None:
    todo: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
    ended: list[outcome.Outcome[None]] = []
    opened: list[Node[Machine]] = []
    leave = trio.Event()

    async def main() -> None:
        async with open_node("n1", **arguments()) as node:
            await node.wait_leader()
            opened.append(node)
            await leave.wait()

    trio.lowlevel.start_guest_run(main, run_sync_soon_threadsafe=todo.put, done_callback=ended.append)
    while not opened:
        todo.get(timeout=10)()
    (node,) = opened
    assert node.status().role is RoleName.LEADER
    assert node.statistics().pending_proposals == 0
    pending = node.propose_nowait(b"from the host")
    for call in ("propose", "aclose"):
        with pytest.raises(UsageError, match="runs on Trio"):
            WAITING[call](node)
    while not pending.done:
        todo.get(timeout=10)()
    assert pending.result_nowait() == "result of from the host"
    leave.set()
    while not ended:
        todo.get(timeout=10)()
    ended[0].unwrap()
