from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.latencies import TICKS_PER_S, pack, percentile, summarize, unpack
from benchmarks.results import Spread


@given(st.lists(st.floats(0, 400), max_size=50))
def test_latencies_survive_the_wire_to_a_tick(seconds: list[float]) -> None:
    unpacked = unpack(pack(seconds))
    assert len(unpacked) == len(seconds)
    for ticks, value in zip(unpacked, seconds, strict=True):
        assert abs(ticks / TICKS_PER_S - value) <= 0.5 / TICKS_PER_S + 1e-12


def test_a_latency_too_long_for_the_wire_counts_as_the_longest() -> None:
    assert list(unpack(pack([1000.0, -1.0]))) == [2**32 - 1, 0]


def test_what_is_no_packed_latencies_is_refused() -> None:
    with pytest.raises(ValueError):
        unpack("not base64!")


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 500), (90, 900), (99, 990), (99.9, 999), (99.95, 1000), (100, 1000), (0.1, 1)]
)
def test_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert percentile(range(1, 1001), percent) == expected


@given(st.lists(st.integers(0, 1000), min_size=1), st.floats(0.001, 100))
def test_percentile_is_the_least_value_that_enough_do_not_exceed(values: list[int], percent: float) -> None:
    ordered = sorted(values)
    result = percentile(ordered, percent)
    share = sum(value <= result for value in ordered) / len(ordered) * 100
    assert share >= percent or math.isclose(share, percent)
    below = sum(value < result for value in ordered) / len(ordered) * 100
    assert below < percent


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1], 0), ([1], 101)])
def test_percentiles_that_do_not_exist(values: list[int], percent: float) -> None:
    with pytest.raises(ValueError):
        percentile(values, percent)


def test_rounds_are_summarized_together() -> None:
    summary = summarize([array("I", [10_000, 30_000]), array("I", [20_000])])
    assert summary is not None
    assert (summary.count, summary.mean_ms, summary.max_ms) == (3, 2.0, 3.0)
    assert summary.percentiles == {"p50": 2.0, "p90": 3.0, "p99": 3.0, "p99.9": 3.0}
    assert summarize([]) is None
    assert summarize([array("I")]) is None


def test_spread_is_median_and_range() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(median=3.0, low=1.0, high=10.0)
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0)
