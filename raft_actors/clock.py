"""A node's clock: what tells it the time and wakes it.

Production nodes use Trio's own. A simulation gives each node one that runs at its own rate, jumps, or stands still.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio


@attrs.frozen
class NodeClock:
    """The time as one node knows it, in seconds. Only differences count; it never runs backwards.

    Attributes:
        now: tells the time.
        sleep_until: waits until it is this time or later.
    """

    now: Callable[[], float] = trio.current_time
    sleep_until: Callable[[float], Awaitable[None]] = trio.sleep_until
