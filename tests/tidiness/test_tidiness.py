"""A file has one main idea, a function fits a screen, and nothing is left that nobody imports."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("raft_actors", "transports", "persistence", "tests", "benchmarks", "examples")
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 70
# Run or loaded by name, by a user, a shell or pytest.
STARTED_BY_NAME = {"__init__", "__main__", "conftest", "pytest_plugin"}


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of the repository by its path, each once: not by way of the links to folders."""
    found: dict[str, ast.Module] = {}
    gc.disable()  # to look for garbage among millions of nodes takes twice as long as to parse them
    try:
        for folder in FOLDERS:
            for path in sorted((ROOT / folder).rglob("*.py")):
                if not any(parent.is_symlink() for parent in path.parents):
                    found[path.relative_to(ROOT).as_posix()] = ast.parse(path.read_bytes())
    finally:
        gc.enable()
    return found


def installed_name(path: str) -> str:
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"raft_actors.{name}" if name.partition(".")[0] in ("transports", "persistence") else name


def imported(tree: ast.Module) -> Iterator[str]:
    """What a module imports from, and what it may import as modules of their own, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(tree: ast.Module) -> Iterator[str]:
    """What its strings name (`python -m …`), and much else."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (word for word in node.value.split() if "." in word)


def test_no_file_is_long() -> None:
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {path: n for path, n in lengths.items() if n > MOST_LINES} == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_function_is_long(folder: str) -> None:
    long = {
        f"{path}: {node.name}": lines
        for path, tree in sources().items()
        if path.startswith(f"{folder}/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MOST_LINES_OF_A_FUNCTION
    }
    assert long == {}


def test_no_module_is_dead() -> None:
    """Tests that pytest collects are alive by themselves; what only tests import is not, except among tests."""
    used: set[str] = set()
    for path, tree in sources().items():
        mine = installed_name(path)
        used |= {*imported(tree), *named(tree)} - {mine}
    dead = [
        path
        for path in sources()
        if Path(path).stem not in STARTED_BY_NAME
        and not Path(path).stem.startswith("test_")
        and installed_name(path) not in used
        and not any(Path(path).name in text for text in strings())
    ]
    assert dead == []


@cache
def strings() -> frozenset[str]:
    """Every string that ends like a module's file: some are started by path."""
    return frozenset(
        node.value
        for tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".py")
    )
