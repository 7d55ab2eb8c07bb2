"""`raft-actors inspect` on stores that nodes have left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from raft_actors import ClusterConfig, NodeConfig, open_node
from raft_actors.cli.demo_cluster import Cluster
from raft_actors.cli.inspect import show_entry
from raft_actors.cli.main import main
from raft_actors.persistence import SqliteStorage
from raft_actors.raft.entries import Entry, EntryKind
from raft_actors.service.keyvalue import KeyValue
from raft_actors.service.operations import set_value
from raft_actors.transports import MemoryNetwork


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with ten SETs, and a snapshot after six of them."""
    path = tmp_path_factory.mktemp("inspect") / "n1.db"

    async def fill() -> None:
        async with open_node(
            "n1",
            cluster=ClusterConfig(cluster_id="kv", voters={"n1": "unused"}),
            state_machine=KeyValue(),
            storage=SqliteStorage(path),
            transport=MemoryNetwork().transport("n1"),
            config=NodeConfig(trailing_entries=2),
        ) as node:
            await node.wait_leader()
            for number in range(10):
                await node.propose(set_value(b"key:%d" % number, b"value"))
                if number == 5:
                    await node.take_snapshot()

    trio.run(fill)
    return path


def inspect(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["inspect", *map(str, arguments)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def test_summary(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = inspect(store, capsys=capsys)
    assert f"file      {store} (" in said
    assert "node      n1 of cluster kv\n" in said
    assert "voters    n1\n" in said
    assert "term      1, voted for n1\n" in said
    assert "snapshot  up to index 7 of term 1, " in said
    assert "log       entries 6 to 11, " in said
    assert "command entries in" in said
    assert "SET" not in said


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ("", range(6, 12)),
        ("7:9", range(7, 10)),
        ("10:", range(10, 12)),
        (":7", range(6, 8)),
        ("8", range(8, 9)),
        ("1:100", range(6, 12)),
    ],
)
def test_entries(store: Path, chosen: str, shown: range, capsys: pytest.CaptureFixture[str]) -> None:
    said = inspect(store, f"--entries={chosen}" if chosen else "--entries", capsys=capsys)
    listed = said.partition("\n\n")[2].splitlines()
    assert listed == [f"{index:>10}  term 1     SET 'key:{index - 2}' 'value'" for index in shown]


@pytest.mark.parametrize("chosen", ["12:", ":5", "9:8", "0"])
def test_entries_that_are_not_there(store: Path, chosen: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(store), f"--entries={chosen}"]) == 2
    assert capsys.readouterr().err.endswith("the log holds the entries 6 to 11\n")


def test_what_a_crash_leaves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Cluster(tmp_path, 3, ()) as cluster:
        cluster.start("n1")  # without a majority: it will never have an entry
        cluster.kill("n1")
        data = cluster.nodes["n1"].data
        said = inspect(data, "--entries", capsys=capsys)
        assert "          and a write-ahead log of " in said
        assert "log       no entries; the next one has index 1\n" in said
        assert said.endswith("\n\n")
        assert main(["inspect", str(data), "--entries=1:"]) == 2
        assert "the log holds no entries" in capsys.readouterr().err


def test_other_entries() -> None:
    assert show_entry(Entry(1, 2, EntryKind.NOOP, b"")).split() == ["1", "term", "2", "(noop)"]
    assert show_entry(Entry(1, 2, EntryKind.COMMAND, b"abc")).endswith(" 3 bytes, no key-value command")


def test_no_such_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "none.db")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"raft-actors: {tmp_path / 'none.db'}: there is no such file")
    assert said.count("\n") == 1


def test_a_reader_that_has_seen_enough(store: Path) -> None:
    arguments = [sys.executable, "-m", "raft_actors.cli", "inspect", str(store), "--entries"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
