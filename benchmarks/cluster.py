"""A cluster of worker processes, whatever the engine (the protocol is described in `workers/wire`)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import attrs
import trio

from benchmarks import machine
from benchmarks.certificates import make_certificates
from benchmarks.engines import HERE, Engine

_POLL_S = 0.02
_LEADER_TIMEOUT_S = 30.0
_CHUNK_BYTES = 262_144
_LOG_TAIL_CHARS = 800
#: Beside the time that a command takes on its own.
REPLY_TIMEOUT_S = 60.0


class WorkerFailed(Exception):
    """A worker ended, answered with an error, or did not answer in time: this measurement could not be done."""


class Worker:
    """One process of a cluster, which runs one node."""

    def __init__(self, node: str, name: str, process: trio.Process, folder: Path, log: Path) -> None:
        self.node = node
        self.name = name
        self.process = process
        self.folder = folder
        self.pids = [process.pid]
        self._log = log
        self._buffer = bytearray()

    async def call(self, command: str, timeout_s: float = REPLY_TIMEOUT_S, **parameters: Any) -> dict[str, Any]:
        """Have the worker do something, and return its answer.

        Raises:
            WorkerFailed: it could not.
        """
        request = json.dumps({"command": command, **parameters}).encode() + b"\n"
        with trio.move_on_after(timeout_s):
            try:
                await self._stdin.send_all(request)
                answer: dict[str, Any] = json.loads(await self._line())
            except trio.BrokenResourceError:
                raise self._failed(f"ended before {command!r}") from None
            if "error" in answer:
                raise self._failed(f"could not {command!r}: {answer['error']}")
            result: dict[str, Any] = answer["ok"]
            return result
        raise self._failed(f"did not finish {command!r} in {timeout_s:.0f} s")

    def kill(self) -> None:
        """End it at once, as `kill -9` does; what it started too."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def wait_gone(self) -> None:
        """Wait until the process has ended."""
        await self.process.wait()

    def cpu_seconds(self) -> float:
        """CPU time that it has used: the engine's processes, without a client beside it."""
        return sum(machine.cpu_seconds(pid) for pid in self.engine_pids)

    def resident_bytes(self) -> int:
        """Memory that the engine's processes occupy."""
        return sum(machine.resident_bytes(pid) for pid in self.engine_pids)

    @property
    def pid(self) -> int:
        """The engine's main process."""
        return self.engine_pids[0]

    @property
    def engine_pids(self) -> list[int]:
        """The engine's processes: those that the worker started, or else itself."""
        return self.pids[1:] or self.pids

    @property
    def _stdin(self) -> trio.abc.SendStream:
        if self.process.stdin is None:
            raise self._failed("has no standard input")
        return self.process.stdin

    async def _line(self) -> bytes:
        stdout = self.process.stdout
        if stdout is None:
            raise self._failed("has no standard output")
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            data = await stdout.receive_some(_CHUNK_BYTES)
            if not data:
                raise self._failed("ended")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _failed(self, what: str) -> WorkerFailed:
        said = tail(self._log)
        return WorkerFailed(f"{self.name} {what}" + (f"\n{said}" if said else ""))


@attrs.define(eq=False)
class Cluster:
    """Workers that form one cluster, in a folder of their own.

    Attributes:
        workers: those that run, by node.
        spare: where nodes can be reached that may join: both addresses of each.
    """

    engine: Engine
    storage: str
    folder: Path
    options: Mapping[str, Any]
    addresses: dict[str, str]
    clients: dict[str, str]
    workers: dict[str, Worker] = attrs.field(factory=dict[str, Worker])
    spare: dict[str, tuple[str, str]] = attrs.field(factory=dict[str, tuple[str, str]])

    async def start(self, node: str) -> Worker:
        """Start one node's process, and the node in it."""
        if self.options.get("tls"):
            make_certificates(self.folder / "certificates", self.addresses)
        worker = await self.open_worker(node)
        await self._run_node(worker, "start", addresses=self.addresses, clients=self.clients)
        return worker

    async def open_worker(self, node: str) -> Worker:
        """Start a process in which no node runs yet."""
        folder = self.folder / node
        folder.mkdir(exist_ok=True)
        log = self.folder / f"{node}.log"
        with log.open("ab") as stderr:
            process = await _open_process(self.engine.command(), stderr)
        worker = self.workers[node] = Worker(node, f"{self.engine.label} {node}", process, folder, log)
        return worker

    async def join(self, worker: Worker, through: str) -> None:
        """Have a spare node's process join the cluster through a member, and wait until it votes."""
        raft, client = self.spare[worker.node]
        self.addresses[worker.node], self.clients[worker.node] = raft, client
        await self._run_node(worker, "join", addresses=self.addresses, clients=self.clients, through=through)

    async def remove(self, worker: Worker, through: Worker) -> None:
        """Let a member go, and end its process."""
        await through.call(
            "remove", node=worker.node, addresses=self.addresses, clients=self.clients, through=through.node
        )
        del self.addresses[worker.node], self.clients[worker.node]
        await self.stop(worker)

    async def _run_node(self, worker: Worker, command: str, **more: Any) -> None:
        options = {**self.engine.options, **self.options}
        folder = str(worker.folder)
        answer = await worker.call(
            command, node=worker.node, folder=folder, storage=self.storage, options=options, **more
        )
        worker.pids += answer.get("pids", [])

    async def start_all(self) -> None:
        """Start every node that does not run. Of several that fail, one's error is enough."""
        failures: list[WorkerFailed] = []

        async def start(node: str) -> None:
            try:
                await self.start(node)
            except WorkerFailed as failure:
                failures.append(failure)

        async with trio.open_nursery() as nursery:
            for node in self.addresses:
                if node not in self.workers:
                    nursery.start_soon(start, node)
        if failures:
            raise failures[0]

    async def wait_leader(self) -> Worker:
        """Wait until one node leads and every other knows it; return it."""
        with trio.move_on_after(_LEADER_TIMEOUT_S):
            while True:
                answers = [(worker, await worker.call("status")) for worker in self.workers.values()]
                leading = [worker for worker, answer in answers if answer["leading"]]
                if len(leading) == 1 and all(answer["leader_known"] for _, answer in answers):
                    return leading[0]
                await trio.sleep(_POLL_S)
        raise WorkerFailed(f"{self.engine.label}: no leader after {_LEADER_TIMEOUT_S:.0f} s")

    async def wait_applied(self, worker: Worker, index: int, timeout_s: float = REPLY_TIMEOUT_S) -> None:
        """Wait until a node has applied the entry at `index`."""
        with trio.move_on_after(timeout_s):
            while True:
                if (await worker.call("status"))["applied"] >= index:
                    return
                await trio.sleep(_POLL_S)
        raise WorkerFailed(f"{worker.name} had not applied entry {index:,} after {timeout_s:.0f} s")

    async def wait_all_applied(self, leader: Worker) -> int:
        """Wait until every node has applied what the leader has; return its index."""
        index: int = (await leader.call("status"))["applied"]
        for worker in self.workers.values():
            await self.wait_applied(worker, index)
        return index

    def followers(self, leader: Worker) -> list[Worker]:
        """All but the leader."""
        return [worker for worker in self.workers.values() if worker is not leader]

    async def kill(self, worker: Worker) -> int:
        """End one as `kill -9` does; return when, on the clock that `time.time_ns` reads."""
        at_ns = time.time_ns()
        worker.kill()
        self._forget(worker)
        await worker.wait_gone()
        return at_ns

    async def stop(self, worker: Worker) -> None:
        """End one in an orderly way."""
        await worker.call("stop")
        await worker.wait_gone()
        self._forget(worker)

    async def kill_all(self) -> None:
        """End all as `kill -9` does."""
        for worker in list(self.workers.values()):
            await self.kill(worker)

    async def first_commit(self) -> int:
        """Wait until the first command is committed by whichever node leads; return when, as `kill` does.

        The nodes that did not lead go on trying: kill them.
        """
        at_ns: list[int] = []
        failures: list[WorkerFailed] = []

        async def ask(worker: Worker, scope: trio.CancelScope) -> None:
            try:
                answer = await worker.call("first_commit")
            except WorkerFailed as failure:
                failures.append(failure)
                return
            at_ns.append(answer["at_ns"])
            scope.cancel()

        async with trio.open_nursery() as nursery:
            for worker in self.workers.values():
                nursery.start_soon(ask, worker, nursery.cancel_scope)
        if not at_ns:
            raise failures[0]
        return at_ns[0]

    def _forget(self, worker: Worker) -> None:
        self.workers = {node: each for node, each in self.workers.items() if each is not worker}


async def _open_process(command: Sequence[str], stderr: IO[bytes]) -> trio.Process:
    return await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=HERE.parent
    )


def tail(log: Path) -> str:
    """The end of what a process wrote."""
    return log.read_text(encoding="utf-8", errors="replace").strip()[-_LOG_TAIL_CHARS:]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on. All are held until all are known, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@asynccontextmanager
async def open_cluster(
    engine: Engine,
    *,
    nodes: int,
    storage: str,
    folder: Path,
    options: Mapping[str, Any] | None = None,
    spare: int = 0,
) -> AsyncGenerator[Cluster, None]:
    """Start a cluster, and leave nothing of it behind. Its folder is made in `folder`.

    `spare`: how many further nodes may join it later.

    Raises:
        WorkerFailed: it did not start.
        EngineMissing: the engine is not installed.
    """
    ports = [f"127.0.0.1:{port}" for port in free_ports(2 * (nodes + spare))]
    pairs = list(zip(ports[::2], ports[1::2], strict=True))
    names = [f"n{number}" for number in range(1, nodes + spare + 1)]
    where = Path(tempfile.mkdtemp(prefix="cluster-", dir=folder))
    cluster = Cluster(
        engine=engine,
        storage=storage,
        folder=where,
        options=options or {},
        addresses={name: pair[0] for name, pair in zip(names, pairs[:nodes], strict=False)},
        clients={name: pair[1] for name, pair in zip(names, pairs[:nodes], strict=False)},
        spare=dict(zip(names[nodes:], pairs[nodes:], strict=True)),
    )
    try:
        await cluster.start_all()
        yield cluster
    finally:
        with trio.CancelScope(shield=True):
            await cluster.kill_all()
        shutil.rmtree(where)
