"""How children find SIGINT. Shells have it ignored for what they start in the background, and children inherit that."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigint(handler: signal.Handlers | Callable[[int, FrameType | None], object]) -> Generator[None]:
    """Start the processes of the block with SIGINT ignored (`SIG_IGN`), or with its default (any other handler).

    A handler can't be inherited: a child that is started under one begins with the default.
    """
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
