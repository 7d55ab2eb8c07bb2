"""What nodes say to each other is what is written down; see README.md in this folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.transcripts.player import Player, Unclear

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_written_down_is_what_happens(file: Path) -> None:
    script = file.read_text(encoding="utf-8")
    assert Player().play(script) == script, "read the difference; python -m tests.unit.transcripts --rewrite"


def test_there_is_one_for_each_scenario() -> None:
    stems = {file.stem for file in FILES}
    assert {"pre-vote", "stickiness", "transfer", "handoff", "versions", "gates", "every-change", "members"} <= stems


def test_all_bugs_of_members_that_the_museum_lists_are_in_one() -> None:
    told = " ".join(file.read_text(encoding="utf-8") for file in FILES)
    assert set(re.findall(r": (M\d+)\)", told)) == {f"M{number}" for number in range(1, 18)}


def test_a_step_that_there_is_not() -> None:
    with pytest.raises(Unclear, match="no step 'dance'"):
        Player().play("> dance n1")


def test_what_is_not_a_step_is_left_as_it_is() -> None:
    assert Player().play("Some words.\n\n> greet n1 3 with n2 3\n    old\nmore\n") == (
        "Some words.\n\n> greet n1 3 with n2 3\n    n1 calls: version 3, no features\n"
        "    n2 answers ACCEPTED: version 3, no features\n    both speak version 3, with no features\nmore\n"
    )
