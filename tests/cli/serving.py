"""Runs `raft-actors serve` as processes."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence

import redis

from raft_actors.cli.demo_cluster import Cluster, NodeProcess, connect

CLI = (sys.executable, "-m", "raft_actors.cli")


def end(cluster: Cluster, node_id: str, *signals: signal.Signals) -> int:
    """Send signals to a node's process, and return its exit code."""
    node = cluster.nodes[node_id]
    assert node.process is not None
    for number in signals:
        node.process.send_signal(number)
    code = node.process.wait()
    assert node.process.stdout is not None
    node.process.stdout.close()
    node.process = None
    return code


@contextlib.contextmanager
def client(node: NodeProcess) -> Generator[redis.Redis]:
    client = connect(node.redis_port)
    try:
        yield client
    finally:
        client.close()


def command(cluster: Cluster, *changes: str) -> Sequence[str]:
    """The arguments that start n1, with these after them."""
    members = [
        f"--node={node.node_id}=127.0.0.1:{node.raft_port},127.0.0.1:{node.redis_port}"
        for node in cluster.nodes.values()
    ]
    data = cluster.nodes["n1"].data
    return ["serve", "--id=n1", "--cluster=demo", f"--data={data}", *members, *changes]


@contextlib.contextmanager
def serving(arguments: Sequence[str], *before: str) -> Generator[subprocess.Popen[bytes]]:
    """Run a node from when it serves clients until the end of the block; then SIGTERM must end it in good order.

    `before`: a command that ends in running the command after it.
    """
    with subprocess.Popen([*before, *CLI, *arguments], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert b" serves Redis clients at " in process.stdout.readline()
            yield process
            process.terminate()
            assert process.wait() == 0
        finally:
            process.kill()
