"""The checker of histories knows good ones from bad ones."""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import Any

import pytest

from raft_actors import ConfigurationError
from raft_actors.testing import UNKNOWN, Model, Operation, Verdict, check_history


class Register(Model[Any]):
    """Requests: ("write", key, value) or ("read", key)."""

    def initial(self) -> Any:
        return 0

    def step(self, state: Any, request: Any, response: Any) -> tuple[bool, Any]:
        if request[0] == "write":
            return True, request[2]
        return response is UNKNOWN or response == state, state

    def key(self, request: Any) -> Hashable:
        key: Hashable = request[1]
        return key


def write(start: float, end: float, value: int, key: str = "x") -> Operation:
    return Operation("a", ("write", key, value), None, start, end)


def read(start: float, end: float, value: int, key: str = "x") -> Operation:
    return Operation("b", ("read", key), value, start, end)


def lost_write(start: float, value: int, key: str = "x") -> Operation:
    return Operation("a", ("write", key, value), UNKNOWN, start)


GOOD = {
    "nothing": [],
    "one after the other": [write(0, 1, 1), read(2, 3, 1)],
    "a read sees a write under way": [write(0, 10, 1), read(1, 2, 1)],
    "a read before a write takes effect": [write(0, 10, 1), read(1, 2, 0)],
    "old, then new, during one write": [write(0, 10, 1), read(1, 2, 0), read(3, 4, 1)],
    "two writes in either order": [write(0, 10, 1), write(0, 10, 2), read(11, 12, 1)],
    "the other order": [write(0, 10, 1), write(0, 10, 2), read(11, 12, 2)],
    "an unknown write that took effect late": [lost_write(0, 1), read(5, 6, 0), read(7, 8, 1)],
    "an unknown write that never did": [lost_write(0, 1), read(5, 6, 0), read(7, 8, 0)],
    "keys apart": [write(0, 1, 1), write(0, 1, 2, "y"), read(2, 3, 1), read(2, 3, 2, "y")],
    "ends where the other begins": [write(0, 1, 1), read(1, 2, 0)],
}
BAD = {
    "a stale read": [write(0, 1, 1), read(2, 3, 0)],
    "a value from nowhere": [read(0, 1, 7)],
    "new, then old": [write(0, 10, 1), read(1, 2, 1), read(3, 4, 0)],
    "two readers see two orders": [
        write(0, 1, 1),
        write(0, 1, 2),
        read(2, 3, 1),
        read(4, 5, 2),
    ],
    "a write seen before it began": [read(0, 1, 1), write(2, 3, 1)],
    "an unknown write that took effect twice": [lost_write(0, 1), read(2, 3, 1), write(4, 5, 2), read(6, 7, 1)],
    "one key of two": [write(0, 1, 1), write(0, 1, 2, "y"), read(2, 3, 1), read(2, 3, 0, "y")],
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    report = check_history(Register(), GOOD[name])
    assert report.verdict is Verdict.OK
    assert str(report) == f"linearizable ({len(GOOD[name])} operations)"


@pytest.mark.parametrize("name", BAD)
def test_bad(name: str) -> None:
    report = check_history(Register(), BAD[name])
    assert report.verdict is Verdict.ILLEGAL
    assert report.window
    assert str(report.window[0].request) in str(report)


def test_the_key_is_named() -> None:
    assert check_history(Register(), BAD["one key of two"]).key == "y"


def test_a_search_too_long_is_undecided() -> None:
    report = check_history(Register(), BAD["two readers see two orders"], max_steps=3)
    assert report.verdict is Verdict.UNDECIDED


def test_time_runs_forward() -> None:
    with pytest.raises(ConfigurationError, match="can't end"):
        write(2, 1, 1)


@pytest.mark.parametrize("seed", range(20))
def test_a_real_register_is_linearizable_until_one_answer_is_changed(seed: int) -> None:
    rng = random.Random(seed)
    history: list[Operation] = []
    value, values, now = 0, 0, 0.0
    for _ in range(200):
        # Each call takes effect at `now`, somewhere within a span that overlaps its neighbours'.
        now += 1
        start, end = now - rng.uniform(0, 5), now + rng.uniform(0, 5)
        if rng.random() < 0.3:
            value = values = values + 1
            history.append(write(start, end, value))
        else:
            history.append(read(start, end, value))
    rng.shuffle(history)
    assert check_history(Register(), history).verdict is Verdict.OK
    last = max((one for one in history if one.request[0] == "read"), key=lambda one: one.start_s)
    broken = [one if one is not last else read(last.start_s, last.end_s, last.response - 10) for one in history]
    assert check_history(Register(), broken).verdict is Verdict.ILLEGAL
