"""The ready models: classic histories of registers, stores, counters and queues."""

from __future__ import annotations

from typing import Any

import pytest

from raft_actors import ConfigurationError
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
from raft_actors.testing.models import Add, Append, Cas, Count, Delete, Dequeue, Enqueue, Get, Put, Read, Write

Call = tuple[Any, Any, float, float]
"""Request, response, start, end."""

KEY_VALUE: dict[str, tuple[bool, list[Call]]] = {
    "a value that was put": (True, [(Put("k", 1), None, 0, 1), (Get("k"), 1, 2, 3)]),
    "a value that was deleted": (
        True,
        [(Put("k", 1), None, 0, 1), (Delete("k"), True, 2, 3), (Get("k"), None, 4, 5), (Delete("k"), False, 6, 7)],
    ),
    "a deleted value is back": (False, [(Put("k", 1), None, 0, 1), (Delete("k"), True, 2, 3), (Get("k"), 1, 4, 5)]),
    "both of two compare-and-sets win": (
        False,
        [(Put("k", 1), None, 0, 1), (Cas("k", 1, 2), True, 2, 9), (Cas("k", 1, 3), True, 2, 9)],
    ),
    "one of two compare-and-sets wins": (
        True,
        [(Put("k", 1), None, 0, 1), (Cas("k", 1, 2), True, 2, 9), (Cas("k", 1, 3), False, 2, 9), (Get("k"), 2, 10, 11)],
    ),
    "a compare-and-set that lost took effect": (
        False,
        [(Put("k", 1), None, 0, 1), (Cas("k", 2, 3), False, 2, 3), (Get("k"), 3, 4, 5)],
    ),
    "one that creates": (True, [(Cas("k", None, "x"), True, 0, 1), (Get("k"), "x", 2, 3)]),
    "appends in either order": (
        True,
        [(Append("k", "a"), None, 0, 9), (Append("k", "b"), None, 0, 9), (Get("k"), "ba", 10, 11)],
    ),
    "appends in both orders": (
        False,
        [
            (Append("k", "a"), None, 0, 9),
            (Append("k", "b"), None, 0, 9),
            (Get("k"), "ba", 10, 11),
            (Get("k"), "ab", 12, 13),
        ],
    ),
    "an append twice": (False, [(Append("k", "a"), None, 0, 1), (Get("k"), "aa", 2, 3)]),
    "a lost append, seen late": (
        True,
        [
            (Append("k", "a"), UNKNOWN, 0, 0),
            (Append("k", "b"), None, 1, 2),
            (Get("k"), "b", 3, 4),
            (Get("k"), "ba", 5, 6),
        ],
    ),
    "a lost append, seen twice": (
        False,
        [
            (Append("k", "a"), UNKNOWN, 0, 0),
            (Append("k", "b"), None, 1, 2),
            (Get("k"), "ab", 3, 4),
            (Get("k"), "aba", 5, 6),
        ],
    ),
    "two equal lost appends": (
        True,
        [(Append("k", "a"), UNKNOWN, 0, 0), (Append("k", "a"), UNKNOWN, 1, 1), (Get("k"), "aa", 5, 6)],
    ),
    "two equal lost appends, seen three times": (
        False,
        [(Append("k", "a"), UNKNOWN, 0, 0), (Append("k", "a"), UNKNOWN, 1, 1), (Get("k"), "aaa", 5, 6)],
    ),
}
QUEUE: dict[str, tuple[bool, list[Call]]] = {
    "first in, first out": (
        True,
        [(Enqueue(1), None, 0, 1), (Enqueue(2), None, 2, 3), (Dequeue(), 1, 4, 5), (Dequeue(), 2, 6, 7)],
    ),
    "last in, first out": (False, [(Enqueue(1), None, 0, 1), (Enqueue(2), None, 2, 3), (Dequeue(), 2, 4, 5)]),
    "two at once, in either order": (
        True,
        [(Enqueue(1), None, 0, 3), (Enqueue(2), None, 1, 2), (Dequeue(), 2, 4, 5), (Dequeue(), 1, 6, 7)],
    ),
    "an item taken twice": (False, [(Enqueue(1), None, 0, 1), (Dequeue(), 1, 2, 5), (Dequeue(), 1, 3, 4)]),
    "an item taken before it is there": (False, [(Dequeue(), 1, 0, 1), (Enqueue(1), None, 2, 3)]),
    "an item taken while it comes": (True, [(Dequeue(), 1, 0, 2), (Enqueue(1), None, 1, 3)]),
    "empty while an item is there": (False, [(Enqueue(1), None, 0, 1), (Dequeue(), None, 2, 3), (Dequeue(), 1, 4, 5)]),
    "a lost item": (True, [(Enqueue(1), None, 0, 1), (Dequeue(), UNKNOWN, 2, 2), (Dequeue(), None, 4, 5)]),
}
COUNTER: dict[str, tuple[bool, list[Call]]] = {
    "counts": (True, [(Add(), 1, 0, 1), (Add(2), None, 2, 3), (Count(), 3, 4, 5)]),
    "counts back": (False, [(Add(), None, 0, 1), (Count(), 1, 2, 3), (Count(), 0, 4, 5)]),
    "an update lost": (False, [(Add(), 1, 0, 5), (Add(), 1, 0, 5)]),
    "both at once": (True, [(Add(), 2, 0, 5), (Add(), 1, 0, 5), (Count(), 1, 0, 5)]),
}
REGISTER: dict[str, tuple[bool, list[Call]]] = {
    "starts with the initial value": (True, [(Read("x"), 0, 0, 1), (Read("y"), 0, 2, 3)]),
    "keys apart": (True, [(Write(1, "x"), None, 0, 1), (Read("y"), 0, 2, 3), (Read("x"), 1, 4, 5)]),
    "not apart": (False, [(Write(1, "x"), None, 0, 1), (Read("x"), 0, 2, 3)]),
}
CASES = [
    pytest.param(model, legal, calls, id=f"{type(model).__name__}: {name}")
    for model, histories in (
        (KeyValueModel(), KEY_VALUE),
        (QueueModel(), QUEUE),
        (CounterModel(), COUNTER),
        (RegisterModel(initial_value=0), REGISTER),
    )
    for name, (legal, calls) in histories.items()
]


@pytest.mark.parametrize(("model", "legal", "calls"), CASES)
def test_classic_histories(model: Model[Any], legal: bool, calls: list[Call]) -> None:
    history = [
        Operation("c", request, response, start, float("inf") if response is UNKNOWN else end)
        for request, response, start, end in calls
    ]
    report = check_history(model, history)
    assert report.verdict is (Verdict.OK if legal else Verdict.ILLEGAL), report


def test_answers_with_the_value_before() -> None:
    model = KeyValueModel(answers_with_previous=True)
    good = [Operation("c", Put("k", "a"), None, 0, 1), Operation("c", Append("k", "b"), "a", 2, 3)]
    assert check_history(model, good).verdict is Verdict.OK
    bad = [*good, Operation("c", Put("k", "c"), "a", 4, 5)]
    assert check_history(model, bad).verdict is Verdict.ILLEGAL


class Shouting(KeyValueModel):
    """Commands are "KEY=VALUE" and "KEY"; values are shouted back."""

    def translate(self, request: Any, response: Any) -> tuple[Any, Any]:
        key, equals, value = request.partition("=")
        if equals:
            return Put(key, value), response
        return Get(key), response if response is UNKNOWN else response.lower()


def test_commands_of_ones_own() -> None:
    history = [Operation("c", "k=v", None, 0, 1), Operation("c", "k", "V", 2, 3)]
    assert check_history(Shouting(), history).verdict is Verdict.OK
    history.append(Operation("c", "k", "W", 4, 5))
    report = check_history(Shouting(), history)
    assert report.verdict is Verdict.ILLEGAL
    assert report.key == "k"


@pytest.mark.parametrize("model", [RegisterModel(), KeyValueModel(), QueueModel(), CounterModel()])
def test_unknown_requests_are_named(model: Model[Any]) -> None:
    with pytest.raises(ConfigurationError, match="knows no request 'hello'"):
        check_history(model, [Operation("c", "hello", None, 0, 1)])
    with pytest.raises(ConfigurationError, match="knows no request 'hello'"):
        model.step(model.initial(), "hello", None)
