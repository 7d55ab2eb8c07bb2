"""What docs/museum.md names is there: tests, mutations, invariants; and every bug of it has something to show."""

from __future__ import annotations

import re

import pytest

from raft_actors.testing.invariants import STANDARD_INVARIANTS
from tests.docs.test_readme import ROOT
from tests.mutations.catalogue import EVERY

ROWS = re.findall(
    r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", (ROOT / "docs" / "museum.md").read_text(encoding="utf-8"), re.MULTILINE
)
SHOWN = {int(number): shown for number, _, _, shown in ROWS}


@pytest.fixture(scope="module")
def tests() -> set[str]:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    return {name for source in sources for name in re.findall(r"^(?:async )?def (test_\w+)", source, re.MULTILINE)}


def test_what_the_rows_of_members_name_exists(tests: set[str]) -> None:
    text = (ROOT / "docs" / "museum.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text[text.index("## Members") :]))
    assert named - tests == set()
    assert len(named) >= 20


def test_each_bug_has_a_row_of_its_own() -> None:
    assert sorted(SHOWN) == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 35


@pytest.mark.parametrize("number", SHOWN)
def test_what_shows_that_a_bug_can_not_happen_exists(number: int, tests: set[str]) -> None:
    shown = SHOWN[number]
    named = set(re.findall(r"`(test_\w+|[a-z]+(?:-[a-z]+)+)`", shown))
    invariants = set(re.findall(r"\*([^*]+)\*", shown))
    assert named - tests - EVERY.keys() == set()
    assert invariants - {make().name for make in STANDARD_INVARIANTS} == set()
    assert named & tests
