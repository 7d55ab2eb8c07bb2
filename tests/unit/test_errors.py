"""Errors cross processes: pickle, copy and deepcopy keep their type, text, attributes, notes and cause."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import pytest

import raft_actors
from raft_actors import (
    CommandFailed,
    CommandTooLarge,
    LeadershipEnded,
    LeadershipLost,
    NodeStopped,
    NotCommitted,
    NotLeader,
    RaftError,
    ResultLost,
    SessionExpired,
    StateDiverged,
)
from raft_actors.node.client_refusals import Refused
from raft_actors.testing.failure import CheckFailed
from raft_actors.transports.greeting import NOT_A_MEMBER, Denied, Refusal
from raft_actors.transports.tls.failures import TlsFailure, Trouble
from tests.unit.failing import OfAnApplication, fail

#: Those that do not simply take a text.
ARGUMENTS: dict[type[BaseException], list[tuple[Any, ...]]] = {
    NotLeader: [("n2", "10.0.0.2:7000", 7), (None,)],
    LeadershipLost: [(3, 7), (3, None)],
    NotCommitted: [(3, 7), (3, 9, (1, 2))],
    ResultLost: [(7,)],
    SessionExpired: [(7,)],
    LeadershipEnded: [(3, "term 4 has begun")],
    CommandTooLarge: [(9, 8)],
    CommandFailed: [(5,)],
    NodeStopped: [("n1", 4), ("n1",)],
    StateDiverged: [("n1", 40, {"n1": "aa", "n2": "bb"})],
    CheckFailed: [("text", "what")],
    Denied: [(b"its reply", Refusal(NOT_A_MEMBER, "a text"))],
    Refused: [("a text", "ProtocolError")],
    TlsFailure: [(Trouble.PLAIN,), (Trouble.OTHER_NODE, "n2")],
}


def pickled(protocol: int, error: Any) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {protocol}": partial(pickled, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)},
}


def _all_errors() -> list[type[BaseException]]:
    for module in pkgutil.walk_packages(raft_actors.__path__, "raft_actors."):
        if "__main__" not in module.name:
            importlib.import_module(module.name)
    found: dict[type[BaseException], None] = {CheckFailed: None}

    def walk(cls: type[RaftError]) -> None:
        found[cls] = None
        for subclass in cls.__subclasses__():
            if subclass.__module__.startswith("raft_actors"):
                walk(subclass)

    walk(RaftError)
    return sorted(found, key=lambda cls: f"{cls.__module__}.{cls.__name__}")


ERRORS = [
    pytest.param(cls, arguments, id=f"{cls.__module__}.{cls.__name__}{number or ''}")
    for cls in _all_errors()
    for number, arguments in enumerate(ARGUMENTS.get(cls, [("a text",)]))
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("cls", "arguments"), ERRORS)
def test_every_error_survives(cls: type[BaseException], arguments: tuple[Any, ...], way: str) -> None:
    error = cls(*arguments)
    error.add_note("a note")
    again = WAYS[way](error)
    assert (type(again), str(again), again.args, vars(again)) == (cls, str(error), error.args, vars(error))
    assert repr(again) == repr(error)


@pytest.mark.parametrize("way", WAYS)
def test_the_cause_survives(way: str) -> None:
    error = CommandFailed(5)
    error.__cause__ = ValueError("a refusal")
    again = WAYS[way](error)
    assert (type(again.__cause__), str(again.__cause__)) == (ValueError, "a refusal")
    assert again.__suppress_context__


@pytest.mark.parametrize("way", WAYS)
def test_a_cause_that_can_not_be_pickled_is_told_as_text(way: str) -> None:
    error = CommandFailed(5)
    error.__cause__ = cause = ValueError("a refusal")
    cause.lock = threading.Lock()  # type: ignore[attr-defined]
    again = WAYS[way](error)
    if way in ("copy", "deepcopy"):
        assert again.__cause__ is cause
    else:
        assert repr(again.__cause__) == "RaftError('ValueError: a refusal')"


def test_a_copy_shares_nothing_that_a_note_would_change() -> None:
    error = NotLeader("n2")
    error.add_note("a note")
    copy.deepcopy(error).add_note("another")
    assert error.__notes__ == ["a note"]


def test_errors_come_out_of_a_process_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(OfAnApplication, match="node 'n2' leads") as own:
            pool.submit(fail, "application").result()
        assert (own.value.leader, own.value.request) == ("n2", "r1")
        with pytest.raises(CommandFailed, match="at index 5") as failed:
            pool.submit(fail, "command").result()
        assert failed.value.index == 5


def test_not_leader_says_that_its_address_takes_no_proposals() -> None:
    assert str(NotLeader("n2", "10.0.0.2:7000")) == (
        "not the leader: node 'n2' leads (nodes reach it at 10.0.0.2:7000, which takes no proposals); propose there, "
        "or wait_leader_changed() here"
    )
