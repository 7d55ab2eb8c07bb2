"""The storage's thread without a thread: the same order of work, answers and upkeep, the same each time.

What a real thread does when it has waited for a while is done when `idle` is called.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

import attrs
import outcome
import trio

from raft_actors.errors import StorageFailed
from raft_actors.persistence import SqliteStorage
from raft_actors.persistence.sqlite.database import Database
from tests.persistence.inside import settle
from tests.persistence.power.simulated import SimulatedFiles

T = TypeVar("T")


@attrs.frozen
class _Answer(Generic[T]):
    """Work that was done already; await it for its result."""

    result: outcome.Outcome[T]

    def __await__(self) -> Generator[Any, Any, T]:
        return self._wait().__await__()

    async def _wait(self) -> T:
        await trio.lowlevel.checkpoint()
        return self.result.unwrap()


class InlineThread:
    """In place of `WriterThread`."""

    def __init__(self, _: str, upkeep: Database) -> None:
        self.upkeep = upkeep
        self.is_stopping = False
        self.has_ended = False
        self._end: outcome.Outcome[None] = outcome.Value(None)

    async def run(self, work: Callable[[], T]) -> T:
        return await self.begin(work)

    def begin(self, work: Callable[[], T]) -> Awaitable[T]:
        if self.is_stopping:
            raise StorageFailed("closed")
        result = outcome.capture(work)
        files = self.upkeep._files
        if isinstance(result, outcome.Value) and isinstance(files, SimulatedFiles):
            files.answered()
        self.upkeep.between()
        return _Answer(result)

    def post(self, work: Callable[[], object]) -> None:
        work()
        self.upkeep.between()

    def stop(self) -> None:
        if not self.is_stopping:
            self.is_stopping = self.has_ended = True
            self._end = outcome.capture(self.upkeep.close)

    async def wait_ended(self) -> None:
        await trio.lowlevel.checkpoint()
        self._end.unwrap()


async def idle(storage: SqliteStorage) -> None:
    """Have the storage do what it does when no work comes for long, on its own thread if it has one."""
    session = storage._session
    if session is None:
        return
    thread: object = session.thread  # which an `InlineThread` may stand in for
    if not isinstance(thread, InlineThread):
        await settle(storage)
        return
    while session.database.idle() is not None:
        pass
