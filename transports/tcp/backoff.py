"""How long to wait before a peer is dialled again."""

from __future__ import annotations

import random

import attrs

from raft_actors.records import define


@define
class Backoff:
    """How long to wait before the next attempt: twice as long each time, within bounds, less a random part.

    The random part (up to half) keeps nodes that lost each other at one moment from meeting again and again.
    """

    shortest_s: float
    longest_s: float
    rng: random.Random
    _next_s: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._next_s = self.shortest_s

    def reset(self) -> None:
        """Start over with the shortest wait."""
        self._next_s = self.shortest_s

    def next_s(self) -> float:
        """Return the seconds to wait now."""
        wait = self._next_s
        self._next_s = min(wait * 2, self.longest_s)
        return wait * self.rng.uniform(0.5, 1.0)
