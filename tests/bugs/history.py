"""The bugs of docs/bugs.md, and where in the history their tests came: there the fix is, and before it the bug."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "bugs.md"


@attrs.frozen
class Bug:
    """One entry of the document.

    Attributes:
        title: its words in bold, without the full stop.
        tests: names of tests that show it, with a parameter in brackets where only that one does.
        files: files of which every test does.
        mutants: what is shown by breaking the code of today instead.
        first_words: as the document has them in its line: what its history is searched for.
    """

    title: str
    first_words: str
    tests: tuple[str, ...]
    files: tuple[str, ...]
    mutants: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a command line calls it: its first words."""
        return " ".join(re.findall(r"[\w-]+", self.title)[:7]).lower()


@attrs.frozen
class Fix:
    """The commit that brought a test, and with it the fix.

    Attributes:
        commit, subject: which.
        target: the test as pytest calls it, in that commit.
    """

    commit: str
    subject: str
    target: str


def bugs() -> list[Bug]:
    """All of the document, in its order."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found: list[Bug] = []
    for part in re.split(r"\n- \*\*", text)[1:]:
        title, _, rest = part.partition("**")
        # "A store that … for ever**: what" goes on; the title is what stands in bold.
        tests = dict.fromkeys(re.findall(r"`(test_\w+(?:\[[^]`]*\])?)`", rest))
        files = dict.fromkeys(re.findall(r"`(tests/[\w/]+\.py)`", rest))
        mutants = dict.fromkeys(re.findall(r"mutant “([^”]*)”", rest))
        found.append(
            Bug(
                " ".join(title.split()).rstrip("."),
                title.split("\n")[0].rstrip("."),
                tuple(tests),
                tuple(files),
                tuple(mutants),
            )
        )
    return found


def git(*arguments: str, folder: Path = ROOT) -> str:
    """What git says."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@cache
def _first_with(text: str, *paths: str, added: bool = False) -> tuple[str, str] | None:
    """The first commit whose change of the paths has this text (or that adds a file of this path): hash and subject."""
    what = ["--diff-filter=A", "--", text] if added else [f"-S{text}", "--", *paths]
    lines = git("log", "--reverse", "--format=%H %s", *what).splitlines()
    if not lines:
        return None
    commit, _, subject = lines[0].partition(" ")
    return commit, subject


def fixes(bug: Bug) -> Iterator[Fix]:
    """Where each of its tests came from, and where the document came to speak of it: one of these is the fix."""
    written = _first_with(bug.first_words, "docs/bugs.md")
    for name in bug.tests:
        definition = f"def {name.partition('[')[0]}("
        for found in dict.fromkeys((_first_with(definition, "tests"), written)):
            if found is None:
                continue
            commit, subject = found
            listed = _grep(definition, commit)
            if listed is not None:
                yield Fix(commit, subject, f"{listed}::{name}")
    for path in bug.files:
        for found in dict.fromkeys((_first_with(path, added=True), written)):
            if found is not None:
                yield Fix(*found, path)


def _grep(text: str, commit: str) -> str | None:
    """A file below tests/ that has the text in that commit."""
    command = ["git", "grep", "--fixed-strings", "--name-only", text, commit, "--", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].partition(":")[2] if done.stdout else None
