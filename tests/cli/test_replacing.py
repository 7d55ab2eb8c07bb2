"""All nodes of a running cluster, loaded by clients, replaced one after another: real processes, files and sockets."""

from __future__ import annotations

from pathlib import Path

from raft_actors.cli.demo_cluster import Cluster
from raft_actors.cli.demo_load import Loader
from raft_actors.cli.demo_text import compare

LINES = [b"line %d" % number for number in range(12_000)]


def test_every_node_of_a_loaded_cluster_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    with Cluster(tmp_path, 3, ("--snapshot-entries=2000", "--trailing-entries=500"), spare=3) as cluster:
        old, new = ["n1", "n2", "n3"], ["n4", "n5", "n6"]
        cluster.start(*old)
        cluster.wait_leader("n1")
        ports = {node_id: node.redis_port for node_id, node in cluster.nodes.items()}
        with Loader(ports, LINES, connections=16) as loader:
            loader.wait_count(1_000, 60.0)
            for leaving, joining in zip(old, new, strict=True):
                before = loader.count
                cluster.join(joining, via=leaving)
                cluster.wait_voter(joining, at=leaving)
                members = cluster.operate(joining, "remove", id=leaving)["members"]
                assert leaving not in members
                assert members[joining]["role"] == "voter"
                cluster.end(leaving)
                assert loader.wait_count(before + 500, 60.0) >= before + 500  # the clients are served on
            loader.release()
            assert loader.wait_count(len(LINES), 300.0) == len(LINES)
        found = cluster.operate("n4", "members")["members"]
        assert {node_id: member["role"] for node_id, member in found.items()} == dict.fromkeys(new, "voter")
        assert all(member["incarnation"] for member in found.values())
        leader = cluster.wait_leader("n4")
        index = int(cluster.status(leader)["commit_index"])
        for node_id in new:
            cluster.wait_applied(node_id, index)
            held = compare(LINES, loader.acknowledged, cluster.contents(node_id))
            assert held.good, f"{node_id}: {held}"
