"""The smallest part of an illegal history that shows why no order explains it.

A search that found nothing knows every configuration that could be reached. So the history can be cut at any moment:
what could be true then, and what was called or answered since, is all that matters. Of several cuts near the answer
that nothing explains, that one is shown which needs the fewest operations: those are dropped one by one that change
nothing when their answer and their end are forgotten, as if their outcome were unknown. That is always allowed: a call
of unknown outcome can do whatever an answered one did, so what is illegal without the answer is illegal with it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import attrs

from raft_actors.testing.linearizability.model import UNKNOWN, Operation
from raft_actors.testing.linearizability.search import Budget, Configuration, Search

#: Calls, and answers, that a window may go back to before it is made smaller.
_LARGEST = 6

#: Operations of a window before it is made smaller: more may be under way at once, but each is tried.
_MOST_OPERATIONS = 40

#: States that a window may begin with: more are nothing that a person would look through.
_STATES = 24

_STEPS = 5_000


@attrs.frozen
class Window:
    """Why a history is illegal.

    Attributes:
        states: what the model's state may have been when the window begins.
        core: operations that can't all have been answered as they were, by their calls.
        others: operations of the window whose answers do not matter.
        context: the last operations that were answered before the core ends, for the timeline.
    """

    states: tuple[Any, ...]
    core: tuple[Operation, ...]
    others: tuple[Operation, ...]
    context: tuple[Operation, ...]


@attrs.frozen
class Cut:
    """A moment in a history that a search found to be illegal.

    Attributes:
        moment: a rank in the order of all events.
        starts: the configurations that the search came to by then, and their states, each once.
        rest: the answered operations that had not returned, and those called later, up to what nothing explains.
    """

    moment: int
    starts: tuple[Configuration, ...]
    states: tuple[Any, ...]
    rest: tuple[int, ...]


def find_window(search: Search, *, context: int = 4) -> Window:
    """Explain why a search found nothing; it must have run to its end."""
    best: tuple[tuple[int, int], Cut, tuple[int, ...]] | None = None
    for cut in find_cuts(search):
        if best is not None and (0, len(cut.states) + 2) >= best[0]:
            continue  # it could not be smaller
        core = find_core(search, cut)
        # Operations that contradict each other say more than one that contradicts a state.
        rank = (0 if len(core) > 1 else 1, len(core) + len(cut.states))
        if best is None or rank < best[0]:
            best = rank, cut, core
    if best is None:
        # Too much is under way at once, or could be true: name the answer that nothing explains.
        number = search.returns.index(search.furthest)
        return Window((), (search.answered[number],), (), _before(search, (number,), context))
    _, cut, core = best
    others = [number for number in cut.rest if number not in core]
    return Window(
        cut.states,
        tuple(search.answered[number] for number in core),
        tuple(search.answered[number] for number in others),
        _before(search, core, context),
    )


def find_cuts(search: Search) -> list[Cut]:
    """Cuts before each of the last calls and answers up to the answer that nothing explains."""
    furthest = search.furthest
    relevant = [number for number, call in enumerate(search.calls) if call < furthest]
    ranks = {search.calls[number] for number in relevant} | {search.returns[number] for number in relevant}
    moments = sorted((rank for rank in ranks if rank <= furthest), reverse=True)[: 2 * _LARGEST]
    first = min(number for number in relevant if search.returns[number] >= moments[-1])
    configurations = [one for one in search.configurations() if one.base >= first]
    cuts: list[Cut] = []
    for moment in moments:
        # All that had returned by then is taken, and nothing that was called later.
        rest = tuple(number for number in relevant if search.returns[number] >= moment)
        if len(rest) > _MOST_OPERATIONS:
            break
        starts = tuple(one for one in configurations if _stands_at(search, one, moment))
        states = tuple(dict.fromkeys(start.state for start in starts))
        if starts and len(states) <= _STATES:
            cuts.append(Cut(moment, starts, states, rest))
    return cuts


def _stands_at(search: Search, configuration: Configuration, moment: int) -> bool:
    """Whether a configuration has taken all that returned before a moment, and nothing that was called from it on.

    But for reads: a search takes them as soon as they fit, which leads to no other state.
    """
    calls, returns, reads = search.calls, search.returns, search.reads
    base, mask, used = configuration.base, configuration.mask, configuration.used
    if base < len(calls) and returns[base] < moment:
        return False
    first_after = bisect_left(calls, moment)
    if not all(reads[number] for number in range(first_after, base)):
        return False
    for number in range(base, max(first_after, base + mask.bit_length())):
        taken = mask >> (number - base) & 1
        if not taken and returns[number] < moment:
            return False
        if taken and calls[number] >= moment and not reads[number]:
            return False
    return used >> bisect_left(search.open_calls, moment) == 0


def find_core(search: Search, cut: Cut) -> tuple[int, ...]:
    """Which of a cut's operations must have their answers for the history to be illegal."""
    core = list(cut.rest)
    size = len(core) // 2
    while size:
        for position in range(0, len(core), size):
            fewer = core[:position] + core[position + size :]
            if fewer and _is_illegal(search, cut, fewer):
                core = fewer
                break
        else:
            size //= 2
    return tuple(core)


def _is_illegal(search: Search, cut: Cut, core: Sequence[int]) -> bool:
    """Whether the rest is illegal from every start, even if only these operations have their answers and ends."""
    kept = set(core)
    return all(_fails(search, cut, start, kept) for start in cut.starts)


def _fails(search: Search, cut: Cut, start: Configuration, kept: set[int]) -> bool:
    required: list[Operation] = []
    optional: list[Operation] = []
    for number in cut.rest:
        if number < start.base or start.mask >> (number - start.base) & 1:
            continue
        operation = search.answered[number]
        if number not in kept:
            required.append(attrs.evolve(operation, response=UNKNOWN))
        elif search.returns[number] <= search.furthest:
            required.append(operation)
        else:
            # What took effect later need not be explained here; but if it did before, it was answered like that.
            optional.append(operation)
    opened = [
        operation
        for number, operation in enumerate(search.opened)
        if search.open_calls[number] < search.furthest and not start.used >> number & 1
    ]
    part = Search(search.model, [*required, *opened, *optional], len(optional))
    return part.run([Configuration(0, 0, 0, start.state)], Budget(_STEPS)) is False


def _before(search: Search, core: Sequence[int], count: int) -> tuple[Operation, ...]:
    """The last operations that were answered before the end of a window, without those in it."""
    end = max(search.returns[number] for number in core)
    others = [number for number in range(len(search.answered)) if number not in core and search.returns[number] < end]
    last = sorted(others, key=search.returns.__getitem__)[-count:] if count else []
    return tuple(search.answered[number] for number in sorted(last))


def draw(window: Window) -> list[str]:
    """A timeline of a window's operations, a line each; those that contradict each other have a star."""
    operations = sorted((*window.context, *window.core), key=lambda one: (one.start_s, one.start_order))
    moments: list[tuple[float, int]] = []
    for operation in operations:
        moments += [(operation.start_s, operation.start_order), (operation.end_s, operation.end_order)]
    columns = {moment: 3 * position for position, moment in enumerate(sorted(set(moments)))}
    width = max(columns.values(), default=0) + 1
    names = max((len(operation.client) for operation in operations), default=0)
    core = {id(operation) for operation in window.core}
    lines: list[str] = []
    for operation in operations:
        begin = columns[operation.start_s, operation.start_order]
        end = columns[operation.end_s, operation.end_order]
        bar = (" " * begin + "|" + "-" * (end - begin - 1) + "|").ljust(width)
        star = "*" if id(operation) in core else " "
        what = f"{_short(operation.request)} → {_short(operation.response)}"
        times = f"{operation.start_s:.4f}–{operation.end_s:.4f} s"
        lines.append(f"{star} {operation.client:<{names}} {bar}  {what}   {times}")
    return lines


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:60]}…{text[-30:]}"
