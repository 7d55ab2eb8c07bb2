"""The README tells the truth: its example runs as printed, its links lead somewhere, its make targets exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
PAGES = sorted({*DOCUMENTS, *(ROOT / "docs").rglob("*.md")})


def code_blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_the_embedding_example_runs_as_printed_and_prints_what_the_readme_says(tmp_path: Path) -> None:
    (example,) = code_blocks(ROOT / "README.md", "python")
    program = tmp_path / "accounts.py"
    program.write_text(example, encoding="utf-8")

    finished = subprocess.run(
        [sys.executable, "-W", "error", str(program)], capture_output=True, text=True, check=False, cwd=tmp_path
    )

    (promised,) = re.findall(r"^It prints (.*)\.$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert finished.stdout.splitlines() == re.findall(r"`([^`]*)`", promised), finished.stderr
    assert finished.returncode == 0


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def headings(document: Path) -> set[str]:
    """What a link to one of the document's headings ends in."""
    found = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_heading_leads_to_one(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)]+)\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if link[1] not in headings(document.parent / link[0] if link[0] else document)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    commands = re.findall(r"`[^`]+`|^\$ .*$", text, re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", " ".join(commands)))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()
