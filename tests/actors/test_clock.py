"""The clock for what elapsed time decides between nodes."""

from __future__ import annotations

import time

import pytest

from raft_actors.actors.clock import NodeClock, suspend_aware_time


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no such clock")
def test_a_node_goes_by_a_clock_that_goes_on_in_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases and the age of reads: what a machine knew before it slept must not pass for news."""
    monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 7.0}.__getitem__)
    assert NodeClock().boottime is suspend_aware_time
    assert suspend_aware_time() == 7.0
