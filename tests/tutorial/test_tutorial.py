"""The tutorial's programs run as printed, print what it shows, and its tests can fail."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_readme import ROOT, code_blocks

TUTORIAL = ROOT / "docs" / "learn" / "tutorial.md"
FILES = {block.split("\n")[0].removeprefix("# "): block for block in code_blocks(TUTORIAL, "python")}
#: Program → what the document shows below it.
SHOWN = dict(
    re.findall(
        r"^```python\n# (\w+\.py)\n(?:(?!^```).*\n)*^```\n\n```\n((?:(?!^```).*\n)*)^```",
        TUTORIAL.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_every_program_is_known() -> None:
    assert SHOWN.keys() == {"one.py", "three.py"}
    assert FILES.keys() == {*SHOWN, "seats.py", "test_seats_alone.py", "conftest.py", "test_seats.py", "bench.py"}


@pytest.mark.parametrize("name", SHOWN)
def test_a_program_prints_what_is_shown(folder: Path, name: str) -> None:
    done = run(folder, name)
    assert done.stdout == SHOWN[name], done.stdout + done.stderr
    assert done.returncode == 0


def test_the_benchmark_prints_a_figure(folder: Path) -> None:
    done = run(folder, "bench.py")
    assert re.fullmatch(r"\d+ µs of CPU for each seat, on three nodes together\n", done.stdout), done.stderr


def pytest_in(folder: Path) -> str:
    done = run(folder, "-m", "pytest", "-q", "--rootdir=.", "-p", "no:cacheprovider")
    return done.stdout + done.stderr


def test_the_tests_pass(folder: Path) -> None:
    assert re.search(r"^4 passed", pytest_in(folder), re.MULTILINE)


def test_the_defect_that_it_proposes_is_found_by_both_tests(folder: Path) -> None:
    text = FILES["seats.py"]
    broken = text.replace("return [json.dumps(self.owners).encode()]", 'return [b"{}"]')
    assert broken != text
    (folder / "seats.py").write_text(broken, encoding="utf-8")
    output = pytest_in(folder)
    assert set(re.findall(r"^FAILED (\w+)\.py", output, re.MULTILINE)) == {"test_seats", "test_seats_alone"}, output
