"""A result that one task will wait for and another will bring."""

from __future__ import annotations

import types
from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import Any, Generic, TypeVar

import outcome
import trio
from typing_extensions import override

from raft_actors.errors import InternalError

T = TypeVar("T")
S = TypeVar("S")


class _Woken(outcome.Outcome[None]):
    """What a task that was woken gets from its wait: nothing. It holds no state, so one serves all: Trio's own would
    be made, and marked as used, for every wait.
    """

    __slots__ = ()

    @override
    def unwrap(self) -> None:
        return None

    @override
    def send(self, gen: Generator[S, None, object]) -> S:
        return gen.send(None)

    @override
    async def asend(self, agen: AsyncGenerator[S, None]) -> S:
        return await agen.asend(None)


WOKEN = _Woken()


def _give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED


def _message_of_a_wait() -> Any:
    """What `trio.lowlevel.wait_task_rescheduled(_give_up)` says to Trio: always the same, as `_give_up` needs to know
    nothing of its wait.
    """
    waiting = trio.lowlevel.wait_task_rescheduled(_give_up)  # noqa: ASYNC105 - of its message alone
    message: Any = waiting.send(None)
    waiting.close()
    return message


_WAIT = _message_of_a_wait()


@types.coroutine
def _parked() -> Generator[Any, outcome.Outcome[None], None]:
    """Park this task until it is woken or cancelled: `wait_task_rescheduled(_give_up)` without the coroutine
    and the message that each call makes, which cost a proposal more than all that is looked at before it is handed in.
    """
    (yield _WAIT).unwrap()


# By a short name: every proposal is answered by it.
_reschedule = trio.lowlevel.reschedule


def wake(task: trio.lowlevel.Task) -> None:
    """Let a task go on that is parked in `trio.lowlevel.wait_task_rescheduled`."""
    _reschedule(task, WOKEN)


class Pending(Generic[T]):
    """A one-shot slot: `resolve` or `fail` fills it once, `wait` gives what it was filled with.

    Cheaper than an event and a variable: the waiting task is parked and rescheduled by hand, because every proposal
    needs one. A waiter that is cancelled just goes; filling the slot later is harmless.
    """

    # Plain slots and no outcome object: while thousands wait, each object that the garbage collector has to look at
    # counts.
    __slots__ = ("_error", "_task", "_value", "done")

    def __init__(self) -> None:
        self.done: bool = False
        """Whether it has been filled."""
        self._value: Any = None
        self._error: BaseException | None = None
        self._task: trio.lowlevel.Task | None = None

    @trio.lowlevel.enable_ki_protection
    def resolve(self, value: T) -> None:
        """Fill it with a value, and wake its waiter. Filling it again does nothing: the first outcome stands."""
        if not self.done:
            self._value = value
            self._settle()

    @trio.lowlevel.enable_ki_protection
    def fail(self, error: BaseException) -> None:
        """Fill it with an error, which `wait` raises, and wake its waiter. Filling it again does nothing."""
        if not self.done:
            self._error = error
            self._settle()

    @trio.lowlevel.enable_ki_protection
    def _settle(self) -> None:
        self._wake()

    @trio.lowlevel.enable_ki_protection
    def _wake(self) -> None:
        self.done = True
        task = self._task
        # A waiter that was cancelled meanwhile waits for something else by now, or for nothing.
        if task is not None and task.custom_sleep_data is self:
            _reschedule(task, WOKEN)

    @trio.lowlevel.enable_ki_protection
    async def wait(self) -> T:
        """Wait until it is filled; return the value or raise the error. For one task at a time.

        Raises:
            InternalError: another task waits already.
        """
        await self.until_done(trio.lowlevel.current_task())
        if not self.done:
            raise InternalError("a waiter was woken before its result came")
        return self.result_nowait()

    @trio.lowlevel.enable_ki_protection
    def until_done(self, current_task: trio.lowlevel.Task) -> Awaitable[None]:
        """Register this task as the one to wake, and return what it has to await at once: a checkpoint where it is
        filled already.

        Raises:
            InternalError: another task waits already.
        """
        if self.done:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - the caller awaits it
        task = self._task
        if task is not None and task.custom_sleep_data is self:
            raise InternalError("two tasks wait for one pending result")
        self._task = current_task
        current_task.custom_sleep_data = self  # until it is woken or cancelled, when Trio clears it
        return _parked()

    def result_nowait(self) -> T:
        """Return the value or raise the error that it was filled with; may be asked again.

        Raises:
            trio.WouldBlock: it has not been filled yet.
        """
        if not self.done:
            raise trio.WouldBlock
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value
