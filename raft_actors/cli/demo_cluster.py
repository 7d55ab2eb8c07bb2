"""The demo's cluster: `raft-actors serve` processes of this interpreter, and what can be asked of them."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import redis
import trio
from redis.backoff import NoBackoff
from redis.retry import Retry

from raft_actors.cli.demo_text import DemoError
from raft_actors.node.asking import ask_cluster
from raft_actors.records import define
from raft_actors.transports import TcpTransport

_PATIENCE_S = 60.0
"""How long anything may take that should take seconds."""


def connect(port: int, *, timeout_s: float = 5.0) -> redis.Redis:
    """A client that tells of every failure at once: whoever uses it decides what is tried again, and where."""
    return redis.Redis(
        host="127.0.0.1",
        port=port,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


def ask(client: redis.Redis, *arguments: bytes | str) -> Any:
    """The reply to a request."""
    untyped = cast("Any", client)  # redis-py types its answers only in part
    return untyped.execute_command(*arguments)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. All are held until the last is found, so no two are the same."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        for _ in range(count):
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))
            ports.append(holder.getsockname()[1])
        return ports


@define(eq=False)
class NodeProcess:
    """One `raft-actors serve`.

    Attributes:
        environment: of its next process; None: this one's.
    """

    node_id: str
    raft_port: int
    redis_port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    environment: Mapping[str, str] | None = None

    @property
    def data(self) -> Path:
        """Its SQLite file."""
        return self.folder / f"{self.node_id}.db"

    @property
    def log(self) -> Path:
        """What it wrote to stderr."""
        return self.folder / f"{self.node_id}.log"

    def log_tail(self) -> str:
        """The last lines of its log, each behind the node's id."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {self.node_id}: {line}" for line in lines[-15:]) or f"  {self.node_id}: (no output)"


class Cluster:
    """Starts, kills and asks the nodes. As a context manager it leaves no process behind."""

    def __init__(self, folder: Path, size: int, options: tuple[str, ...], *, spare: int = 0) -> None:
        """Begin with `size` nodes; `spare` more may join."""
        count = size + spare
        ports = _free_ports(2 * count)
        self._voters = size
        self.nodes: Mapping[str, NodeProcess] = {
            f"n{number + 1}": NodeProcess(f"n{number + 1}", ports[2 * number], ports[2 * number + 1], folder)
            for number in range(count)
        }
        self._options = options

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        running = [process for node in self.nodes.values() if (process := node.process) is not None]
        for process in running:
            process.kill()  # their data goes with the folder
        for process in running:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    # --- processes ---

    def start(self, *node_ids: str) -> None:
        """Start these nodes and wait until each serves clients.

        Raises:
            DemoError: one ended instead; with what it said.
        """
        self._start([self._spawn(self.nodes[node_id]) for node_id in node_ids])

    def join(self, node_id: str, via: str) -> None:
        """Start a node that asks to join the cluster of another one, and wait until it serves clients.

        Raises:
            DemoError: it ended instead; with what it said.
        """
        self._start([self._spawn(self.nodes[node_id], f"--join=127.0.0.1:{self.nodes[via].raft_port}")])

    def _start(self, started: list[tuple[NodeProcess, IO[bytes]]]) -> None:
        for node, output in started:
            if not output.readline():
                raise self._ended(node)

    def _spawn(self, node: NodeProcess, *more: str) -> tuple[NodeProcess, IO[bytes]]:
        named = list(self.nodes.values())[: None if more else self._voters]
        members = [f"--node={one.node_id}=127.0.0.1:{one.raft_port},127.0.0.1:{one.redis_port}" for one in named]
        command = [sys.executable, "-m", "raft_actors.cli", "serve", f"--id={node.node_id}", "--cluster=demo"]
        with node.log.open("ab") as log:
            node.process = subprocess.Popen(
                [*command, f"--data={node.data}", *members, *more, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=node.environment,
                process_group=0,  # Ctrl-C is for the demo, which ends its nodes itself
            )
        output = node.process.stdout
        if output is None:
            raise DemoError(f"node {node.node_id} has no output to wait for")
        return node, output

    def _ended(self, node: NodeProcess) -> DemoError:
        code = node.process.wait() if node.process is not None else None
        how = f"by signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        return DemoError(f"node {node.node_id} ended {how}:\n{node.log_tail()}")

    def kill(self, node_id: str) -> None:
        """Kill a node as a power cut would: SIGKILL, no chance to tidy up."""
        node = self.nodes[node_id]
        if node.process is None:
            raise DemoError(f"node {node_id} does not run")
        node.process.kill()
        node.process.wait()
        if node.process.stdout is not None:
            node.process.stdout.close()
        node.process = None

    def check(self) -> None:
        """Raise DemoError if a node has ended that was not killed."""
        for node in self.nodes.values():
            if node.process is not None and node.process.poll() is not None:
                raise self._ended(node)

    def logs(self) -> str:
        """The last lines of all logs."""
        return "\n".join(node.log_tail() for node in self.nodes.values())

    def end(self, node_id: str) -> None:
        """End a node in good order."""
        node = self.nodes[node_id]
        if node.process is not None:
            node.process.terminate()
            node.process.wait()
            if node.process.stdout is not None:
                node.process.stdout.close()
            node.process = None

    # --- questions ---

    def operate(self, node_id: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Have the cluster do something, as `raft-actors` does for an operator; a node to ask first."""
        ask = partial(
            ask_cluster, TcpTransport("127.0.0.1:0").ask, [f"127.0.0.1:{self.nodes[node_id].raft_port}"], operation
        )
        return trio.run(partial(ask, **arguments)).reply

    def wait_voter(self, node_id: str, at: str) -> None:
        """Wait until a node is a voter, as far as another one knows."""
        while self.operate(at, "members")["members"].get(node_id, {}).get("role") != "voter":
            self.check()

    @contextlib.contextmanager
    def _client(self, node_id: str) -> Generator[redis.Redis]:
        client = connect(self.nodes[node_id].redis_port, timeout_s=_PATIENCE_S)
        try:
            yield client
        except redis.RedisError as error:
            self.check()
            raise DemoError(f"node {node_id} does not answer: {error}\n{self.logs()}") from error
        finally:
            client.close()

    def wait_leader(self, node_id: str) -> str:
        """Wait until this node knows a leader; return its id."""
        with self._client(node_id) as client:
            leader: bytes = ask(client, "RAFT.WAIT", "LEADER")
            return leader.decode()

    def wait_applied(self, node_id: str, index: int) -> None:
        """Wait until this node has applied the entry at `index`."""
        with self._client(node_id) as client:
            ask(client, "RAFT.WAIT", "APPLIED", str(index))

    def status(self, node_id: str) -> Mapping[str, Any]:
        """The `# Raft` section of the node's INFO."""
        with self._client(node_id) as client:
            status: Mapping[str, Any] = ask(client, "INFO", "raft")
            return status

    def contents(self, node_id: str) -> dict[bytes, bytes]:
        """All keys and values of this node's own copy."""
        found: dict[bytes, bytes] = {}
        with self._client(node_id) as client:
            cursor = b"0"
            while True:
                cursor, keys = ask(client, "RAFT.LOCAL", "SCAN", cursor, "COUNT", "1000")
                if keys:
                    values = ask(client, "RAFT.LOCAL", "MGET", *keys)
                    found.update(zip(keys, values, strict=True))
                if cursor == b"0":
                    return found
