"""Is a history of concurrent calls linearizable? Wing and Gong's search, with Lowe's memo of what was tried before.

A history is linearizable (Herlihy and Wing, 1990) if every call can be given one moment between its start and its end
at which it took effect, so that calling a sequential object at these moments, in order, gives the same answers. The
search tries, of all calls that may be first, one after the other, and goes on with what is left. A set of calls done
together with the state they led to is never searched twice, whatever the order in which they were done.

Histories of a keyed object are checked key by key (linearizability is local), which keeps each search small.
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable
from typing import Any, Generic, TypeVar

import attrs

from raft_actors.errors import ConfigurationError

S = TypeVar("S", bound=Hashable)


class _Unknown(enum.Enum):
    UNKNOWN = "unknown"


UNKNOWN = _Unknown.UNKNOWN
"""The answer to a call whose outcome nobody knows: it took effect at some time after its start, or never."""


class Verdict(enum.StrEnum):
    """What a check came to."""

    OK = "linearizable"
    ILLEGAL = "not linearizable"
    UNDECIDED = "undecided"


@attrs.frozen
class Operation:
    """One call of one client.

    Attributes:
        client: who called; for messages only.
        request: what was asked.
        response: what was answered, or `UNKNOWN`.
        start_s, end_s: when the call was made and answered, on one clock; `end_s` is infinite where there is no answer.
    """

    client: str
    request: Any
    response: Any
    start_s: float
    end_s: float = math.inf

    def __attrs_post_init__(self) -> None:
        if self.end_s < self.start_s:
            raise ConfigurationError(f"an operation can't end at {self.end_s} and start at {self.start_s}")


class Model(ABC, Generic[S]):
    """The sequential object that a history is compared with. States are immutable and hashable."""

    @abstractmethod
    def initial(self) -> S:
        """The state before the first call."""

    @abstractmethod
    def step(self, state: S, request: Any, response: Any) -> tuple[bool, S]:
        """Whether the object could answer `request` with `response` in `state` (with `UNKNOWN` it always can), and the
        state after it."""

    def key(self, request: Any) -> Hashable:
        """Which part of the object the request concerns. Requests of different parts must not affect each other."""
        return None


@attrs.frozen
class Report:
    """What a check found.

    Attributes:
        verdict: OK, ILLEGAL, or UNDECIDED where the search took more than `max_steps`.
        key: the part of the object that is not linearizable, or could not be decided.
        longest: there, the longest linearization found, in order.
        stuck: there, the operations that none of the longest linearizations could take in next.
    """

    verdict: Verdict
    key: Hashable = None
    longest: tuple[Operation, ...] = ()
    stuck: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        if self.verdict is Verdict.OK:
            return "linearizable"
        last = "\n  ".join(map(str, self.longest[-5:]))
        stuck = "\n  ".join(map(str, self.stuck))
        return f"key {self.key!r} is {self.verdict}: after\n  {last}\nnone of these can come next:\n  {stuck}"


def check_history(model: Model[Any], operations: Iterable[Operation], *, max_steps: int = 1_000_000) -> Report:
    """Decide whether a history is linearizable, with at most `max_steps` steps of the model for each key."""
    parts: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        parts.setdefault(model.key(operation.request), []).append(operation)
    undecided: Report | None = None
    for key, part in parts.items():
        report = _Search(model, key, part).run(max_steps)
        if report.verdict is Verdict.ILLEGAL:
            return report
        if report.verdict is Verdict.UNDECIDED:
            undecided = undecided or report
    return undecided or Report(Verdict.OK)


class _Event:
    """The start or the end of an operation, in a doubly linked list that operations can be lifted out of."""

    __slots__ = ("end", "next", "number", "previous")

    def __init__(self, number: int, end: _Event | None) -> None:
        self.number = number
        self.end = end
        """The event that ends what this one starts; None where this is itself an end."""
        self.previous: _Event | None = None
        self.next: _Event | None = None

    def unlink(self) -> None:
        if self.previous is not None:
            self.previous.next = self.next
        if self.next is not None:
            self.next.previous = self.previous

    def relink(self) -> None:
        if self.previous is not None:
            self.previous.next = self
        if self.next is not None:
            self.next.previous = self


class _Search:
    """A depth-first search for a linearization of one key's operations, without recursion."""

    def __init__(self, model: Model[Any], key: Hashable, operations: list[Operation]) -> None:
        self.model = model
        self.key = key
        self.operations = operations
        self.head = self._linked()
        self.taken: list[tuple[_Event, Any]] = []
        self.longest: list[int] = []
        self.stuck: list[int] = []

    def _linked(self) -> _Event:
        """All events in order of time. What starts at the moment when another ends may have overlapped it."""
        events: list[tuple[float, int, int, _Event]] = []
        for number, operation in enumerate(self.operations):
            end = _Event(number, None)
            events.append((operation.start_s, 0, number, _Event(number, end)))
            events.append((operation.end_s, 1, number, end))
        events.sort(key=lambda event: event[:3])
        last = head = _Event(-1, None)
        for *_, event in events:
            last.next, event.previous = event, last
            last = event
        return head

    def run(self, max_steps: int) -> Report:
        state, done = self.model.initial(), 0
        seen: set[tuple[int, Any]] = set()
        event = self.head.next
        waiting = sum(operation.response is not UNKNOWN for operation in self.operations)
        while waiting:
            if event is None or event.end is None:
                # An answered call must take effect before its end, and nothing that was tried let it: go back.
                self._note_longest()
                if not self.taken:
                    return self._report(Verdict.ILLEGAL)
                event, state = self._put_back()
                done &= ~(1 << event.number)
                waiting += self.operations[event.number].response is not UNKNOWN
                event = event.next
                continue
            max_steps -= 1
            if max_steps < 0:
                self._note_longest()
                return self._report(Verdict.UNDECIDED)
            operation = self.operations[event.number]
            possible, after = self.model.step(state, operation.request, operation.response)
            so_far = (done | 1 << event.number, after)
            if not possible or so_far in seen:
                event = event.next
                continue
            seen.add(so_far)
            self._take(event, state)
            done, state = so_far
            waiting -= operation.response is not UNKNOWN
            event = self.head.next
        return Report(Verdict.OK, self.key)

    def _take(self, event: _Event, state: Any) -> None:
        self.taken.append((event, state))
        event.unlink()
        if event.end is not None:
            event.end.unlink()

    def _put_back(self) -> tuple[_Event, Any]:
        event, state = self.taken.pop()
        if event.end is not None:
            event.end.relink()
        event.relink()
        return event, state

    def _note_longest(self) -> None:
        if self.longest and len(self.taken) <= len(self.longest):
            return
        self.longest = [event.number for event, _ in self.taken]
        self.stuck = []
        event = self.head.next
        while event is not None and event.end is not None:
            self.stuck.append(event.number)
            event = event.next

    def _report(self, verdict: Verdict) -> Report:
        longest, stuck = ([self.operations[number] for number in numbers] for numbers in (self.longest, self.stuck))
        return Report(verdict, self.key, tuple(longest), tuple(stuck))
