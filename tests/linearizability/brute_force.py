"""The definition of linearizability, tried out order by order: for histories of a few operations."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import combinations, permutations
from typing import Any

from raft_actors.testing import UNKNOWN, Model, Operation
from raft_actors.testing.linearizability.search import Search


def is_linearizable(model: Model[Any], operations: list[Operation]) -> bool:
    """Whether some order of all answered operations, and of some of the open ones, explains the history."""
    answered = [one for one in operations if one.response is not UNKNOWN]
    opened = [one for one in operations if one.response is UNKNOWN]
    return any(
        _explains(model, order)
        for count in range(len(opened) + 1)
        for chosen in combinations(opened, count)
        for order in permutations([*answered, *chosen])
    )


def _explains(model: Model[Any], order: tuple[Operation, ...]) -> bool:
    state = model.initial()
    latest_start = float("-inf")
    for operation in order:
        latest_start = max(latest_start, operation.start_s)
        if operation.end_s < latest_start:
            return False  # something before it in this order was called after it had returned
        possible, state = model.step(state, operation.request, operation.response)
        if not possible:
            return False
    return True


def states_at(search: Search, moment: int) -> set[Hashable]:
    """What the state can have been at a moment: after all that had returned, and some of what had been called."""
    calls, returns = search.calls, search.returns
    required = [(calls[number], returns[number], one) for number, one in enumerate(search.answered)]
    under_way = [one for one in required if one[0] < moment <= one[1]]
    under_way += [
        (call, len(calls) * 4, one) for call, one in zip(search.open_calls, search.opened, strict=True) if call < moment
    ]
    returned = [one for one in required if one[1] < moment]
    states: set[Hashable] = set()
    for count in range(len(under_way) + 1):
        for chosen in combinations(under_way, count):
            for order in permutations([*returned, *chosen]):
                states |= _state_after(search.model, order)
    return states


def _state_after(model: Model[Any], order: tuple[tuple[int, int, Operation], ...]) -> set[Hashable]:
    state = model.initial()
    latest_call = -1
    for call, end, operation in order:
        latest_call = max(latest_call, call)
        if end < latest_call:
            return set()
        possible, state = model.step(state, operation.request, operation.response)
        if not possible:
            return set()
    return {state}
