"""Latencies, exactly: every one is kept, so a percentile is a value that somebody waited, not a bucket's edge.

Workers hand them over in ticks of 100 ns, as little-endian 32-bit numbers in base64: a million take 5 MB, and the
longest that fits is 429 s.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Iterable, Sequence

import attrs

TICKS_PER_S = 10_000_000
_LARGEST = 2**32 - 1

#: The percentiles that tables show, by name.
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}


def pack(seconds: Iterable[float]) -> str:
    """Return latencies as text for a JSON line."""
    ticks = array("I", (min(_LARGEST, max(0, round(each * TICKS_PER_S))) for each in seconds))
    if sys.byteorder == "big":
        ticks.byteswap()
    return base64.b64encode(ticks.tobytes()).decode()


def unpack(text: str) -> array[int]:
    """Return what `pack` packed, in ticks.

    Raises:
        ValueError: it is no such text.
    """
    ticks = array("I")
    ticks.frombytes(base64.b64decode(text, validate=True))
    if sys.byteorder == "big":
        ticks.byteswap()
    return ticks


def percentile(ordered: Sequence[int], percent: float) -> int:
    """Return the smallest value that at least `percent` of the values do not exceed (the nearest rank).

    Raises:
        ValueError: there are no values, or no such percentile.
    """
    if not ordered:
        raise ValueError("no values have no percentiles")
    if not 0 < percent <= 100:
        raise ValueError(f"there is no percentile {percent}: take one above 0 and up to 100")
    # Rounded first: 99.9 / 100 * 1000 is a little more than 999.
    rank = math.ceil(round(percent * len(ordered) / 100, 9))
    return ordered[rank - 1]


@attrs.frozen(kw_only=True)
class LatencySummary:
    """Latencies of all rounds together, in milliseconds.

    Attributes:
        count: how many there were.
        percentiles: by the names of `PERCENTILES`.
    """

    count: int
    mean_ms: float
    max_ms: float
    percentiles: dict[str, float]


def summarize(samples: Iterable[Sequence[int]]) -> LatencySummary | None:
    """Summarize latencies in ticks, from one or more rounds; None where there are none."""
    ordered = sorted(tick for sample in samples for tick in sample)
    if not ordered:
        return None
    to_ms = 1000 / TICKS_PER_S
    return LatencySummary(
        count=len(ordered),
        mean_ms=sum(ordered) / len(ordered) * to_ms,
        max_ms=ordered[-1] * to_ms,
        percentiles={name: percentile(ordered, percent) * to_ms for name, percent in PERCENTILES.items()},
    )
