"""The checker says what the definition says, of thousands of small random histories."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import attrs
import pytest

from raft_actors.testing import (
    UNKNOWN,
    CounterModel,
    KeyValueModel,
    Model,
    Operation,
    QueueModel,
    RegisterModel,
    Verdict,
    check_history,
)
from raft_actors.testing.linearizability.search import Budget, Search
from raft_actors.testing.linearizability.window import find_core, find_cuts, find_window
from raft_actors.testing.models import Add, Append, Cas, Count, Delete, Dequeue, Enqueue, Get, Put, Read, Write
from tests.linearizability.brute_force import is_linearizable, states_at

Draw = Callable[[Random], tuple[Any, Any]]


def draw_register(rng: Random) -> tuple[Any, Any]:
    value = rng.randrange(3)
    return (Write(value), None) if rng.random() < 0.5 else (Read(), value or None)


def draw_key_value(rng: Random) -> tuple[Any, Any]:
    some, other = rng.choice("ab"), rng.choice(["a", "b", "ab", None])
    return rng.choice(
        [
            (Get("k"), other),
            (Get("k"), some),
            (Put("k", some), None),
            (Append("k", some), None),
            (Cas("k", other, some), rng.random() < 0.6),
            (Delete("k"), rng.random() < 0.6),
        ]
    )


def draw_counter(rng: Random) -> tuple[Any, Any]:
    if rng.random() < 0.5:
        return Count(), rng.randrange(4)
    amount = rng.choice([1, 1, 2])
    return Add(amount), rng.choice([None, amount, rng.randrange(1, 5)])


def draw_queue(rng: Random) -> tuple[Any, Any]:
    item = rng.choice("ab")
    return (Enqueue(item), None) if rng.random() < 0.5 else (Dequeue(), rng.choice([item, None]))


def random_history(rng: Random, draw: Draw) -> list[Operation]:
    """Up to six operations with whole numbers for times, so that many begin or end together."""
    operations = []
    for number in range(rng.randrange(1, 7)):
        request, response = draw(rng)
        start = rng.randrange(8)
        end: float = start + rng.randrange(5)
        if rng.random() < 0.2:
            response, end = UNKNOWN, float("inf")
        operations.append(Operation(f"c{number}", request, response, start, end))
    return operations


@pytest.mark.parametrize(
    ("model", "draw"),
    [
        (RegisterModel(), draw_register),
        (KeyValueModel(), draw_key_value),
        (CounterModel(), draw_counter),
        (QueueModel(), draw_queue),
    ],
    ids=["register", "key-value", "counter", "queue"],
)
def test_random_histories(model: Model[Any], draw: Draw) -> None:
    rng = Random(1)
    counts = {Verdict.OK: 0, Verdict.ILLEGAL: 0}
    for _ in range(800):
        history = random_history(rng, draw)
        report = check_history(model, history)
        expected = Verdict.OK if is_linearizable(model, history) else Verdict.ILLEGAL
        assert report.verdict is expected, history
        counts[expected] += 1
        if expected is Verdict.ILLEGAL:
            check_window(model, history)
    assert min(counts.values()) > 80, counts


def check_window(model: Model[Any], history: list[Operation]) -> None:
    """What is said of a window is true: the history is illegal even if nobody knew how the others in it came out.

    (Those among the others that began before the window could do more if their answers were unknown then, too.)
    """
    search = Search(model, history)
    assert search.run([search.start()], Budget(100_000)) is False
    window = find_window(search)
    assert window.core
    assert window.states
    cuts = find_cuts(search)
    some = cuts[len(history) % len(cuts)]
    assert set(some.states) == states_at(search, some.moment), (history, some)
    for cut in cuts:
        others = [number for number in cut.rest if number not in find_core(search, cut)]
        if all(search.calls[number] >= cut.moment for number in others):
            unknown = {id(search.answered[number]) for number in others}
            weakened = [attrs.evolve(one, response=UNKNOWN) if id(one) in unknown else one for one in history]
            assert not is_linearizable(model, weakened), (history, cut)
