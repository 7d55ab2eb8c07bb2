"""What a node can't work with ends it with one typed error, which names the remedy; never with a group."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.processes.harness import Cluster, open_cluster


async def _ends_with(cluster: Cluster, node_id: str, **settings: Any) -> str:
    """Start a worker that can't live; the class of the error that it ended with."""
    await cluster.start(node_id, may_end=True, **settings)
    ended = await cluster.end_of(node_id)
    log = cluster.workers[node_id].log.read_text()
    assert "ExceptionGroup" not in log
    assert not ended["threads"]
    error: str = ended["error"]
    return error


async def test_second_process_on_one_store(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, 1) as cluster:
        await cluster.start("n1")
        await cluster.started("n1")
        first = cluster.workers["n1"]
        assert await _ends_with(cluster, "n1", listen="127.0.0.1:0") == "StorageLocked"
        cluster.workers["n1"] = first
        await cluster.load(2)
        await cluster.acknowledged(10)
        await cluster.settle()


async def test_store_of_another_node(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, 2) as cluster:
        await cluster.start()
        await cluster.started()
        await cluster.close()
        store = str(tmp_path / "n2" / "store.db")
        assert await _ends_with(cluster, "n1", store=store) == "StorageMismatch"
        assert await _ends_with(cluster, "n1", cluster_id="another") == "StorageMismatch"
        await cluster.start()
        await cluster.load(2)
        await cluster.acknowledged(10)
        await cluster.settle()


async def test_port_taken(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, 1) as cluster:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            assert await _ends_with(cluster, "n1", listen=listen) == "ListenError"
        await cluster.start("n1")
        await cluster.load(2)
        await cluster.acknowledged(10)
        await cluster.settle()


# --- a disk that fills -------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of few MB. Mounting one takes root."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "raft_actors_test", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_leader_without_room(tmp_path: Path) -> None:
    """With SQLite's own limit on a database's size, which says the same as a full disk."""
    async with open_cluster(tmp_path, 1, snapshot_entries=None) as cluster:
        await cluster.start(max_pages=60, may_end=True, load=4)
        await cluster.load(4, "n1", padding=2000)
        assert (await cluster.end_of("n1"))["error"] == "StorageFull"
        assert "ExceptionGroup" not in cluster.workers["n1"].log.read_text()
        await cluster.start(load=4)
        await cluster.acknowledged(100)
        await cluster.settle()


async def test_disk_full(tmp_path: Path, small_disk: Path) -> None:
    """One node's disk fills; the others go on. It works again on the same store when there is room."""
    async with open_cluster(tmp_path, snapshot_entries=None) as cluster:
        await cluster.start("n2", "n3", load=4)
        await cluster.start("n1", store=str(small_disk / "store.db"), may_end=True, load=4)
        await cluster.started()
        await cluster.load(4, padding=2000)
        ended = await cluster.end_of("n1")
        assert ended["error"] == "StorageFull"
        assert str(small_disk) in ended["text"]
        assert "ExceptionGroup" not in cluster.workers["n1"].log.read_text()
        await cluster.acknowledged(50)
        await trio.run_process(["mount", "-o", "remount,size=300m", str(small_disk)])
        await cluster.start("n1", store=str(small_disk / "store.db"), load=4)
        await cluster.started("n1")
        await cluster.acknowledged(50)
        await cluster.settle()
        await cluster.close()
