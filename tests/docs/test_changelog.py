"""Fragments of the changelog have kinds that there are, and towncrier can make a section of them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest

from tests.docs.test_readme import ROOT

FOLDER = ROOT / "changelog.d"


def test_each_fragment_is_of_a_kind_and_says_something() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    kinds = {kind["directory"] for kind in settings["tool"]["towncrier"]["type"]}
    for path in FOLDER.glob("*"):
        if path.name == ".gitignore":
            continue
        found = re.fullmatch(r"\+[\w-]+\.(\w+)\.md", path.name)
        assert found is not None, f"{path.name}: a fragment is called +a-few-words.kind.md"
        assert found[1] in kinds, f"{path.name}: its kind is one of {', '.join(sorted(kinds))}"
        assert path.read_text(encoding="utf-8").strip().endswith("."), path.name


def test_towncrier_makes_a_section() -> None:
    pytest.importorskip("towncrier")
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9.9", "--date", "2026-01-01"]
    done = subprocess.run([*command, "--name", "raft_actors"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "## [9.9.9] - 2026-01-01" in done.stdout
    for path in FOLDER.glob("+*.md"):
        assert path.read_text(encoding="utf-8").split()[0] in done.stdout
