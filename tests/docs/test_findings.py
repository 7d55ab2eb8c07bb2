"""The scripts of findings/ have the form that its README asks for. They are not run here: they install packages."""

import os
import re
from pathlib import Path

import pytest

FINDINGS = Path(__file__).parents[2] / "findings"
SCRIPTS = sorted(FINDINGS.glob("*.sh"))


def test_the_list_names_each_script() -> None:
    listed = re.findall(r"^\| \[`(\S+)`\]\((\S+)\)", (FINDINGS / "README.md").read_text(), flags=re.MULTILINE)
    assert [(script.name, script.name) for script in SCRIPTS] == listed


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_has_the_form_of_all(script: Path) -> None:
    text = script.read_text()
    assert os.access(script, os.X_OK)
    for part in ("Seen with:", "What it does:", "Why it surprises:", "Output seen:", "Exit status:"):
        assert f"# {part}" in text, f"{part} is missing"
    installed = re.findall(r"pip install (.*)", text)
    packages = [word for line in installed for word in line.split() if not word.startswith("--")]
    assert all(re.fullmatch(r"[\w\[\]-]+==[\w.]+", package) for package in packages), packages
    assert not re.search(r"raft_actors|--index|https?://(?!127\.0\.0\.1:)", text)
