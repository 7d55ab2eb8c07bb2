"""What a simulated cluster ends with when something is wrong."""

from __future__ import annotations


class CheckFailed(AssertionError):
    """A simulated cluster did what it never may, or not in time what it must. The text names the seed.

    Attributes:
        broken: the name of what does not hold.
    """

    def __init__(self, text: str, broken: str = "") -> None:
        super().__init__(text)
        self.broken = broken
