"""A Trio run of its own for a check, in a thread of its own: the caller may be inside of one, or of another loop.

What a node asks of a state machine it asks on its Trio thread. So does the check: a machine may keep what is bound to
its thread (a connection of `sqlite3`), or look at Trio's clock.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable

import trio


def run_apart(run: Callable[[], Awaitable[None]]) -> None:
    """Run an async function to its end, with the context variables of the caller; raise what it raises."""
    errors: list[BaseException] = []
    context = contextvars.copy_context()

    def target() -> None:
        try:
            context.run(trio.run, run)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - raised again, in the thread that asked
            errors.append(error)

    # A daemon, so that Ctrl-C while it is waited for ends the program.
    thread = threading.Thread(target=target, name="check of a state machine", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
