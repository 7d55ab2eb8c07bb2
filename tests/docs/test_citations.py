"""What documents and comments cite is there: files of this repository, and tests by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_readme import DOCUMENTS, ROOT

FOLDERS = ("benchmarks", "docs", "examples", "findings", "persistence", "raft_actors", "tests", "transports")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w/?")
MADE_BY_COMMANDS = "benchmarks/results"
# Working papers come with no release: DESIGN, NOTES.md and the like.
PAPER = re.compile(r"\bDESIGN\b|\b(?!README|CHANGELOG|CONTRIBUTING|SECURITY)[A-Z]{3,}\.md\b")
TEST = re.compile(r"`(test_\w+)(?:\[[^]`]*\])?`")


def sources() -> Iterator[Path]:
    """Every module and document, each once: not by way of the links to folders."""
    yield from (ROOT / name for name in ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "setup.py"))
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            through_a_link = any(parent.is_symlink() for parent in path.parents)
            if path.suffix in {".py", ".md"} and not through_a_link and "results" not in path.parts:
                yield path


def test_every_path_that_is_cited_exists() -> None:
    missing: dict[str, list[str]] = {}
    seen = 0
    for source in sources():
        cited = {path.rstrip("./") for path in PATH.findall(source.read_text(encoding="utf-8"))}
        seen += len(cited)
        gone = [path for path in cited if not (ROOT / path).exists() and not path.startswith(MADE_BY_COMMANDS)]
        if gone:
            missing[source.relative_to(ROOT).as_posix()] = sorted(gone)
    assert missing == {}
    assert seen > 50


def test_no_paper_is_cited_that_nobody_else_has() -> None:
    cited = {
        source.relative_to(ROOT).as_posix(): found
        for source in sources()
        if source != Path(__file__) and (found := PAPER.findall(source.read_text(encoding="utf-8")))
    }
    assert cited == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_that_is_named_exists(document: Path) -> None:
    everything = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = set(TEST.findall(document.read_text(encoding="utf-8")))
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert {name for name in named - modules if not re.search(rf"def {name}\b", everything)} == set()
