"""The congestion window, against a leader of which a proposal takes a fixed time and its share of what is under way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs
import pytest

from raft_actors.node.admission import Admission
from raft_actors.node.congestion import (
    FACTOR,
    FEW,
    LEAST,
    REMEMBER_S,
    REMEMBERED,
    CongestionWindow,
)
from raft_actors.node.proposals import PendingProposal
from raft_actors.overload import LONGEST_RETRY_S

MOST = 16_384


@attrs.define
class Leader:
    """Takes `alone_s` for one proposal, and `each_s` more for every other one that is under way.

    Attributes:
        now: its clock.
        answered: how many proposals it has answered.
    """

    alone_s: float = 0.001
    each_s: float = 6.5e-6
    now: float = 0.0
    answered: float = 0.0

    def take(self, window: CongestionWindow, load: int) -> float:
        """Have so many under way until one of them, which is measured, is through; return how long it took."""
        took_s = self.alone_s + load * self.each_s
        self.now += took_s
        self.answered += load
        window.measured(took_s, load, self.now)
        return took_s

    def overload(self, window: CongestionWindow) -> Iterator[float]:
        """Have as many under way as there may be, and others turned away."""
        while True:
            window.found_full()
            yield self.take(window, window.size)


def times(leader: Leader, window: CongestionWindow, count: int) -> list[float]:
    return list(itertools.islice(leader.overload(window), count))


def quiet(leader: Leader, window: CongestionWindow) -> None:
    for _ in range(3):
        leader.take(window, 1)


@pytest.mark.parametrize("alone_s", [0.001, 0.02, 0.3])
def test_overload_ends_where_a_proposal_takes_ten_times_as_long_as_alone(alone_s: float) -> None:
    leader, window = Leader(alone_s), CongestionWindow(1_000_000, 0.001)
    quiet(leader, window)
    times(leader, window, 100)
    began, answered = leader.now, leader.answered
    took = times(leader, window, 50)
    assert max(took) <= 1.05 * FACTOR * (alone_s + leader.each_s)
    assert (leader.answered - answered) / (leader.now - began) >= 0.88 / leader.each_s


def test_little_time_is_never_too_much() -> None:
    leader, window = Leader(), CongestionWindow(MOST, 0.05)
    quiet(leader, window)
    assert times(leader, window, 100)[-1] == pytest.approx(0.05, rel=0.02)


def test_without_a_limit_of_time_the_window_stays() -> None:
    leader, window = Leader(), CongestionWindow(MOST, None)
    times(leader, window, 30)
    assert (window.size, window.target_s) == (MOST, float("inf"))


def test_nothing_is_limited_that_a_little_time_suffices_for() -> None:
    leader, window = Leader(), CongestionWindow(MOST, 0.015)
    for _ in range(100):
        leader.take(window, 1000)
    assert window.size == MOST


def test_a_machine_that_stops_now_and_then_is_not_congested() -> None:
    """Where others use it as well, every second proposal may meet a pause."""
    window = CongestionWindow(MOST, 0.015)
    for number in range(1000):
        window.measured(0.06 if number % 4 else 0.01, 1000, number / 10)
    assert window.size == MOST


def test_fewer_are_not_let_in_where_that_does_not_help() -> None:
    """A leader that computes all the time keeps its disk's thread waiting: that takes long, however few there are."""

    class Busy(Leader):
        def take(self, window: CongestionWindow, load: int) -> float:
            self.alone_s = 0.001 if load <= FEW else 0.4
            return super().take(window, load)

    leader, window = Busy(each_s=1e-3), CongestionWindow(MOST, 0.015)
    quiet(leader, window)
    times(leader, window, 40)
    began, answered = leader.now, leader.answered
    times(leader, window, 100)
    assert (leader.answered - answered) / (leader.now - began) >= 0.5 / leader.each_s


def test_one_pause_is_no_congestion() -> None:
    leader, window = Leader(), CongestionWindow(MOST, 0.015)
    quiet(leader, window)
    times(leader, window, 100)
    before = window.size
    for _ in range(10):
        window.found_full()
        window.measured(2.0, window.size, leader.now)
        assert window.size >= 0.9 * before
        times(leader, window, 2)
    assert window.size >= 0.9 * before


def test_a_few_are_always_let_in() -> None:
    window = CongestionWindow(MOST, 0.015)
    window.measured(0.001, 1, 0.0)
    for _ in range(100):
        window.found_full()
        window.measured(float(window.size), window.size, 1.0)
    assert window.size == LEAST


def test_what_becomes_slower_or_faster_under_overload_is_found_out() -> None:
    """Though the time that one takes alone is hidden by the others."""
    leader, window = Leader(), CongestionWindow(1_000_000, 0.001)
    quiet(leader, window)
    times(leader, window, 100)
    for alone_s in (0.03, 0.001):
        leader.alone_s = alone_s
        probed = 0
        until = leader.now + 3 * REMEMBER_S
        for _ in leader.overload(window):
            probed += window.size == FEW
            if leader.now > until:
                break
        assert REMEMBERED <= probed <= 3 * REMEMBERED
        began, answered = leader.now, leader.answered
        took = times(leader, window, 20)
        assert max(took) <= 1.1 * FACTOR * (alone_s + FEW * leader.each_s)
        assert (leader.answered - answered) / (leader.now - began) >= 0.85 / leader.each_s


def test_overload_that_never_ends_does_not_let_the_window_grow() -> None:
    leader, window = Leader(), CongestionWindow(1_000_000, 0.001)
    quiet(leader, window)
    times(leader, window, 100)
    size = window.size
    while leader.now < 8 * REMEMBER_S:
        window.found_full()
        leader.take(window, window.size)
    assert window.size == FEW or window.size <= 1.1 * size


def test_no_probe_where_nobody_is_turned_away() -> None:
    leader, window = Leader(), CongestionWindow(MOST, 0.015)
    while leader.now < 5 * REMEMBER_S:
        leader.take(window, 500)
        assert window.size == MOST


def test_those_who_were_let_in_before_a_probe_do_not_end_it() -> None:
    leader, window = Leader(), CongestionWindow(MOST, 0.015)
    for _ in leader.overload(window):
        if window.size == FEW:
            break
    for _ in range(10):
        window.measured(0.02, 1000, leader.now)
    assert window.size == FEW
    for _ in range(REMEMBERED):
        assert window.size == FEW
        window.measured(0.001, FEW, leader.now)
    assert window.size > 1000


def test_the_luckiest_is_no_measure() -> None:
    """On a machine that others use as well, most take ten times as long as the shortest."""
    window = CongestionWindow(MOST, 0.001)
    for took_s in (0.02, 0.002, 0.03, 0.02, 2.0):
        window.measured(took_s, 2, 1.0)
    assert window.target_s == pytest.approx(FACTOR * 0.02)


def test_what_others_join_is_not_alone() -> None:
    """Who all wait for the same answers propose together again: the first of them is alone only as it is let in."""
    clock = [0.0]
    admission = Admission("n1", max_bytes=MOST, max_count=MOST, congestion_delay_s=0.001, now=lambda: clock[0])
    proposals: list[PendingProposal[None]] = [PendingProposal(admission, [b""], 1) for _ in range(100)]
    admission.admit_nowait(proposals[0])
    admission.time(proposals[0])
    for proposal in proposals[1:]:
        admission.admit_nowait(proposal)
    proposals[0].index, clock[0] = 1, 0.5
    for proposal in proposals:
        proposal.resolve(None)
    assert admission.window.delay_s == 0.5
    assert admission.window.target_s == 0.001


def test_who_is_turned_away_comes_after_those_who_were_before() -> None:
    """At the rate at which proposals are answered: 100 in 10 ms."""
    window = CongestionWindow(MOST, 0.015)
    window.measured(0.01, 100, 1.0)
    waits = [window.retry_after_s(100, 1.0) for _ in range(1000)]
    assert waits[0] == pytest.approx(0.0101)
    assert waits[-1] == pytest.approx(0.11)
    assert waits == sorted(waits)
    # After 50 ms half of them have had their turn.
    assert window.retry_after_s(100, 1.05) == pytest.approx(0.01 + 0.0501)
    assert max(window.retry_after_s(100, 1.05) for _ in range(100_000)) == LONGEST_RETRY_S
    assert window.retry_after_s(100, 100.0) == pytest.approx(0.0101)


def test_nobody_knows_when_to_come_back_before_anything_was_answered() -> None:
    assert CongestionWindow(MOST, 0.015).retry_after_s(5, 1.0) == 0.0


def test_a_few_that_are_slow_are_nothing_to_make_room_for() -> None:
    window = CongestionWindow(MOST, 0.015)
    for number in range(FEW):
        window.measured(0.001, 1, number)
    for number in range(1_000):
        window.measured(0.2, LEAST, FEW + number)  # as of a slow disk: no fewer could be let in
    window.measured(0.2, 1_000, 2_000.0)
    assert window.size == MOST  # a quarter of a second of congestion has yet to come
    window.measured(0.2, 1_000, 2_000.2)
    assert window.size < MOST
