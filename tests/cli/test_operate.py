"""`raft-actors status`, `members`, `transfer` and so on against running processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raft_actors.cli.demo_cluster import Cluster, NodeProcess
from raft_actors.cli.main import main
from raft_actors.cli.tables import table
from tests.cli.serving import client, serving
from tests.transports.support import free_port


def addresses(cluster: Cluster, *node_ids: str) -> list[str]:
    return [f"127.0.0.1:{cluster.nodes[node_id].raft_port}" for node_id in node_ids or cluster.nodes]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_looking_at_a_cluster_and_working_on_it(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = list(cluster.nodes)
    cluster.start(*nodes)
    leader = cluster.wait_leader(nodes[0])
    followers = [node_id for node_id in nodes if node_id != leader]
    for node_id in followers:
        cluster.wait_leader(node_id)

    code, out, _ = said(capsys, "status", *addresses(cluster, followers[0]))
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "cluster demo"
    assert lines[1].split()[:4] == ["NODE", "ROLE", "TERM", "LEADER"]
    assert [line.split()[0] for line in lines[2:]] == nodes
    assert {line.split()[3] for line in lines[2:]} == {leader}

    code, out, _ = said(capsys, "transfer", *addresses(cluster, followers[0]), "--to", followers[1], "--json")
    assert (code, json.loads(out)) == (0, {"leader": followers[1]})

    code, out, _ = said(capsys, "snapshot", *addresses(cluster, leader, followers[0]))
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()] == [["node", leader], ["node", followers[0]]]

    code, _, err = said(capsys, "transfer", *addresses(cluster), "--to", "n99")
    assert code == 1
    assert "n99" in err

    code, _, err = said(capsys, "status", *addresses(cluster), "--cluster", "other")
    assert code == 1
    assert "cluster 'demo'" in err

    cluster.kill(leader)
    code, out, _ = said(capsys, "status", *addresses(cluster, followers[1]), "--json")
    assert code == 1
    assert [node["node_id"] for node in json.loads(out) if "error" in node] == [leader]

    code, _, err = said(capsys, "snapshot", *addresses(cluster, leader), "--timeout-s", "0")
    assert code == 1
    assert "nobody answers" in err


def until(capsys: pytest.CaptureFixture[str], cluster: Cluster, member: str, role: str) -> dict[str, Any]:
    """Wait until a member has a role; return it."""
    while True:
        code, out, err = said(capsys, "members", *addresses(cluster, "n1"), "--json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)["members"].get(member, {})
        if found.get("role") == role:
            return found


def test_a_fourth_node_joins_and_leaves(cluster: Cluster, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cluster.start(*cluster.nodes)
    leader = cluster.wait_leader("n1")
    with client(cluster.nodes[leader]) as at_leader:
        for number in range(100):
            at_leader.set(f"key:{number}", number)
    with free_port() as raft, free_port() as clients:
        new = NodeProcess("n4", raft, clients, tmp_path)
        arguments = [
            *("serve", "--id=n4", "--cluster=demo", f"--node=n4=127.0.0.1:{raft},127.0.0.1:{clients}"),
            *(f"--data={tmp_path / 'n4.db'}", f"--join={addresses(cluster, 'n2')[0]}"),
        ]
        with serving(arguments):
            found = until(capsys, cluster, "n4", "voter")
            assert found["address"] == f"127.0.0.1:{raft}"
            assert found["metadata"] == {"redis": f"127.0.0.1:{clients}"}
            assert found["incarnation"]
            code, out, _ = said(capsys, "members", *addresses(cluster, "n2"))
            assert code == 0
            assert [line.split()[0] for line in out.splitlines()[1:]] == ["MEMBER", "n1", "n2", "n3", "n4"]

            code, out, _ = said(capsys, "demote", *addresses(cluster, "n1"), "--id=n4")
            assert (code, until(capsys, cluster, "n4", "learner")["role"]) == (0, "learner")
            code, _, err = said(capsys, "add", *addresses(cluster, "n1"), "--id=n4", "--address=127.0.0.1:1")
            assert code == 1
            assert "a member already" in err
            code, _, _ = said(capsys, "promote", *addresses(cluster, "n1"), "--id=n4")
            assert code == 0
            until(capsys, cluster, "n4", "voter")

            assert said(capsys, "transfer", *addresses(cluster, "n1"), "--to=n4")[0] == 0
            with client(cluster.nodes["n1"]) as at_follower:
                assert at_follower.set("k", "v")
            with client(new) as at_leader:
                assert at_leader.dbsize() == 101
            code, out, err = said(capsys, "priority", *addresses(cluster, "n1"), "--id=n4", "--priority=7")
            assert code == 0, err
            assert next(line for line in out.splitlines() if line.startswith("n4")).split()[4] == "7"
            move = ("move", *addresses(cluster, "n1"), "--id=n4", f"--address=localhost:{raft}")
            code, out, err = said(capsys, *move)
            assert code == 0, err
            assert next(line for line in out.splitlines() if line.startswith("n4")).split()[3] == f"localhost:{raft}"
            code, out, err = said(capsys, "remove", *addresses(cluster, "n1"), "--id=n4")
            assert code == 0, err
            assert "n4" not in out
            assert cluster.wait_leader("n1") != "n4"

            # Whom an operator adds comes back, and learns what it has missed.
            added = ("--id=n4", f"--address=127.0.0.1:{raft}", "--learner", "--metadata=zone=b", "--json")
            code, out, err = said(capsys, "add", *addresses(cluster, "n2"), *added)
            assert code == 0, err
            assert json.loads(out)["members"]["n4"]["metadata"] == {"zone": "b"}
            while until(capsys, cluster, "n4", "learner")["behind"] != 0:
                pass


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["status", "nowhere"], ["transfer", "127.0.0.1:0"], ["status", "127.0.0.1:1", "--timeout-s", "soon"]],
    ids=str,
)
def test_arguments_that_can_not_be_right(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "see raft-actors" in capsys.readouterr().err


def test_a_table_has_as_many_words_in_a_row_as_columns() -> None:
    assert table(("A", "LONG"), [("1", None), ("22", 3)]) == "A   LONG\n1   -\n22  3"
