"""The wall clock, for clients that say at which moment a key is to expire."""

from __future__ import annotations

import time


def unix_ms() -> int:
    """Milliseconds since 1970, by this node's clock."""
    return time.time_ns() // 1_000_000
