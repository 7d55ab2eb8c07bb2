"""The table of bugs speaks of what docs/bugs.md has, and what a run of pytest says of a bug is told apart rightly."""

from __future__ import annotations

import re

import pytest

from tests.bugs.__main__ import TABLE, verdict
from tests.bugs.history import bugs


def test_each_bug_can_be_called_by_a_name_of_its_own() -> None:
    names = [bug.name for bug in bugs()]
    assert len(names) == len(set(names))
    assert all(bug.tests or bug.files or bug.mutants for bug in bugs() if "Python 3.12" not in bug.title)


def test_a_test_is_called_with_its_parameter_where_the_document_names_one() -> None:
    named = {bug.title: bug.tests for bug in bugs()}
    assert named["A result of two hundred tuples within each other ended the process that read it"] == (
        "test_nothing_is_found[result]",
    )


def test_the_table_has_no_bug_that_is_not_in_the_document() -> None:
    rows = re.findall(
        r"^\| (.*?) \| `python -m tests.bugs \"(.*?)\"` \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) > 50
    assert set(rows) <= {(bug.title, bug.name) for bug in bugs()}


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        (0, "3 passed in 0.1s", "passes there"),
        (0, "1 skipped in 0.1s", "skipped here"),
        (1, "E   AssertionError: 3 != 4\n1 failed", "shown: fails"),
        (1, "ImportError: cannot import name 'Later'", "can't run there"),
        (2, "ERROR x.py\n1 error during collection", "can't run there"),
        (1, "TypeError: got an unexpected keyword argument 'later'", "can't run there"),
        (4, "ERROR: not found: x.py::test_y", "can't run there"),
    ],
)
def test_a_failure_for_lack_of_a_name_shows_no_bug(code: int, output: str, expected: str) -> None:
    assert verdict(code, output) == expected
