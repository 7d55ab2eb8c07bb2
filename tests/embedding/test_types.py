"""mypy and pyright, both strict, accept an application that is right and refuse one that is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parent / "sample_application.py"

#: What must not pass: code → what the checkers have to complain about.
WRONG = {
    'await node.propose("alice")': "propose",
    'await node.propose_many([Add("alice", 5), 5])': "propose_many",
    'node.propose_nowait(b"raw")': "propose_nowait",
    'answer: str = await node.propose(Close("alice"))': "answer",
    "await node.read(lambda accounts: accounts.balnces)": "read",
}

ROOT = Path(__file__).parents[2]

STRICT = {"typeCheckingMode": "strict", "pythonVersion": "3.11", "extraPaths": [str(ROOT)]}


def check(folder: Path, checker: str) -> str:
    """The checker's complaints about the folder, a line each."""
    commands = {
        "mypy": [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "--cache-dir", str(folder), str(folder)],
        "pyright": [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(folder)],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(STRICT))
    # An editable installation is found by an import hook, which no checker runs.
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(commands[checker], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return "\n".join(line for line in done.stdout.splitlines() if "error" in line and "application.py" in line)


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_both_checkers_conclude_what_an_application_needs(tmp_path: Path, checker: str) -> None:
    pytest.importorskip(checker)
    right = SAMPLE.read_text()
    (tmp_path / "right_application.py").write_text(right)
    body = "".join(f"    {code}\n" for code in WRONG)
    (tmp_path / "wrong_application.py").write_text(f"{right}\n\nasync def wrong(node: Node[Accounts]) -> None:\n{body}")
    complaints = check(tmp_path, checker)
    assert "right_application.py" not in complaints
    first = right.count("\n") + 4
    found = {int(line.split("wrong_application.py:")[1].split(":")[0]) for line in complaints.splitlines()}
    assert found == set(range(first, first + len(WRONG)))
