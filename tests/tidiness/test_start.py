"""A node starts soon: what it has no need of is not imported with the package, nor by `raft-actors serve`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import raft_actors
import raft_actors.persistence
import raft_actors.transports

#: Each with what is below it.
NOBODY_NEEDS = """
asyncio concurrent cryptography email http hypothesis importlib.metadata multiprocessing pickle prometheus_client pytest
quart raft_actors.client raft_actors.testing redis rich statistics trio.testing unittest xml
"""
A_NODE_OVER_TCP_NEEDS_NO = """
argparse raft_actors.cli raft_actors.persistence.memory raft_actors.persistence.sqlite.inspection raft_actors.service
raft_actors.transports.faults raft_actors.transports.memory raft_actors.transports.tcp.tls_guard
raft_actors.transports.tls.config raft_actors.transports.tls.keeper
"""
LOOK = """
import json, sys
import raft_actors, raft_actors.persistence, raft_actors.transports
node = list(sys.modules)
from raft_actors.cli.main import make_parser
make_parser()
compiled = [
    f"{name}.{kind.__qualname__}"
    for name, module in list(sys.modules.items()) if name.startswith("raft_actors.")
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == name
    and "attrs generated" in getattr(getattr(kind.__repr__, "__code__", None), "co_filename", "")
]
print(json.dumps({"node": node, "serve": list(sys.modules), "compiled": compiled}))
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What a process finds that has imported nothing before."""
    done = subprocess.run([sys.executable, "-c", LOOK], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def needless(modules: list[str], unwanted: str) -> Iterator[str]:
    return (name for name in modules if any(name == each or name.startswith(f"{each}.") for each in unwanted.split()))


def test_a_node_imports_only_what_it_needs(seen: dict[str, Any]) -> None:
    assert list(needless(seen["node"], NOBODY_NEEDS + A_NODE_OVER_TCP_NEEDS_NO)) == []


def test_serving_imports_only_what_it_needs(seen: dict[str, Any]) -> None:
    assert list(needless(seen["serve"], NOBODY_NEEDS)) == []


def test_no_class_is_made_by_attrs_alone(seen: dict[str, Any]) -> None:
    """It would compile the methods of each at every start: `raft_actors.records` has makers that don't."""
    assert seen["compiled"] == []


@pytest.mark.parametrize("package", [raft_actors, raft_actors.persistence, raft_actors.transports])
def test_names_are_there_when_they_are_asked_for(package: Any) -> None:
    assert {name for name in package.__all__ if not hasattr(package, name)} == set()
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        package.Nothing  # noqa: B018
