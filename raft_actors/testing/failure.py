"""What a simulated cluster ends with when something is wrong."""

from __future__ import annotations


class CheckFailed(AssertionError):
    """A simulated cluster did what it never may, or not in time what it must. The text names the seed."""
