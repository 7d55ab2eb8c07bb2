"""The search for an order that explains a history: Wing and Gong's, with Lowe's memo of what was tried before.

It takes one operation after the other into a sequence, such that each could have come next: it was called before any
operation that is not yet taken had returned. Where none of them can answer as it did, it goes back. What was taken, as
a set, together with the state that it led to, is never tried twice, whatever the order in which it was taken.

What makes it fast for histories of thousands of operations:

- Operations are numbered by their calls, so all below some number are taken, and above it a few bits say which. The
  memo's keys stay as short as the history is concurrent, not as it is long.
- Reads that fit are taken at once: they change nothing, so taking them later can't be better.
- Operations of unknown outcome are tried late, and first those that explain the answer which is due. If they change
  nothing they are not tried. Of equal ones, the first is tried first. And a state that was reached once need not be
  reached again with more of them used up.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Hashable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

import attrs

from raft_actors.testing.linearizability.model import UNKNOWN, Model, Operation

#: How many operations less a configuration may have explained to be tried before one that used an open operation more.
_BACKWARD = 6

#: Steps between two looks at the clock.
_CLOCK_STRIDE = 256


@attrs.frozen(order=False)
class Configuration:
    """How far a search has come: which operations took effect, and the state after them.

    Attributes:
        base: all answered operations below this number are taken, and this one is not.
        mask: bit k says whether the answered operation `base + k` is taken.
        used: bit k says whether the open operation k is taken.
        state: of the model.
    """

    base: int
    mask: int
    used: int
    state: Any


_Next = tuple[int, bool, Configuration]
"""What to try: the lower the number the sooner, whether it is about open operations, and from where."""


@attrs.define
class Budget:
    """How much may be tried.

    Attributes:
        steps: of the model, for one search.
        deadline_s: on `time.monotonic`; None for no bound.
        spent: whether a step was refused.
    """

    steps: int
    deadline_s: float | None = None
    spent: bool = attrs.field(default=False, init=False)

    def is_spent(self) -> bool:
        """Whether the search must end here; called before each step."""
        self.steps -= 1
        if self.steps < 0:
            self.spent = True
        elif self.deadline_s is not None and self.steps % _CLOCK_STRIDE == 0:
            self.spent = self.spent or time.monotonic() >= self.deadline_s
        return self.spent


class Search:
    """One search over the operations of one key.

    Attributes:
        answered: operations with a known response, by their calls.
        opened: those of unknown outcome (and optional ones) that may change something, by their calls.
        calls, returns: when each answered operation was called and returned, as ranks in the order of all events.
        reads: which of the answered operations change nothing, as the model says.
        open_calls: when each open operation was called, likewise.
        furthest: the latest return that the search ever came up to: the one that nothing explains.
    """

    def __init__(self, model: Model[Any], operations: Sequence[Operation], optional: int = 0) -> None:
        """Search these operations; the last `optional` ones may be left out, as if they had never been called."""
        self.model = model
        events: list[tuple[float, int, int, int]] = []
        for number, operation in enumerate(operations):
            events.append((operation.start_s, operation.start_order, 0, number))
            events.append((operation.end_s, operation.end_order, 1, number))
        events.sort()
        ranks: dict[tuple[int, int], int] = {(number, end): rank for rank, (_, _, end, number) in enumerate(events)}
        order = [number for _, _, end, number in events if not end]
        required = len(operations) - optional
        open_ = {number for number in order if number >= required or operations[number].response is UNKNOWN}
        known = [number for number in order if number not in open_]
        unknown = [number for number in order if number in open_ and not model.is_read(operations[number].request)]
        self.answered: list[Operation] = [operations[number] for number in known]
        self.opened: list[Operation] = [operations[number] for number in unknown]
        self.calls: list[int] = [ranks[number, 0] for number in known]
        self.returns: list[int] = [ranks[number, 1] for number in known]
        self.open_calls: list[int] = [ranks[number, 0] for number in unknown]
        self.furthest: int = -1
        self.reads: list[bool] = [model.is_read(operation.request) for operation in self.answered]
        self._equal_before = _equal_before(self.opened)
        self._seen: dict[tuple[int, int, Any], list[int]] = {}

    def start(self) -> Configuration:
        """Nothing is taken."""
        return Configuration(0, 0, 0, self.model.initial())

    def run(self, starts: Sequence[Configuration], budget: Budget) -> bool | None:
        """Whether some order explains the history, beginning with one of these configurations; None: not known."""
        for start in starts:
            found = self._explore(start, budget)
            if found is not False:
                return found
        return False

    def configurations(self) -> Iterator[Configuration]:
        """All that a search came to which found nothing."""
        for (base, mask, state), all_used in self._seen.items():
            for used in all_used:
                yield Configuration(base, mask, used, state)

    # --- the search ------------------------------------------------------------------------------------------

    def _explore(self, start: Configuration, budget: Budget) -> bool | None:
        """Search best first: whoever has explained more is tried before, but for each open operation that it used up
        it falls back behind those that have explained a few less without."""
        heap: list[tuple[int, int, bool, Configuration]] = [(0, 0, False, start)]
        count, pushed = len(self.answered), 0
        while heap:
            _, _, opens, configuration = heappop(heap)
            if opens:
                successors = self._by_open_operations(configuration, budget)
            else:
                settled = self._take_reads(configuration, budget)
                if budget.spent:
                    return None
                if settled.base == count:
                    return True
                if not self._is_new(settled):
                    continue
                successors = self._by_answered_operations(settled, budget)
            for effort, is_open, successor in successors:
                pushed -= 1  # of equals, the last one pushed comes first
                heappush(heap, (effort, pushed, is_open, successor))
            if budget.spent:
                return None
        return False

    def _is_new(self, configuration: Configuration) -> bool:
        key = (configuration.base, configuration.mask, configuration.state)
        used = configuration.used
        known = self._seen.get(key)
        if known is None:
            self._seen[key] = [used]
            return True
        if any(before & used == before for before in known):
            return False
        known[:] = [before for before in known if before & used != used]
        known.append(used)
        return True

    def _candidates(self, base: int, mask: int) -> tuple[list[int], int]:
        """Which answered operations may come next, and the first return among those that are not taken."""
        calls, returns = self.calls, self.returns
        barrier = returns[base]
        candidates = [base]
        number, mask = base + 1, mask >> 1
        count = len(calls)
        while number < count and calls[number] < barrier:
            if not mask & 1:
                candidates.append(number)
                barrier = min(barrier, returns[number])
            number += 1
            mask >>= 1
        return candidates, barrier

    def _take_reads(self, configuration: Configuration, budget: Budget) -> Configuration:
        """Take all reads that fit now."""
        base, mask, state = configuration.base, configuration.mask, configuration.state
        reads, answered, step = self.reads, self.answered, self.model.step
        count, moved, tried = len(answered), True, set[int]()
        while moved and base < count:
            moved = False
            for number in self._candidates(base, mask)[0]:
                if not reads[number] or number in tried:
                    continue
                if budget.is_spent():
                    return configuration
                tried.add(number)
                operation = answered[number]
                if step(state, operation.request, operation.response)[0]:
                    base, mask = _with(base, mask, number)
                    moved = True
                    break
        if base == configuration.base and mask == configuration.mask:
            return configuration
        return Configuration(base, mask, configuration.used, state)

    def _by_answered_operations(self, configuration: Configuration, budget: Budget) -> list[_Next]:
        """Where one more answered operation can lead, and, for later, to ask the same of the open ones."""
        base, mask, used, state = configuration.base, configuration.mask, configuration.used, configuration.state
        candidates, barrier = self._candidates(base, mask)
        self.furthest = max(self.furthest, barrier)
        effort = _BACKWARD * used.bit_count() - base - mask.bit_count()
        found: list[_Next] = []
        if used.bit_count() < bisect_left(self.open_calls, barrier):
            found.append((effort + _BACKWARD, True, configuration))
        # Those that returned first were likely first: they come last here, and so are tried first.
        candidates.sort(key=self.returns.__getitem__, reverse=True)
        for number in candidates:
            if self.reads[number]:
                continue  # it does not fit, else it would have been taken
            if budget.is_spent():
                break
            operation = self.answered[number]
            possible, after = self.model.step(state, operation.request, operation.response)
            if possible:
                found.append((effort - 1, False, Configuration(*_with(base, mask, number), used, after)))
        return found

    def _by_open_operations(self, configuration: Configuration, budget: Budget) -> list[_Next]:
        """Where one more open operation can lead; first to where the operation can be answered that must be next."""
        base, mask, used, state = configuration.base, configuration.mask, configuration.used, configuration.state
        candidates, barrier = self._candidates(base, mask)
        due = self.answered[min(candidates, key=self.returns.__getitem__)]
        effort = _BACKWARD * (used.bit_count() + 1) - base - mask.bit_count()
        step = self.model.step
        found: list[_Next] = []
        for number in range(bisect_left(self.open_calls, barrier)):
            equal = self._equal_before[number]
            if used >> number & 1 or (equal is not None and not used >> equal & 1):
                continue
            if budget.is_spent():
                break
            opened = self.opened[number]
            possible, after = step(state, opened.request, opened.response)
            if possible and after != state:
                helps = not budget.is_spent() and step(after, due.request, due.response)[0]
                successor = Configuration(base, mask, used | 1 << number, after)
                found.append((effort - _BACKWARD if helps else effort, False, successor))
        return found


def _with(base: int, mask: int, number: int) -> tuple[int, int]:
    """Base and mask with one more operation taken."""
    mask |= 1 << (number - base)
    while mask & 1:
        mask >>= 1
        base += 1
    return base, mask


def _equal_before(opened: Sequence[Operation]) -> list[int | None]:
    """For each open operation, the last one before it with an equal request and response, if there is one."""
    last: dict[Hashable, int] = {}
    before: list[int | None] = []
    for number, operation in enumerate(opened):
        request = (operation.request, operation.response)
        try:
            before.append(last.get(request))
            last[request] = number
        except TypeError:  # a request that can't be hashed is equal to no other
            before.append(None)
    return before
