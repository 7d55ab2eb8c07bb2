"""No file needs itself by way of others, not even for a type. (Circles at runtime are found by `make lint-imports`.)"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.tidiness.test_tidiness import ROOT

FOLDERS = ("benchmarks", "raft_actors/testing")


def imported(tree: ast.Module) -> set[str]:
    """What a module imports from, and what it may import as modules of their own, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def order(modules: dict[str, ast.Module]) -> list[str]:
    """An order in which each comes after those that it needs."""
    return list(
        TopologicalSorter(
            {name: imported(tree) & modules.keys() - {name} for name, tree in modules.items()}
        ).static_order()
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_there_is_no_circle(folder: str) -> None:
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_bytes())
        for path in (ROOT / folder).rglob("*.py")
    }
    assert len(modules) > 20
    order(modules)


def test_a_circle_of_types_is_found() -> None:
    one = ast.parse("if TYPE_CHECKING:\n    from p.two import Two")
    with pytest.raises(CycleError):
        order({"p.one": one, "p.two": ast.parse("def f():\n    from p import one")})
