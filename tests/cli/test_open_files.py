"""A node with few file descriptors: no client of any kind takes the ones that its store needs."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from raft_actors import ProtocolError
from raft_actors.cli.demo_cluster import Cluster
from raft_actors.transports.conversation import Conversation
from raft_actors.transports.tcp.dialer import TcpDialer
from tests.cli.serving import client, command, serving

pytest.importorskip("resource")


async def dial_without_end(address: str, kept: list[Conversation]) -> NoReturn:
    dialer = TcpDialer()
    while True:
        kept.append(await dialer.dial(address, "demo"))


async def test_clients_at_the_nodes_port_are_no_more_than_there_are_descriptors_for(tmp_path: Path) -> None:
    with (
        Cluster(tmp_path, 1, ()) as cluster,
        serving(command(cluster), "sh", "-c", 'ulimit -n 320; exec "$@"', "sh"),
        client(cluster.nodes["n1"]) as redis,
    ):
        kept: list[Conversation] = []
        try:
            with pytest.raises(ProtocolError, match="clients are served already"):
                await dial_without_end(f"127.0.0.1:{cluster.nodes['n1'].raft_port}", kept)
            assert kept
            assert redis.set("k", 100_000 * b"x")
        finally:
            for conversation in kept:
                await conversation.aclose()
