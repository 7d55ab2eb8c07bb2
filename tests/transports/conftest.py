"""Fixtures of the senders' tests."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from tests.transports.sending import (
    Line,
)


@pytest.fixture
def line(mock_clock: MockClock) -> Line:
    """Time stands still until the test moves it, if that too asks for `mock_clock`."""
    return Line(mock_clock)
