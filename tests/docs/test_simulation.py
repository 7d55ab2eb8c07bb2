"""What docs/simulation.md shows runs as printed, finds what it says, and fails as it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from raft_actors.cli.main import make_parser
from raft_actors.testing import Simulation
from tests.docs.test_readme import ROOT, code_blocks

DOCUMENT = ROOT / "docs" / "simulation.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")

# Examples are drawn as always, but the same ones each time, and not shrunk: tests/simulation_for_users shrinks.
CONFTEST = """
pytest_plugins = ["raft_actors.testing.pytest_plugin"]
from hypothesis import Phase, settings
settings.register_profile("brief", derandomize=True, database=None, phases=[Phase.generate])
settings.load_profile("brief")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files that the document shows, under the names that it gives them."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    for block in code_blocks(DOCUMENT, "python"):
        (folder / block.split("\n")[0].removeprefix("# ")).write_text(block, encoding="utf-8")
    return folder


def run_pytest(folder: Path, *arguments: str) -> str:
    """What a run of pytest that must find something prints."""
    command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "COLUMNS": "300"}  # the summary is not to be cut
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert finished.returncode == 1, finished.stdout + finished.stderr
    return finished.stdout


def promised() -> list[re.Pattern[str]]:
    """The failures that the document shows, each `…` of which stands for anything."""
    lines = re.findall(r"^CheckFailed: (.*)$", TEXT, re.MULTILINE)
    return [re.compile(".*".join(map(re.escape, line.split("…")))) for line in lines]


def test_every_example_finds_its_defect_and_says_what_the_document_says(folder: Path) -> None:
    tests = sorted(path.name for path in folder.glob("test_*.py"))
    output = run_pytest(folder, *tests)
    failed = set(re.findall(r"^FAILED (\w+\.py).* - .*CheckFailed", output, re.MULTILINE))
    assert failed == set(tests), output
    for pattern in promised():
        assert pattern.search(output), (pattern, output)
    assert "from raft_actors.testing.steps import" in output, "Hypothesis' failure has no script"
    assert len(promised()) == 2


def test_the_shown_command_replays_a_seed_and_the_report_prints_such_a_one(folder: Path) -> None:
    replay, widen = (shlex.split(line) for line in re.findall(r"^\$ pytest (.*)$", TEXT, re.MULTILINE))
    name, option, seed = replay
    assert option == widen[1] == "--raft-seeds"
    output = run_pytest(folder, "test_lock.py", option, "1:4")  # a few of those that the other one runs
    failed = re.findall(r"^again: (?:PYTHONHASHSEED=\d+ )?pytest '(.*)' --raft-seeds (\d+)$", output, re.MULTILINE)
    assert failed, output
    assert name == failed[0][0].replace(f"seed{failed[0][1]}", f"seed{seed}")
    again = run_pytest(folder, failed[0][0], option, failed[0][1])
    (shown, *_), (seen, *_) = (re.findall(r"^E .*CheckFailed: (.*)$", text, re.MULTILINE) for text in (output, again))
    assert shown == seen


def test_the_shown_raft_actors_commands_are_understood() -> None:
    commands = re.findall(r"^\$ raft-actors (.*)$", TEXT, re.MULTILINE)
    assert commands
    for command in commands:
        make_parser().parse_args(shlex.split(command))


def test_every_method_that_is_named_for_the_cluster_exists() -> None:
    (table,) = re.findall(r"^\| processes \|.*?^\| disks", TEXT, re.MULTILINE | re.DOTALL)
    named = re.findall(r"`(\w+)[`(]", table)
    assert {name for name in named if not hasattr(Simulation, name)} == set()
    assert len(named) > 15
