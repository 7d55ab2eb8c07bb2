"""The set of mutations fits the source, and the simulator catches some of them at once; `make mutations` tries all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutations.catalogue import CATALOGUE, EVERY, GAPS, MUTATIONS
from tests.mutations.mutation import DoesNotApply, Edit, Mutation, mutation
from tests.mutations.report import outcomes_in, table
from tests.mutations.trial import Outcome, make_copy, run_trial, source_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "mutations.md"

SOURCE = '''\
class Counter:
    """Counts."""

    def add(self, amount):
        if amount:
            self.total += amount
            self.count += 1
        return self.total

    def remove(self, amount):
        self.total -= amount
        return self.total
'''


def change(old: str, new: str, within: str = "Counter.add") -> str:
    return Edit("counter.py", within, old, new).apply(SOURCE)


# --- the tool ---------------------------------------------------------------------------------------------------------


def test_text_is_looked_for_in_one_function() -> None:
    assert change("return self.total", "return 0") == SOURCE.replace("return self.total", "return 0", 1)
    assert change("return self.total", "return 0", "Counter.remove").endswith("amount\n        return 0\n")


def test_lines_may_stand_at_any_depth() -> None:
    changed = change(
        """
        self.total += amount
        self.count += 1
        """,
        """
        self.count += 1
        if self.count:
            self.total += amount
        """,
    )
    assert "            self.count += 1\n            if self.count:\n                self.total += amount\n" in changed


def test_a_part_of_a_line_may_become_lines() -> None:
    assert "        self.total -= 1\n        pass\n" in change("= amount", "= 1\npass", "Counter.remove")


@pytest.mark.parametrize(
    ("old", "new", "within", "complaint"),
    [
        ("return self.sum", "return 0", "Counter.add", "0 times"),
        ("amount", "1", "Counter.add", "3 times"),
        ("return self.total", "return 0", "", "2 times"),
        ("if amount:", "if:", "Counter.add", "no Python"),
        ('"""Counts."""', '"""Counts."""  # well', "Counter", "no difference"),
        ("return", "return 0", "Counter.subtract", "no Counter.subtract"),
    ],
)
def test_what_does_not_apply_says_so(old: str, new: str, within: str, complaint: str) -> None:
    with pytest.raises(DoesNotApply, match=re.escape(complaint)):
        change(old, new, within)


def test_the_error_names_the_mutation() -> None:
    stale = mutation("stale-one", "a rule", "§1", Edit("counter.py", "Counter.add", "return 7", "return 8"))
    with pytest.raises(DoesNotApply, match=r"'stale-one' does not apply: in counter.py, Counter.add .* 0 times"):
        stale.apply(lambda _file: SOURCE)


def test_several_edits_of_one_file_add_up() -> None:
    both = mutation(
        "both",
        "a rule",
        "§1",
        Edit("counter.py", "Counter.add", "return self.total", "return 1"),
        Edit("counter.py", "Counter.remove", "return self.total", "return 2"),
    )
    (changed,) = both.apply(lambda _file: SOURCE).values()
    assert "return 1" in changed
    assert "return 2" in changed


def test_the_checkout_is_left_alone(tmp_path: Path) -> None:
    before = source_of("raft/quorum.py")
    some = MUTATIONS["half-is-a-majority"]
    make_copy(tmp_path / "raft_actors", some.apply(source_of))
    assert source_of("raft/quorum.py") == before
    assert (tmp_path / "raft_actors" / "raft" / "quorum.py").read_text() != before
    assert (tmp_path / "raft_actors" / "persistence" / "memory.py").is_file()
    assert not list((tmp_path / "raft_actors").rglob("quorum.*.pyc"))


def test_the_table_tells_what_survived() -> None:
    outcomes = {
        name: Outcome(mutation=each, caught_by="liveness", seeds=number, text="")
        for number, (name, each) in enumerate(MUTATIONS.items(), start=1)
    }
    first = next(iter(MUTATIONS.values()))
    outcomes[first.name] = Outcome(mutation=first, caught_by="", seeds=9, text="")
    document = table(outcomes, seeds=9, seconds=30.0, baseline=5)
    assert f"| {first.name} | {first.breaks} | {first.source} | **survived** | 9 |" in document
    assert f"{len(MUTATIONS) - 1} of {len(MUTATIONS)} are caught" in document


# --- the set ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_each_mutation_fits_the_source(name: str) -> None:
    assert EVERY[name].apply(source_of)


def test_there_are_enough_and_no_two_share_a_name_or_a_change() -> None:
    everyone = [each for group in CATALOGUE.values() for each in group]
    assert len(everyone) == len(EVERY)
    assert len(MUTATIONS) >= 60
    assert GAPS.keys() <= EVERY.keys()
    assert len({each.edits for each in everyone}) == len(everyone)


def test_the_document_tells_of_each_and_counts_right() -> None:
    """Rows are results; all else follows from them. A row that is put in by hand must change the sums too."""
    document = DOCUMENT.read_text(encoding="utf-8")
    outcomes = outcomes_in(document)
    assert list(outcomes) == list(MUTATIONS), "run `make mutations`"
    assert all(outcome.caught_by for outcome in outcomes.values())
    (caught,) = re.findall(rf"^(\d+) of {len(MUTATIONS)} are caught", document, re.MULTILINE)
    (sums,) = re.findall(r"^\| caught by \| mutations \|\n.*\n((?:\|.*\n)+)", document, re.MULTILINE)
    assert sum(int(number) for number in re.findall(r"(\d+) \|$", sums, re.MULTILINE)) == int(caught)
    assert document == table(outcomes, seeds=100, seconds=30.0, baseline=100), "python -m tests.mutations --rewrite"


@pytest.mark.parametrize("name", [name for name, each in EVERY.items() if each.scenario])
def test_a_scenario_is_a_test_of_the_suite_and_takes_no_profile(name: str) -> None:
    file, _, test = EVERY[name].scenario.partition("::")
    assert f"async def {test}(" in (DOCUMENT.parents[1] / file).read_text(encoding="utf-8")
    assert EVERY[name].profile is None


SAMPLE = {
    "own-match-before-durable": "committed stays committed",
    "vote-before-durable": "durable before sent",
    "follower-never-stands": "liveness",
}


@pytest.mark.parametrize("name", SAMPLE)
async def test_a_mutation_is_caught(name: str) -> None:
    outcome = await run_trial(MUTATIONS[name], seeds=5, seconds=5.0)
    assert outcome.caught_by == SAMPLE[name], outcome.text


async def test_a_mutation_is_caught_by_its_scenario() -> None:
    outcome = await run_trial(MUTATIONS["dead-learner-promoted"], seeds=5, seconds=5.0)
    assert (outcome.caught_by, outcome.seeds) == ("`test_without_promote_only_who_holds_all_becomes_a_voter`", 0)


async def test_the_unchanged_package_is_not_caught() -> None:
    unchanged: Mutation | None = None
    outcome = await run_trial(unchanged, seeds=2, seconds=5.0)
    assert (outcome.caught_by, outcome.seeds) == ("", 2), outcome.text
