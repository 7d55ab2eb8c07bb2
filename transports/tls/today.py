"""The calendar's time, by which certificates are valid. Nothing else goes by it: it jumps."""

from __future__ import annotations

import time

DAY_S = 86_400.0


def now_s() -> float:
    """Seconds since 1970."""
    return time.time()


def date_of(seconds: float) -> str:
    """The date and time, UTC, of a moment in seconds since 1970."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
