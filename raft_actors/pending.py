"""A result that one task will wait for and another will bring."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import trio

from raft_actors.errors import InternalError

T = TypeVar("T")


class Pending(Generic[T]):
    """A one-shot slot: `resolve` or `fail` fills it once, `wait` gives what it was filled with.

    Cheaper than an event and a variable: the waiting task is parked and rescheduled by hand, because every proposal
    needs one. A waiter that is cancelled just goes; filling the slot later is harmless.
    """

    # Plain slots and no outcome object: while thousands wait, each object that the garbage collector has to look at
    # counts.
    __slots__ = ("_error", "_task", "_value", "done")

    def __init__(self) -> None:
        self.done = False
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
        self.done = True
        task = self._task
        if task is not None:
            self._task = None
            trio.lowlevel.reschedule(task)

    @trio.lowlevel.enable_ki_protection
    async def wait(self) -> T:
        """Wait until it is filled; return the value or raise the error. For one task at a time.

        Raises:
            InternalError: another task waits already.
        """
        if not self.done:
            if self._task is not None:
                raise InternalError("two tasks wait for one pending result")
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abandon)
            if not self.done:
                raise InternalError("a waiter was woken before its result came")
        else:
            await trio.lowlevel.checkpoint()
        return self.result_nowait()

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

    def _abandon(self, _raise_cancel: Any) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED
