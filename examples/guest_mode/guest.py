"""What an asyncio application needs to own a node: start, propose, read, stop, each awaitable there."""

from __future__ import annotations

import asyncio  # noqa: TID251 - the host's, in which Trio is a guest
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, TypeVar

import outcome
import trio

from raft_actors import Node, NodeStopped, StateMachine

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")
M = TypeVar("M", bound=StateMachine[Any, Any])
M_co = TypeVar("M_co", bound=StateMachine[Any, Any], covariant=True)


class GuestNode(Generic[M_co]):
    """A node, from asyncio's side: in the same thread, so no call changes threads. Made by `open_guest_node`."""

    def __init__(self, node: Node[M_co], nursery: trio.Nursery) -> None:
        self._node = node
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()

    async def propose(self: GuestNode[StateMachine[C, R]], command: C) -> R:
        """As `Node.propose`. Cancelling the asyncio task cancels the wait."""
        return await self._run(lambda: self._node.propose(command))

    async def read(self, query: Callable[[M_co], T]) -> T:
        """As `Node.read`."""
        return await self._run(lambda: self._node.read(query))

    async def wait_leader(self) -> str:
        """As `Node.wait_leader`."""
        return await self._run(self._node.wait_leader)

    async def _run(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run it as a task of Trio's, and wait for it in a task of asyncio's.

        Raises:
            NodeStopped: the node has ended, or ended meanwhile, which cancels Trio's task.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        scope = trio.CancelScope()

        async def task() -> None:
            with scope:
                try:
                    result = await function()
                except Exception as error:  # noqa: BLE001 - the caller's, on the other side
                    if not answer.done():
                        answer.set_exception(error)
                else:
                    if not answer.done():
                        answer.set_result(result)
                finally:
                    stopped()

        def stopped() -> None:
            if not answer.done():
                answer.set_exception(NodeStopped(self._node.node_id))

        def start() -> None:
            try:
                self._nursery.start_soon(task)
            except RuntimeError:  # the nursery has ended; an error that leaves here would end all of Trio
                stopped()

        try:
            self._token.run_sync_soon(start)
        except trio.RunFinishedError:
            stopped()
        try:
            return await answer
        except asyncio.CancelledError:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(scope.cancel)
            raise


@asynccontextmanager
async def open_guest_node(
    open_it: Callable[[], AbstractAsyncContextManager[Node[M]]],
) -> AsyncGenerator[GuestNode[M], None]:
    """Start Trio as a guest, open a node in it, and close both at the end of the block, also when that is cancelled.

    `open_it` is called in Trio: `lambda: open_node("n1", …)`. What ended the node is raised here.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[GuestNode[M]] = loop.create_future()
    ended: asyncio.Future[outcome.Outcome[None]] = loop.create_future()
    scope = trio.CancelScope()

    async def guest() -> None:
        async with open_it() as node:
            with scope:  # inside of the node's block: cancelled from outside, it would not hand leadership over
                async with trio.open_nursery() as nursery:
                    ready.set_result(GuestNode(node, nursery))
                    await trio.sleep_forever()

    trio.lowlevel.start_guest_run(
        guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=ended.set_result
    )
    try:
        first: list[asyncio.Future[Any]] = [ready, ended]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            yield ready.result()
    finally:
        scope.cancel()
        await _outlast(ended)  # noqa: ASYNC102 - the host's loop has no cancel scopes


async def _outlast(ended: asyncio.Future[outcome.Outcome[None]]) -> None:
    """Wait for the guest whatever happens to this task, for one that is left alone never closes its node. Then raise
    what ended it; else be cancelled, if that was asked for meanwhile.
    """
    cancelled: asyncio.CancelledError | None = None
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError as error:  # noqa: ASYNC103 - raised below
            cancelled = error  # noqa: ASYNC104
    ended.result().unwrap()
    if cancelled is not None:
        raise cancelled
