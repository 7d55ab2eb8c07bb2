"""Trio belongs to one thread, and a call from another one would break what it touches.

Waking a task, or filling a channel that a task waits on, from a foreign thread either does nothing (the task sleeps for
ever) or corrupts the run. Trio notices most such calls, but too late: what was changed first stays changed. So whoever
may be called from outside looks first. A look costs one call of `threading.get_ident`.
"""

from __future__ import annotations

from threading import get_ident

import trio

from raft_actors.errors import UsageError

NOT_IN_TRIO = (
    "raft_actors runs on Trio, and this call was made outside of it (by asyncio, or by no event loop): make it from a "
    "task under trio.run; frameworks have a setting: backend='trio' in anyio, worker_class='trio' in hypercorn"
)


def current_task() -> trio.lowlevel.Task:
    """The Trio task that calls.

    Raises:
        UsageError: it is none.
    """
    try:
        return trio.lowlevel.current_task()
    except RuntimeError:
        raise UsageError(NOT_IN_TRIO) from None


class HomeThread:
    """The thread that an object lives on, from the moment when its life begins.

    Attributes:
        owner: what lives here, as errors name it.
        ident: the thread; 0 before the life begins.
    """

    __slots__ = ("ident", "owner")

    def __init__(self, owner: str) -> None:
        self.owner: str = owner
        self.ident: int = 0

    def settle(self) -> None:
        """The life begins, here."""
        self.ident = get_ident()

    def check(self) -> None:
        """Pass on the home thread, and anywhere before the life begins.

        A guest run's host callbacks are on that thread, too, and may make every call that does not wait.

        Raises:
            UsageError: this is another thread.
        """
        if self.ident and get_ident() != self.ident:
            raise self.elsewhere()

    def elsewhere(self) -> UsageError:
        """The error for calls from another thread."""
        return UsageError(
            f"{self.owner} lives on another thread, where Trio runs, and can't be called from this one: from a worker "
            "thread that Trio started use trio.from_thread.run or run_sync, from any other give them the trio_token"
        )
