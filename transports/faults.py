"""What can befall a message in a simulated network."""

from __future__ import annotations

import random
from typing import Any

import attrs

from raft_actors.errors import ConfigurationError
from raft_actors.records import frozen


def _check_probability(instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigurationError(f"Faults: {attribute.name} is a probability, from 0 to 1, not {value}")


def _check_range(instance: object, attribute: attrs.Attribute[Any], value: tuple[float, float]) -> None:
    if not 0 <= value[0] <= value[1]:
        raise ConfigurationError(f"Faults: {attribute.name} is a range (least, most) of seconds, not {value}")


@frozen(kw_only=True)
class Faults:
    """Faults of messages. Probabilities are from 0 to 1, times ranges of seconds.

    Attributes:
        drop: probability that a message is lost.
        duplicate: probability that it arrives twice (each copy with a delay of its own).
        delay_s: every message is under way for a time drawn from this range; a range, so messages may overtake.
        reorder: probability that a message is held back by a further time.
        reorder_delay_s: the range of that time.
        replay: probability that a message comes once more, long after.
        replay_delay_s: how long after; the range.
    """

    drop: float = attrs.field(default=0.0, validator=_check_probability)
    duplicate: float = attrs.field(default=0.0, validator=_check_probability)
    delay_s: tuple[float, float] = attrs.field(default=(0.0, 0.0), validator=_check_range)
    reorder: float = attrs.field(default=0.0, validator=_check_probability)
    reorder_delay_s: tuple[float, float] = attrs.field(default=(0.0, 0.0), validator=_check_range)
    replay: float = attrs.field(default=0.0, validator=_check_probability)
    replay_delay_s: tuple[float, float] = attrs.field(default=(1.0, 20.0), validator=_check_range)

    def draw(self, rng: random.Random) -> list[float]:
        """Return the delay, in seconds, of each copy of a message that arrives; none: it is lost."""
        if rng.random() < self.drop:
            return []
        copies = 2 if rng.random() < self.duplicate else 1
        delays = [self._draw_delay(rng) for _ in range(copies)]
        if self.replay and rng.random() < self.replay:
            delays.append(rng.uniform(*self.replay_delay_s))
        return delays

    def _draw_delay(self, rng: random.Random) -> float:
        delay = rng.uniform(*self.delay_s)
        if rng.random() < self.reorder:
            delay += rng.uniform(*self.reorder_delay_s)
        return delay


NO_FAULTS = Faults()
