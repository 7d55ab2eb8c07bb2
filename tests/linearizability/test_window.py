"""An illegal history is explained by the few operations that matter."""

from __future__ import annotations

from random import Random
from typing import Any

from raft_actors.testing import (
    UNKNOWN,
    CounterModel,
    KeyValueModel,
    Operation,
    QueueModel,
    RegisterModel,
    Verdict,
    check_history,
)
from raft_actors.testing.models import Cas, Dequeue, Enqueue, Get, Put, Read, Write


def long_history(rng: Random, count: int, clients: int = 6) -> list[Operation]:
    """What a correct register could have answered to clients that overlap, three in a hundred without an answer."""
    operations: list[Operation] = []
    value = None
    busy_until = [0.0] * clients
    planned = []
    for number in range(count):
        client = min(range(clients), key=busy_until.__getitem__)
        start = busy_until[client] + rng.expovariate(20)
        end = busy_until[client] = start + rng.expovariate(10)
        planned.append((rng.uniform(start, end), start, end, client, number))
    for _, start, end, client, number in sorted(planned):
        lost = rng.random() < 0.03
        if rng.random() < 0.5:
            if not lost or rng.random() < 0.5:
                value = number
            request: Write | Read = Write(number)
            response = None
        else:
            request, response = Read(), value
        if lost:
            operations.append(Operation(f"c{client}", request, UNKNOWN, start))
        else:
            operations.append(Operation(f"c{client}", request, response, start, end))
    return operations


def test_thousands_of_operations_on_one_key() -> None:
    for seed in range(3):
        history = long_history(Random(seed), 3000)
        report = check_history(RegisterModel(), history, max_steps=200_000)
        assert report.verdict is Verdict.OK, seed


def test_a_stale_read_among_hundreds() -> None:
    for seed in range(3):
        history = long_history(Random(seed), 400)
        last = max((one for one in history if one.response is not UNKNOWN), key=lambda one: one.end_s)
        end = last.end_s
        history.append(Operation("x", Write("new"), None, end + 1, end + 2))
        history.append(Operation("y", Write("newer"), None, end + 3, end + 4))
        stale = Operation("z", Read(), "new", end + 5, end + 6)
        report = check_history(RegisterModel(), [*history, stale])
        assert report.verdict is Verdict.ILLEGAL
        assert stale in report.window
        assert len(report.window) <= 3
        assert "* z" in report.timeline
        assert len(report.timeline.splitlines()) <= 8


def test_two_operations_that_contradict_each_other() -> None:
    """They say more than the state that one of them should have seen."""
    old, new = Operation("a", Write(1), None, 0, 1), Operation("b", Write(2), None, 2, 3)
    read = Operation("c", Read(), 1, 4, 5)
    report = check_history(RegisterModel(), [old, new, read])
    assert report.states == (1,)
    assert report.window == (new, read)
    assert report.timeline.splitlines() == [
        "  a |--|              Write(value=1, key=None) → None   0.0000–1.0000 s",
        "* b       |--|        Write(value=2, key=None) → None   2.0000–3.0000 s",
        "* c             |--|  Read(key=None) → 1   4.0000–5.0000 s",
    ]


def test_what_is_under_way_is_told_by_its_answer_only_where_it_matters() -> None:
    """The compare-and-set that ends later took effect before the read, or else after it: neither explains it."""
    history = [
        Operation("a", Put("k", "1"), None, 0, 1),
        Operation("b", Cas("k", "1", "2"), False, 2, 20),
        Operation("c", Get("k"), "2", 3, 4),
        Operation("d", Get("k"), "1", 30, 31),
    ]
    report = check_history(KeyValueModel(), history)
    assert report.verdict is Verdict.ILLEGAL
    assert [one.client for one in report.window] == ["b", "c"]


def test_a_queue_out_of_order() -> None:
    history = [
        Operation("a", Enqueue(1), None, 0, 1),
        Operation("a", Enqueue(2), None, 2, 3),
        Operation("b", Dequeue(), 2, 4, 5),
    ]
    report = check_history(QueueModel(), history)
    assert report.states == ((),)
    assert [one.request for one in report.window] == [Enqueue(1), Dequeue()]


def test_long_values_are_cut_in_the_timeline() -> None:
    report = check_history(RegisterModel(), [Operation("a", Read(), "x" * 500, 0, 1)])
    assert len(report.timeline) < 200
    assert "…" in report.timeline


def test_more_states_than_anybody_would_read() -> None:
    lost = [Operation("lost", Write(value), UNKNOWN, 0) for value in range(40)]
    history = [*lost, Operation("a", Write("here"), None, 1, 2), Operation("b", Read(), "nowhere", 3, 4)]
    report = check_history(RegisterModel(), history)
    assert report.verdict is Verdict.ILLEGAL
    assert report.states == ()
    assert report.window == (history[-1],)
    assert "whatever the state before" in str(report)


def test_requests_that_cannot_be_hashed() -> None:
    class Sums(CounterModel):
        def translate(self, request: Any, response: Any) -> tuple[Any, Any]:
            return request, response

        def step(self, state: int, request: Any, response: Any) -> tuple[bool, int]:
            after = state + sum(request)
            return response is UNKNOWN or response == after, after

        def is_read(self, request: Any) -> bool:
            return not request

    history = [
        Operation("a", [1, 2], UNKNOWN, 0),
        Operation("a", [1, 2], UNKNOWN, 0),
        Operation("b", [], 6, 1, 2),
    ]
    assert check_history(Sums(), history).verdict is Verdict.OK
    assert check_history(Sums(), [*history, Operation("b", [], 3, 3, 4)]).verdict is Verdict.ILLEGAL


def test_bounds() -> None:
    history = long_history(Random(1), 1000)
    late = check_history(RegisterModel(), history, max_seconds=0)
    assert late.verdict is Verdict.UNDECIDED
    assert str(late) == f"the {len(history):,} operations could not be decided in time"
    for steps in range(0, 40, 3):
        assert check_history(RegisterModel(), history, max_steps=steps).verdict is Verdict.UNDECIDED
