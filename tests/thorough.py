"""How often tests with seeds or rounds go through them: a part each time, all of them by `make test-thorough`."""

from __future__ import annotations

import os

THOROUGH: bool = os.environ.get("THOROUGH", "") not in {"", "0"}


def rounds(count: int, usually: int | None = None) -> int:
    """How many of `count` rounds, or seeds, to go through.

    Args:
        count: all of them, for who has the time.
        usually: how many where tests are run after every change; half of them, rounded up, unless it is said.
    """
    if THOROUGH:
        return count
    return (count + 1) // 2 if usually is None else usually
