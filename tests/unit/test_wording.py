"""Errors of an application whose text can't be made, in all that reports errors."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable

import pytest
from typing_extensions import override

from raft_actors.actors.one_error import one_error
from raft_actors.errors import CommandFailed
from raft_actors.node.failures import not_decoded
from raft_actors.node.operating import _told  # pyright: ignore[reportPrivateUsage]
from raft_actors.node_log import NodeLog
from raft_actors.wording import described, text_of


class MuteError(ValueError):
    """One whose text can't be made."""

    @override
    def __str__(self) -> str:
        raise TypeError("nor is this one's")

    @override
    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("nor can it be pickled")


def test_an_error_is_told_by_its_type_and_text() -> None:
    assert (text_of(KeyError("a")), described(KeyError("a"))) == ("'a'", "KeyError: 'a'")
    assert (text_of(MuteError()), described(MuteError())) == ("MuteError", "MuteError")


def _pickled() -> str:
    failed = CommandFailed(5)
    failed.__cause__ = MuteError()
    return str(pickle.loads(pickle.dumps(failed)).__cause__)


def _noted() -> str:
    return one_error(BaseExceptionGroup("both", [ValueError("first"), MuteError()])).__notes__[0]


@pytest.mark.parametrize(
    "report",
    [
        _pickled,
        _noted,
        lambda: str(not_decoded(1, 1, b"", MuteError())),
        lambda: _told(MuteError())["text"],  # type: ignore[arg-type]
    ],
    ids=["in a pickle", "in a note", "for an operator of the node", "in a reply"],
)
def test_one_that_has_no_text_is_told_by_its_type(report: Callable[[], str]) -> None:
    assert "MuteError" in report()


def test_a_log_line_about_it_is_written(caplog: pytest.LogCaptureFixture) -> None:
    NodeLog(logging.getLogger("raft_actors.tests"), "n1").warning("failed: %s", MuteError())
    assert caplog.messages == ["node n1: failed: MuteError"]
