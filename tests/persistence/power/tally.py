"""What crashes and failures found."""

from __future__ import annotations

import attrs


class Violated(Exception):
    """The storage broke its word."""


@attrs.define
class Tally:
    """What was tried, and what came of it.

    Attributes:
        points: writes, syncs and the like at which something was made to happen.
        reopenings: stores that were opened and read after it.
        refusals: those of them that raised a `StorageError`, where that was allowed.
        violations: one line for each.
    """

    points: int = 0
    reopenings: int = 0
    refusals: int = 0
    violations: list[str] = attrs.field(factory=list[str])

    def add(self, other: Tally) -> None:
        self.points += other.points
        self.reopenings += other.reopenings
        self.refusals += other.refusals
        self.violations += other.violations
