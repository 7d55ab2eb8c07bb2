"""A result that one task will wait for and another will bring."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import outcome
import trio

from raft_actors.errors import InternalError

T = TypeVar("T")


class Pending(Generic[T]):
    """A one-shot slot: `resolve` or `fail` fills it once, `wait` gives what it was filled with.

    Cheaper than an event and a variable: the waiting task is parked and rescheduled by hand, because every proposal
    needs one. A waiter that is cancelled just goes; filling the slot later is harmless.
    """

    __slots__ = ("_outcome", "_task")

    def __init__(self) -> None:
        self._outcome: outcome.Outcome[T] | None = None
        self._task: trio.lowlevel.Task | None = None

    @property
    def done(self) -> bool:
        """Whether it has been filled."""
        return self._outcome is not None

    def resolve(self, value: T) -> None:
        """Fill it with a value. Filling it again does nothing: the first outcome stands."""
        self.settle(outcome.Value(value))

    def fail(self, error: BaseException) -> None:
        """Fill it with an error, which `wait` raises. Filling it again does nothing."""
        self.settle(outcome.Error(error))

    @trio.lowlevel.enable_ki_protection
    def settle(self, result: outcome.Outcome[T]) -> None:
        """Fill it with an outcome, and wake its waiter."""
        if self._outcome is not None:
            return
        self._outcome = result
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
        if self._outcome is None:
            if self._task is not None:
                raise InternalError("two tasks wait for one pending result")
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abandon)
        else:
            await trio.lowlevel.checkpoint()
        return self._unwrap()

    def _abandon(self, _raise_cancel: Any) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _unwrap(self) -> T:
        # Not unwrap(), which works only once: who has waited may ask again.
        if isinstance(self._outcome, outcome.Value):
            value: T = self._outcome.value
            return value
        if isinstance(self._outcome, outcome.Error):
            raise self._outcome.error
        raise InternalError("a waiter was woken before its result came")
