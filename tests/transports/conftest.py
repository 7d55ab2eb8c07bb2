"""Fixtures of the tests of the way out and the way in."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.transports.receiving import Node
from tests.transports.sending import Line


@pytest.fixture
def line(mock_clock: MockClock) -> Line:
    """Time stands still until the test moves it, if that too asks for `mock_clock`."""
    return Line(mock_clock)


@pytest.fixture
def node(nursery: trio.Nursery, mock_clock: MockClock) -> Node:
    return Node.make(nursery, mock_clock)
