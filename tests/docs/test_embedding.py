"""The programs of docs/embedding.md run as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_readme import ROOT, code_blocks

BLOCKS = code_blocks(ROOT / "docs" / "embedding.md", "python")
FILES = {block.split("\n")[0].removeprefix("# "): block for block in BLOCKS if re.match(r"# \w+\.py\n", block)}
PRINTED = {
    "threads.py": ["1", "2", "refused: another thread"],
    "guest.py": ["1"],
    "restarts.py": ["1", "2"],
}
#: Programs that need what is not among the requirements of the tests: its module, and what they print.
WITH_OTHERS = {
    "in_processes.py": ("trio_parallel", ["499500 1"]),
    "with_trio_asyncio.py": ("trio_asyncio", ["1"]),
    "tracing.py": ("opentelemetry.sdk", ["2 True"]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_each_program_is_run() -> None:
    assert FILES.keys() == PRINTED.keys() | WITH_OTHERS.keys() | {"count.py", "test_application.py", "with_qt.py"}


@pytest.mark.parametrize("name", PRINTED)
def test_a_program_prints_what_the_document_lets_expect(folder: Path, name: str) -> None:
    assert run(folder, name) == PRINTED[name]


@pytest.mark.parametrize("name", WITH_OTHERS)
def test_a_program_prints_so_beside_another_library(folder: Path, name: str) -> None:
    module, printed = WITH_OTHERS[name]
    pytest.importorskip(module, reason=f"there is no {module}, which {name} is about")
    assert run(folder, name) == printed


def test_the_test_of_an_application_passes(folder: Path) -> None:
    assert "1 passed" in run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_application.py")[-1]
