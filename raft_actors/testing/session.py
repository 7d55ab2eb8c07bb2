"""A Trio program that is carried on call by call from plain synchronous code, and stands still in between.

Hypothesis runs a state machine's rules one after the other as plain functions, while a cluster lives in one Trio run.
So the run is a guest of the caller's (Trio's guest mode): its steps are taken while a call waits for its result, in the
caller's thread, and no time passes for it otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

import trio
from outcome import Error, Outcome

from raft_actors.actors.one_error import one_error
from raft_actors.errors import ConfigurationError
from raft_actors.testing.event_queue import SimulationClock

T = TypeVar("T")
R = TypeVar("R")


class Session(Generic[T]):
    """An asynchronous context that is open until `close`, under a simulated clock of its own."""

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        """Open the context.

        Raises:
            BaseException: what kept it from opening.
        """
        self._context = context
        self._value: T | None = None
        self._ticks: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._job: Callable[[T], Awaitable[Any]] | None = _nothing
        self._result: Any = None
        self._ending = False
        self._scope = trio.CancelScope()
        self._over = False
        self._error: BaseException | None = None
        trio.lowlevel.start_guest_run(
            self._run,
            run_sync_soon_threadsafe=self._ticks.put,
            done_callback=self._end,
            clock=SimulationClock(),
        )
        self._go_on()

    @property
    def value(self) -> T:
        """What the context gave."""
        return cast("T", self._value)

    @property
    def over(self) -> bool:
        """Whether it can't be called any more."""
        return self._over

    def call(self, job: Callable[[T], Awaitable[R]]) -> R:
        """Have a job done with what the context gave, and return its result.

        Raises:
            BaseException: what the job, or anything else in the context, raised. The session is over then.
            ConfigurationError: it was over before.
        """
        if self._over:
            raise ConfigurationError("the session is over")
        self._job = job
        self._go_on()
        result: R = self._result
        return result

    def close(self) -> None:
        """Leave the context as at the end of its block; nothing happens where the session is over.

        Raises:
            BaseException: what leaving it raised.
        """
        if not self._over:
            self._ending = True
            self._go_on()

    def abandon(self) -> None:
        """Cancel whatever goes on in it, and leave it. Nothing is raised."""
        if not self._over:
            self._scope.cancel()
            self._ending = True
            self._take_steps()
            self._error = None

    def _take_steps(self) -> None:
        """Go on until the job is done, or all is."""
        while not self._over and (self._job is not None or self._ending):
            self._ticks.get()()

    def _go_on(self) -> None:
        self._take_steps()
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _end(self, result: Outcome[None]) -> None:
        self._over = True
        if isinstance(result, Error) and not self._scope.cancelled_caught:
            self._error = one_error(result.error)

    async def _run(self) -> None:
        with self._scope:
            async with self._context as value:
                self._value = value
                while not self._ending:
                    if self._job is not None:
                        self._result = await self._job(value)
                        self._job = None
                    # Ready at every step, so that the clock does not move while nothing was asked.
                    await trio.lowlevel.checkpoint()


async def _nothing(_value: object) -> None: ...
