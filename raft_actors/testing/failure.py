"""What a simulated cluster ends with when something is wrong."""

from __future__ import annotations

from raft_actors.testing.hash_seed import VARIABLE, hash_seed


class CheckFailed(AssertionError):
    """A simulated cluster did what it never may, or not in time what it must. The text names the seed.

    Attributes:
        broken: the name of what does not hold.
    """

    def __init__(self, text: str, broken: str = "") -> None:
        super().__init__(text)
        self.broken = broken


def check_failed(seed: int, at_s: float, text: str) -> CheckFailed:
    """An error that says in which run it came about, and when in the cluster's own time."""
    broken = "crash" if " crashed: " in text else text.partition(":")[0].partition(" (")[0]
    known = hash_seed()
    hashed = "" if known is None else f" ({VARIABLE}={known})"
    failed = CheckFailed(f"seed {seed}{hashed}, at {at_s:.3f} s: {text}", broken)
    if known is None:
        failed.add_note(
            f"{VARIABLE} was not set: a state machine that iterates over a set of strings may do otherwise next time"
        )
    return failed
