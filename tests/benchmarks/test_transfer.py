"""What counts as the stall of a transfer of leadership."""

from __future__ import annotations

import pytest

from benchmarks.questions.transfer import longest_each


def test_the_longest_wait_that_touches_a_transfer_is_its_stall() -> None:
    transfers = [(1.0, 1.01), (2.0, 2.01), (3.0, 3.01)]
    stalls = [(0.5, 0.9), (0.995, 1.002), (1.002, 1.032), (1.5, 1.9), (2.015, 2.02), (2.5, 2.9)]
    assert longest_each(transfers, stalls) == pytest.approx([0.03, 0.005, 0.0])
