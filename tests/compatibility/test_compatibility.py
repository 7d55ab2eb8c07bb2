"""Nodes of versions that compatibility is promised with, and of this one: in one cluster, on one store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raft_actors.cli.demo_cluster import Cluster, NodeProcess
from raft_actors.cli.demo_load import Loader
from raft_actors.cli.demo_text import compare
from raft_actors.persistence.sqlite.migrations import SCHEMA_VERSION
from raft_actors.transports.wire.handshake import NEWEST_VERSION, OLDEST_VERSION
from tests.compatibility.keep import WHEELS, traces_of, unpack

Environment = Mapping[str, str]

NEW: Environment = dict(os.environ)
KEPT = sorted(WHEELS.glob("*.whl.xz"))
LINES = [b"line %d" % number for number in range(400_000)]  # more than the fastest machine writes meanwhile


def run(environment: Environment, *arguments: str) -> Any:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=KEPT, ids=lambda kept: kept.name, scope="module")
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What has a process run a kept version."""
    folder = unpack(request.param, tmp_path_factory.mktemp("old"))
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    where = "import json, raft_actors.persistence as found; print(json.dumps(found.__file__))"
    assert run(environment, "-c", where).startswith(str(folder))
    return environment


def test_there_is_a_version_to_get_on_with() -> None:
    assert KEPT


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_a_kept_version_is_a_whole_wheel_and_tells_nothing_of_where_it_was_built(kept: Path, tmp_path: Path) -> None:
    packages = unpack(kept, tmp_path)
    (record,) = packages.glob("raft_actors-*.dist-info/RECORD")
    listed = {line.rsplit(",", 2)[0] for line in record.read_text(encoding="utf-8").splitlines()}
    assert listed == {file.relative_to(packages).as_posix() for file in packages.rglob("*") if file.is_file()}
    with zipfile.ZipFile(wheel := tmp_path / "again.whl", "w") as archive:
        for name in listed:
            archive.write(packages / name, name)
    assert traces_of(wheel, Path(__file__).parents[2]) == []


def _change_version(cluster: Cluster, loader: Loader, node: NodeProcess, environment: Environment) -> None:
    """Have a node of one version end and come back as another, when it needs a snapshot from a leader of either."""
    last_index = int(cluster.status(node.node_id)["last_index"])
    cluster.end(node.node_id)
    one, other = cluster.nodes.keys() - {node.node_id}
    leader = cluster.wait_leader(one)
    # The next leader has not heard of the node that is away, so it keeps nothing for it.
    leader = cluster.operate(leader, "transfer", to=other if leader == one else one)["leader"]
    missed = loader.count + 100
    assert loader.wait_count(missed, 60.0) >= missed
    assert int(cluster.status(leader)["first_index"]) > last_index + 1
    node.environment = environment
    cluster.start(node.node_id)
    status = cluster.status(cluster.wait_leader(node.node_id))
    cluster.wait_applied(node.node_id, int(status["commit_index"]))


def test_three_nodes_are_upgraded_and_downgraded_one_by_one_under_load(old: Environment, tmp_path: Path) -> None:
    """Who comes back has missed so much that it gets a snapshot: from an old leader, and from a new one."""
    with Cluster(tmp_path, 3, ("--snapshot-entries=40", "--trailing-entries=5")) as cluster:
        nodes = list(cluster.nodes.values())
        for node in nodes:
            node.environment = old
        cluster.start(*cluster.nodes)
        cluster.wait_leader("n1")
        ports = {node_id: node.redis_port for node_id, node in cluster.nodes.items()}
        with Loader(ports, LINES, connections=4) as loader:
            loader.wait_count(100, 60.0)
            for environment in (NEW, old):
                leader = cluster.wait_leader("n1")
                for node in sorted(nodes, key=lambda node: node.node_id == leader):  # the leader last
                    _change_version(cluster, loader, node, environment)
            assert loader.count < len(LINES) * 3 // 4  # there was load all the time
        acknowledged = loader.acknowledged
        index = int(cluster.status(cluster.wait_leader("n1"))["commit_index"])
        for node in nodes:
            cluster.wait_applied(node.node_id, index)
            held = compare(LINES, acknowledged, cluster.contents(node.node_id))
            assert held.good, f"{node.node_id}: {held}"
            assert held.lines > 600


@pytest.mark.parametrize("direction", ["upgrade", "downgrade"])
def test_a_store_goes_on_under_another_version(old: Environment, tmp_path: Path, direction: str) -> None:
    program, file = str(Path(__file__).with_name("lifetime.py")), str(tmp_path / "n1.db")
    first, second = (old, NEW) if direction == "upgrade" else (NEW, old)
    before = run(first, program, "begin", file)
    after = run(second, program, "go-on", file, str(before["session"]), str(before["next"]))
    assert after.pop("again") == [3]
    assert after == before
    assert before["lines"] == [["first", 5], ["once", 4], ["large ", 120_000], ["after", 5], ["after", 5]]
    assert (before["voters"], before["learners"], before["metadata"]["n2"]) == (["n1"], ["n2", "n3"], {"zone": "a"})


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_a_kept_version_speaks_a_protocol_of_today_and_opens_stores_of_today(kept: Path) -> None:
    """So there is a way back to it. A store that was migrated has none: the rule is in docs/operate/upgrades.md."""
    wire, schema = kept.name.removesuffix(".whl.xz").split("-wire")[1].split("-schema")
    assert OLDEST_VERSION <= int(wire) <= NEWEST_VERSION
    assert int(schema) == SCHEMA_VERSION, "who changes the schema takes a promise back, and says so in the changelog"
