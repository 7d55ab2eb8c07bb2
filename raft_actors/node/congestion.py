"""How many proposals may be under way at once, so that none takes much longer than it has to.

By Little's law, what is under way is the rate times the time that each takes. A leader's rate grows with what it is
given, for what comes together shares writes and messages; but less and less, while the time that each takes grows as
fast as their number. Where one takes ten times as long as when it is alone, nine tenths of what could be gained by more
of them are gained. So there the window ends: it is not a number that somebody has to know, but follows from two times
that are measured on proposals themselves, of whatever bounds the rate (the leader's CPU, a disk, the network, `apply`).

The time that one takes alone can't be seen while there is congestion. So the last ones count that were nearly alone;
and where those are long past while the window is full, it is measured anew, as Envoy's adaptive concurrency does:
almost nothing is let in until a few are through. That costs the time that these take, every ten seconds at most. The
median of them counts, not the shortest: on a machine that others use as well, the luckiest one may take a tenth of the
next.

One time that is too long may be a pause of the machine, or an election. Congestion is where even the shortest one is
too long of all in a quarter of a second, or of two (a standing queue, as in CoDel, RFC 8289).
"""

from __future__ import annotations

import math
from collections import deque

from raft_actors.overload import LONGEST_RETRY_S

#: How much longer than alone a proposal may take.
FACTOR = 10

#: The smallest window: however slow a proposal is, some come together.
LEAST = 16

#: Of so few under way each takes about as long as alone.
FEW = 8

#: So many that were nearly alone are remembered.
REMEMBERED = 5

#: For how long, at least; and that many times what a proposal takes under congestion.
REMEMBER_S = 10.0
REMEMBER_TIMES = 50

#: Times are too long where all are that were measured during this.
INTERVAL_S = 0.25

#: About half as many take about as long: what takes the time is no queue.
_HALF, _MUCH = 0.6, 0.7


class CongestionWindow:
    """Decides on the window, from one measured proposal after the other. See the module's text.

    Attributes:
        size: how many may be under way.
        target_s: how long a proposal may take.
        delay_s: how long the last measured one took; None before there was one.
    """

    def __init__(self, most: int, least_delay_s: float | None) -> None:
        """Begin with what the bounds allow: nothing is known.

        Args:
            most: the largest window.
            least_delay_s: a time that is never too long; None: none is.
        """
        self._most = most
        self._window: int = most
        self._least_delay_s = least_delay_s
        self._alone_s: deque[float] = deque(maxlen=REMEMBERED)  # what the last ones took that were nearly alone
        self._alone_at = -math.inf
        self._to_probe = 0  # how many more are to be measured alone
        self._was_full = False  # since the last measured one
        self._shrunk = (0, 0.0)  # how many were under way when it was made smaller last, and what one took
        self._too_long: list[float] = []  # since the last one that was not, or since the window was made smaller
        self._turned_away = self._turned_away_at = 0.0
        self.size: int = most
        self.target_s: float = math.inf if least_delay_s is None else least_delay_s
        self.delay_s: float | None = None

    def found_full(self) -> None:
        """Note that somebody found no room."""
        self._was_full = True

    def measured(self, took_s: float, load: int, now: float) -> None:
        """Learn from a proposal that is settled.

        Args:
            took_s: how long that took, from where it was let in.
            load: how many were under way, itself included, when it was let in or settled: the larger number.
        """
        self.delay_s = took_s
        if self._least_delay_s is None or (self._to_probe and load > FEW):  # it was let in before the probe
            return
        if load <= FEW:
            self._alone_s.append(took_s)
            self._alone_at = now
            median_s = sorted(self._alone_s)[len(self._alone_s) // 2]
            self.target_s = max(self._least_delay_s, FACTOR * median_s)
        if self._to_probe:
            self._to_probe -= 1
        else:
            self._resize(took_s, load)
            if self._was_full and now - self._alone_at > max(REMEMBER_S, REMEMBER_TIMES * took_s):
                self._to_probe = REMEMBERED
        self.size = FEW if self._to_probe else self._window
        self._was_full = False

    def _resize(self, took_s: float, load: int) -> None:
        target_s, too_long = self.target_s, self._too_long
        if took_s <= target_s:
            too_long.clear()
            self._shrunk = (0, 0.0)
            if self._was_full:
                growth = min(2.0, target_s / took_s) if took_s else 2.0
                self._window = min(self._most, math.ceil(self._window * growth))
            return
        if load <= LEAST:  # no fewer could be let in, so nothing is to be learnt for that
            too_long.clear()
            return
        too_long.append(took_s)
        if len(too_long) > 1 and sum(too_long) >= INTERVAL_S:
            self._shrink(load, min(too_long))
            too_long.clear()

    def _shrink(self, load: int, took_s: float) -> None:
        """Let fewer in; or more again, where half of them took as long: then it is no queue that takes the time."""
        load_before, before_s = self._shrunk
        if load <= _HALF * load_before and took_s > _MUCH * before_s:
            self._window = max(self._window, min(self._most, load_before))
            self.target_s = max(self.target_s, 1.5 * took_s)  # until it is measured alone again
            self._shrunk = (0, 0.0)
            return
        self._shrunk = (load, took_s)
        self._window = max(LEAST, int(min(self._window, load) * max(0.5, self.target_s / took_s)))

    def retry_after_s(self, under_way: int, now: float) -> float:
        """When one that is turned away now should come back: after those that were turned away before it, at the rate
        at which proposals are settled (a queue without anybody in it).
        """
        delay_s = self.delay_s or 0.0
        each_s = delay_s / max(1, under_way)
        if each_s:
            self._turned_away = max(0.0, self._turned_away - (now - self._turned_away_at) / each_s)
        self._turned_away_at = now
        self._turned_away = min(self._turned_away + 1, LONGEST_RETRY_S / each_s if each_s else math.inf)
        return min(LONGEST_RETRY_S, delay_s + self._turned_away * each_s)
