"""No file needs itself by way of others, not even for a type. (Circles at runtime are found by `make lint-imports`.)

A few imports of types that close a circle are kept in the package: docs/decisions/folders.md says why. The list here
can only become shorter: neither may a circle come without one of these, nor may one stay that closes none.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.tidiness.test_tidiness import imported, installed_name, sources

FOLDERS = {"benchmarks": ("benchmarks/",), "the package": ("raft_actors/", "persistence/", "transports/")}
KEPT = {
    ("raft_actors.client.call", "raft_actors.client.board"),
    ("raft_actors.node.endpoint", "raft_actors.node.supervisor"),
    ("raft_actors.node.joining", "raft_actors.node.supervisor"),
    ("raft_actors.node.member_operations", "raft_actors.node.node"),
    ("raft_actors.node.operating", "raft_actors.node.node"),
    ("raft_actors.node.serving", "raft_actors.node.node"),
    ("raft_actors.node.supervisor", "raft_actors.node.serving"),
    ("raft_actors.raft.state", "raft_actors.raft.leading.forwarded"),
    ("raft_actors.service.connection", "raft_actors.service.command"),
}


def needs(modules: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Which of these each imports, for whatever."""
    return {name: (modules.keys() & imported(tree)) - {name} for name, tree in modules.items()}


def order(modules: dict[str, set[str]]) -> list[str]:
    """An order in which each comes after those that it needs."""
    return list(TopologicalSorter(modules).static_order())


def modules_of(folder: str) -> dict[str, set[str]]:
    return needs({installed_name(path): tree for path, tree in sources().items() if path.startswith(FOLDERS[folder])})


@pytest.mark.parametrize("folder", FOLDERS)
def test_there_is_no_circle(folder: str) -> None:
    modules = modules_of(folder)
    assert len(modules) > 20
    for name, other in KEPT & {(name, other) for name, others in modules.items() for other in others}:
        modules[name].remove(other)
    order(modules)


def test_what_is_kept_closes_a_circle() -> None:
    modules = modules_of("the package")
    for name, other in KEPT:
        modules[name].remove(other)
    for name, other in KEPT:
        modules[name].add(other)
        with pytest.raises(CycleError):
            order(modules)
        modules[name].remove(other)


def test_a_circle_of_types_is_found() -> None:
    one = ast.parse("if TYPE_CHECKING:\n    from p.two import Two")
    with pytest.raises(CycleError):
        order(needs({"p.one": one, "p.two": ast.parse("def f():\n    from p import one")}))
