"""`raft-actors serve` as processes: three that form a cluster, their end, and what keeps one from starting."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest
import redis
import trio
from typing_extensions import override

from raft_actors import StorageFailed
from raft_actors.cli import serve
from raft_actors.cli.demo_cluster import Cluster, ask
from raft_actors.cli.main import make_parser
from raft_actors.config import KIB, MIB
from raft_actors.persistence import SqliteStorage, Write
from tests.cli.serving import CLI, client, command, end, serving
from tests.service.support import LoneReplica
from tests.signals import sigint


def test_three_processes_are_one_service(cluster: Cluster) -> None:
    nodes = cluster.nodes
    cluster.start(*nodes)
    leader = cluster.wait_leader("n1")
    follower = next(node_id for node_id in nodes if node_id != leader)
    cluster.wait_leader(follower)
    with client(nodes[leader]) as at_leader, client(nodes[follower]) as at_follower:
        for number in range(20):
            assert at_leader.set(f"key:{number}", number)
        assert at_leader.get("key:7") == b"7"
        assert at_follower.incr("key:7") == 8
        assert at_leader.get("key:7") == b"8"
        fail_over(cluster, leader, at_follower)
        leader = cluster.wait_leader(follower)
    index = cluster.status(leader)["commit_index"]
    for node_id in nodes:
        cluster.wait_applied(node_id, index)
        assert len(cluster.contents(node_id)) == 20
    assert [end(cluster, node_id, signal.SIGTERM) for node_id in nodes] == [0, 0, 0]

    with sigint(signal.default_int_handler):
        cluster.start(*nodes)
    with client(nodes[cluster.wait_leader("n1")]) as at_leader:
        assert at_leader.dbsize() == 20
    assert [end(cluster, node_id, signal.SIGINT) for node_id in nodes] == [0, 0, 0]
    for node in nodes.values():
        assert "Traceback" not in node.log.read_text()


def fail_over(cluster: Cluster, leader: str, at_follower: redis.Redis) -> None:
    """Kill the leader and start it again, while a client counts at a node that lives, and notices nothing."""
    counted = threading.Event()
    done = threading.Event()

    def count() -> None:
        number = 0
        while not done.is_set():
            number += 1
            assert at_follower.incr("key:0") == number
            if number == 50:
                counted.set()

    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(count)
        assert counted.wait(60)
        cluster.kill(leader)
        cluster.start(leader)
        cluster.wait_applied(leader, 1 + int(cluster.status(cluster.wait_leader(leader))["commit_index"]))
        done.set()
        counting.result()


MUCH = b"COMMAND\r\n" * 1700
"""What a node reads at once, and gives more replies to than systems take for a client that does not read them."""


def test_a_second_signal_does_not_wait_for_clients(cluster: Cluster) -> None:
    cluster.start("n1")
    node = cluster.nodes["n1"]
    with socket.create_connection(("127.0.0.1", node.redis_port)) as mute:
        mute.sendall(MUCH)
        assert mute.recv(1)
        assert node.process is not None
        node.process.send_signal(signal.SIGTERM)
        while accepts(node.redis_port):
            pass
        assert end(cluster, "n1", signal.SIGTERM) == 1
    assert "a second signal: ended at once" in node.log.read_text()


def accepts(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@attrs.define
class NodeInOneProcess(LoneReplica):
    """Tells when it gives up its leadership."""

    closed: trio.Event = attrs.field(factory=trio.Event)

    async def aclose(self) -> None:
        self.closed.set()
        await trio.lowlevel.checkpoint()


async def test_leadership_goes_before_slow_clients_have_their_replies(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = NodeInOneProcess()
    served = trio.Event()

    @contextlib.asynccontextmanager
    async def open_node(*_: object, **__: object) -> AsyncGenerator[NodeInOneProcess]:
        yield node

    monkeypatch.setattr(serve, "open_node", open_node)
    monkeypatch.setattr(serve, "KeyValue", lambda **_: node.machine)
    monkeypatch.setattr(serve, "_announce", lambda _: served.set())
    settings = serve.settings_of(make_parser().parse_args(command(cluster)))
    stopping = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve.serve_node, settings, stopping)
        await served.wait()
        mute = await trio.open_tcp_stream("127.0.0.1", cluster.nodes["n1"].redis_port)
        await mute.send_all(MUCH)
        await mute.receive_some(1)
        stopping.set()
        await node.closed.wait()
        async with mute:
            assert sum([len(data) async for data in mute]) > 1700 * 1000


def test_larger_commands_may_be_allowed(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, ("--max-command-bytes", f"{20 * MIB}")) as cluster:
        cluster.start("n1")
        cluster.wait_leader("n1")
        with client(cluster.nodes["n1"]) as node:
            limit = int(node.config_get("proto-max-bulk-len")["proto-max-bulk-len"] or 0)
            assert limit == 20 * MIB - KIB
            assert node.set("k", b"v" * limit)
            with pytest.raises(redis.ResponseError, match="larger --max-command-bytes"):
                node.set("k", b"v" * 20 * MIB)


def refused(arguments: Sequence[str]) -> str:
    """Run a process that must end by itself; return the one line that it says."""
    done = subprocess.run([*CLI, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("raft-actors: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_the_same_file_twice(cluster: Cluster, tmp_path: Path) -> None:
    cluster.start("n1")
    elsewhere = Cluster(tmp_path, 3, ())  # other ports, the same files
    assert f"{cluster.nodes['n1'].data} is open" in refused(command(elsewhere))


def test_a_taken_port(cluster: Cluster) -> None:
    node = cluster.nodes["n1"]
    for port, said in ((node.raft_port, "can't listen on "), (node.redis_port, "can't listen for Redis clients at ")):
        with socket.create_server(("127.0.0.1", port)):
            assert f"{said}127.0.0.1:{port}: " in refused(command(cluster))


def test_another_nodes_file(cluster: Cluster) -> None:
    cluster.start("n1")
    end(cluster, "n1", signal.SIGTERM)
    assert "n2" in refused(command(cluster, "--id=n2"))
    assert "other" in refused(command(cluster, "--cluster=other"))


def test_what_is_no_store(cluster: Cluster) -> None:
    cluster.nodes["n1"].data.write_text("no SQLite file at all" * 100)
    refused(command(cluster))


def test_a_folder_that_can_not_be_made(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file" in refused(command(cluster, f"--data={tmp_path / 'file' / 'n1.db'}", "--init"))


def test_a_missing_folder_is_made_when_asked_for(cluster: Cluster, tmp_path: Path) -> None:
    """A typo, or a disk that is not mounted, must not become an empty node under the id of one that has voted."""
    file = tmp_path / "not" / "mounted" / "n1.db"
    data = f"--data={file}"
    assert f"there is no folder {file.parent}: " in refused(command(cluster, data))
    assert not (tmp_path / "not").exists()
    for option in ("--init", "--no-init"):
        with serving(command(cluster, data, option)) as process:
            assert process.poll() is None
        assert process.returncode == 0


def test_a_node_that_has_run_before_is_not_begun_anew(cluster: Cluster, tmp_path: Path) -> None:
    assert "--no-init says that there must be one" in refused(command(cluster, "--no-init"))
    (tmp_path / "n1.db").touch()  # as a mistaken copy leaves it
    assert "--no-init says that there must be one" in refused(command(cluster, "--no-init"))


def test_listens_elsewhere_than_where_others_reach_it(cluster: Cluster) -> None:
    """A node need not know its own advertised name: in a container, or behind a router that translates addresses."""
    node = cluster.nodes["n1"]
    ports = f"127.0.0.1:{node.raft_port},127.0.0.1:{node.redis_port}"
    arguments = ["serve", "--id=n1", "--cluster=demo", f"--data={node.data}", f"--listen={ports}"]
    with serving([*arguments, "--node=n1=no-such-host.invalid:7000,no-such-host.invalid:6379"]):
        with client(node) as served:
            assert ask(served, "RAFT.WAIT", "LEADER") == b"n1"
            assert served.set("k", "v")
        with socket.create_connection(("127.0.0.1", node.raft_port)):
            pass


class FailingStorage(SqliteStorage):
    """Works until the first write."""

    @override
    async def write(self, writes: Sequence[Write]) -> None:
        await trio.lowlevel.checkpoint()
        raise StorageFailed("the disk is gone")


def test_a_node_that_breaks_down_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "SqliteStorage", FailingStorage)
    with Cluster(tmp_path, 1, ()) as alone:  # which writes as soon as it stands for election
        options = make_parser().parse_args(command(alone))
    with pytest.raises(StorageFailed, match=r"^the disk is gone$"):
        options.run(options)
    assert "serves Redis clients" in capsys.readouterr().out
