"""Is a history of concurrent calls linearizable?

A history is linearizable (Herlihy and Wing, 1990) if every call can be given one moment between its start and its end
at which it took effect, so that calling a sequential object at these moments, in order, gives the same answers.

Histories of a keyed object are checked key by key (linearizability is local), which keeps each search small.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from enum import StrEnum
from typing import Any

import attrs

from raft_actors.testing.linearizability.model import UNKNOWN, Model, Operation
from raft_actors.testing.linearizability.search import Budget, Search
from raft_actors.testing.linearizability.window import draw, find_window

__all__ = ["UNKNOWN", "Model", "Operation", "Report", "Verdict", "check_history"]


class Verdict(StrEnum):
    """The result of a check."""

    OK = "linearizable"
    ILLEGAL = "not linearizable"
    UNDECIDED = "undecided"


@attrs.frozen
class Report:
    """What a check found.

    Attributes:
        verdict: OK, ILLEGAL, or UNDECIDED where the search would have taken longer than allowed.
        operations: how many there were of the key in question; for OK, in all.
        key: the part of the object that is not linearizable, or could not be decided.
        states: if it is ILLEGAL, what the object's state may have been when the window begins; none are named where
            there were too many.
        window: operations that can't all have been answered as they were, beginning with one of these states, even if
            the outcome of all others were unknown; as few as could be found, by their calls.
        timeline: the window as text, with some operations before it.
    """

    verdict: Verdict
    operations: int = 0
    key: Hashable = None
    states: tuple[Any, ...] = ()
    window: tuple[Operation, ...] = ()
    timeline: str = ""

    def __str__(self) -> str:
        if self.verdict is Verdict.OK:
            return f"linearizable ({self.operations:,} operations)"
        what = f"the {self.operations:,} operations" + ("" if self.key is None else f" on {self.key!r}")
        if self.verdict is Verdict.UNDECIDED:
            return f"{what} could not be decided in time"
        states = f"from state {' or '.join(map(repr, self.states))}" if self.states else "whatever the state before"
        return f"{what} are not linearizable: {states}, no order explains those with a star\n{self.timeline}"


def check_history(
    model: Model[Any],
    operations: Iterable[Operation],
    *,
    max_steps: int = 1_000_000,
    max_seconds: float | None = None,
) -> Report:
    """Decide whether a history is linearizable.

    Args:
        max_steps: of the model, for each key. Past it the verdict is UNDECIDED, the same in every run.
        max_seconds: real time for all keys together. Past it the verdict is UNDECIDED, too, but on another machine it
            may not be.
    """
    parts: dict[Hashable, list[Operation]] = {}
    count = 0
    for operation in operations:
        count += 1
        request, response = model.translate(operation.request, operation.response)
        if request is not operation.request or response is not operation.response:
            operation = attrs.evolve(operation, request=request, response=response)
        parts.setdefault(model.key(request), []).append(operation)
    deadline_s = None if max_seconds is None else time.monotonic() + max_seconds
    undecided: Report | None = None
    for key, part in parts.items():
        search = Search(model, part)
        found = search.run([search.start()], Budget(max_steps, deadline_s))
        if found is False:
            window = find_window(search)
            timeline = "\n".join(draw(window))
            return Report(Verdict.ILLEGAL, len(part), key, window.states, window.core, timeline)
        if found is None:
            undecided = undecided or Report(Verdict.UNDECIDED, len(part), key)
    return undecided or Report(Verdict.OK, count)
