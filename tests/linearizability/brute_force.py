"""The definition of linearizability, tried out order by order: for histories of a few operations."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

from raft_actors.testing import UNKNOWN, Model, Operation


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
