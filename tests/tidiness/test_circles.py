"""No file needs itself by way of others, not even for a type. (Circles at runtime are found by `make lint-imports`.)"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.tidiness.test_tidiness import imported, installed_name, sources

FOLDERS = ("benchmarks", "raft_actors/testing")


def order(modules: dict[str, ast.Module]) -> list[str]:
    """An order in which each comes after those that it needs."""
    return list(
        TopologicalSorter(
            {name: (modules.keys() & imported(tree)) - {name} for name, tree in modules.items()}
        ).static_order()
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_there_is_no_circle(folder: str) -> None:
    modules = {installed_name(path): tree for path, tree in sources().items() if path.startswith(f"{folder}/")}
    assert len(modules) > 20
    order(modules)


def test_a_circle_of_types_is_found() -> None:
    one = ast.parse("if TYPE_CHECKING:\n    from p.two import Two")
    with pytest.raises(CycleError):
        order({"p.one": one, "p.two": ast.parse("def f():\n    from p import one")})
