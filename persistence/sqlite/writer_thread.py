"""One thread that does a storage's blocking work, in order, for Trio tasks that wait parked.

`trio.to_thread.run_sync` would do, at two to three times the latency: it takes a limiter, a thread from a cache, and
several wake-ups. Here a task puts its work on a `SimpleQueue` and parks; the thread answers with
`TrioToken.run_sync_soon`, whose callback reschedules the task.

What happens to a waiting task that is cancelled: it goes on at once, whatever the disk does. Its work stays queued and
is still carried out, in its turn. The answer then finds that nobody waits, and is dropped: both the cancellation and
the answer's callback run in Trio's thread, so they can't race.

The thread is a daemon: a disk that hangs for ever keeps neither a cancellation nor the interpreter's exit waiting.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

import attrs
import outcome
import trio
from typing_extensions import override

from raft_actors.actors.pending import wake
from raft_actors.errors import InternalError, StorageFailed
from raft_actors.persistence.abc import Announced
from raft_actors.records import define

T = TypeVar("T")

#: How long `WriterThread.wait_ended` lets the thread, which has then done all its work, take to vanish.
_JOIN_S = 1.0


class Upkeep(Protocol):
    """What the thread does on its own between the pieces of work that it is given."""

    def between(self) -> float | None:
        """Called after each piece of work. Returns after how many idle seconds to call `idle`; None: not at all."""

    def idle(self) -> float | None:
        """Called when no work came for that long; returns the same."""

    def close(self) -> None:
        """Called once, as the last thing."""


@define(eq=False)
class Call(Announced[T]):
    """A piece of work that the thread was given: await it for what the work returns or raises, once.

    Cancelled, the wait ends at once, and the work is carried out all the same.
    """

    work: Callable[[], T]
    _result: outcome.Outcome[T] | None = None
    _task: trio.lowlevel.Task | None = None
    _callback: Callable[[outcome.Outcome[T]], None] | None = None

    @override
    def when_done(self, callback: Callable[[outcome.Outcome[T]], None]) -> None:
        self._callback = callback

    @override
    def __await__(self) -> Generator[Any, Any, T]:
        return self._wait().__await__()

    @trio.lowlevel.enable_ki_protection
    async def _wait(self) -> T:
        if self._result is None:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abandon)
        else:
            await trio.lowlevel.checkpoint()
        if self._result is None:
            raise InternalError("a storage's caller was woken before its answer came")
        return self._result.unwrap()

    def answer(self, result: outcome.Outcome[T]) -> None:
        """Call back, or wake the task that waits, if one does. In Trio's thread."""
        self._result = result
        if self._callback is not None:
            self._callback(result)
        elif self._task is not None:
            task, self._task = self._task, None
            wake(task)

    def _abandon(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


@define(eq=False)
class _End:
    error: BaseException | None = None
    event: trio.Event = attrs.field(factory=trio.Event)

    def report(self, result: outcome.Outcome[None]) -> None:
        self.error = result.error if isinstance(result, outcome.Error) else None
        self.event.set()


class WriterThread:
    """Carries out work for Trio tasks on a daemon thread of its own. Made in Trio's thread."""

    def __init__(self, name: str, upkeep: Upkeep) -> None:
        self._queue: SimpleQueue[Call[Any] | None] = SimpleQueue()
        self._end = _End()
        self._stopping = False
        token = trio.lowlevel.current_trio_token()
        self._thread = threading.Thread(
            target=_main, args=(self._queue, token, upkeep, self._end), name=name, daemon=True
        )
        self._thread.start()
        # The thread doesn't refer to this object: when somebody forgets it unclosed, the thread is told to end, and
        # what it holds (a locked file) is free again. Not at exit, where a daemon thread just stops.
        weakref.finalize(self, self._queue.put, None).atexit = False

    def begin(self, work: Callable[[], T]) -> Call[T]:
        """Have `work` carried out after all that was asked before; await the returned call for what it does."""
        if self._stopping:
            raise StorageFailed(f"{self._thread.name} is closed")
        call = Call(work)
        self._queue.put(call)
        return call

    async def run(self, work: Callable[[], T]) -> T:
        """Carry out `work` after all that was asked before, and return or raise what it does.

        Cancelled, it raises `Cancelled` at once, and `work` is carried out all the same.
        """
        return await self.begin(work)

    def post(self, work: Callable[[], object]) -> None:
        """Have `work` carried out in its turn, without waiting for it or hearing of its end."""
        if not self._stopping:
            self._queue.put(Call(work))

    def stop(self) -> None:
        """Let the thread end once all that was asked before is done. May be called again."""
        if not self._stopping:
            self._stopping = True
            self._queue.put(None)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    @property
    def has_ended(self) -> bool:
        """Whether the thread has done its last work."""
        return self._end.event.is_set()

    async def wait_ended(self) -> None:
        """Wait until the thread has done its last work and is gone; raises what closing raised."""
        await self._end.event.wait()
        self._thread.join(_JOIN_S)  # nothing is left for it to do but to return
        if self._end.error is not None:
            raise self._end.error


def _main(
    queue: SimpleQueue[Call[Any] | None],
    token: trio.lowlevel.TrioToken,
    upkeep: Upkeep,
    end: _End,
) -> None:
    """The thread: until told to stop, or until nobody is left to answer."""
    idle_after_s: float | None = None
    try:
        while True:
            try:
                call = queue.get(timeout=idle_after_s)
            except Empty:
                idle_after_s = upkeep.idle()
                continue
            if call is None:
                break
            result = outcome.capture(call.work)
            token.run_sync_soon(call.answer, result)
            del call, result  # what they hold must not live until the next call comes
            idle_after_s = upkeep.between()
        token.run_sync_soon(end.report, outcome.capture(upkeep.close))
    except trio.RunFinishedError:
        # Trio ended and left us behind: what is still queued, nobody waits for.
        outcome.capture(upkeep.close)
