"""Starts, stops, continues and kills workers, and keeps the book of what they acknowledged.

Tests wait for what workers report, never for time. The one limit is there for a cluster that hangs; with it, as with
any other failure, go the logs of all workers.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from tests.processes.book import Book
from tests.processes.ports import reserve_port
from tests.processes.worker import Lines

ROOT = Path(__file__).parents[2]

#: No test takes nearly as long, except when something hangs.
LIMIT_S = 240.0
_LOG_BYTES = 4000

#: Fast elections, for many of them in short time.
QUICK: dict[str, Any] = {"election_timeout_s": (0.2, 0.4), "heartbeat_interval_s": 0.05}
#: No election only because the machine is busy.
CALM: dict[str, Any] = {"election_timeout_s": (2.0, 4.0), "heartbeat_interval_s": 0.1}
#: Short logs, kept for nobody, behind snapshots in small chunks, of which `Cluster.start_filled` makes many.
COMPACTING: dict[str, Any] = {
    "snapshot_entries": 200,
    "trailing_entries": 20,
    "max_catch_up_bytes": 0,
    "snapshot_chunk_bytes": 32 * 1024,
}
_FILLINGS = 8
_FILLING_BYTES = 512 * 1024
SNAPSHOT_CHUNKS: int = _FILLINGS * _FILLING_BYTES // COMPACTING["snapshot_chunk_bytes"]

#: What a proposer or reader may be told when leadership changes.
NOT_LEADING = {"NotLeader", "NotCommitted", "LeadershipLost"}


class WorkerGone(Exception):
    """A worker ended without answering."""


class OrderFailed(Exception):
    """A worker's answer was an error: `name` is its class."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@attrs.define(eq=False)
class Process:
    """One life of a worker.

    Attributes:
        events: what it has reported, except answers.
        may_end: whether its end is wanted; else it fails the test.
        ended: set when it is gone and all that it reported was read.
    """

    node_id: str
    process: trio.Process
    log: Path
    events: list[dict[str, Any]] = attrs.field(factory=list)
    counts: Counter[str] = attrs.field(factory=Counter)
    replies: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    orders: int = 0
    may_end: bool = False
    ended: trio.Event = attrs.field(factory=trio.Event)

    def last(self, event: str) -> dict[str, Any] | None:
        """The latest event of that name."""
        return next((found for found in reversed(self.events) if found["event"] == event), None)

    def count(self, event: str) -> int:
        """How many events of that name there were."""
        return self.counts[event]

    @property
    def alive(self) -> bool:
        return not self.ended.is_set() and not self.may_end

    def kill(self) -> None:
        """SIGKILL."""
        self.may_end = True
        self.process.kill()

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@attrs.define(eq=False)
class Cluster:
    """Workers, by node id. Made by `open_cluster`.

    Attributes:
        voters: where each is reached.
        listen: where each listens.
    """

    folder: Path
    voters: dict[str, str]
    listen: dict[str, str]
    config: dict[str, Any]
    nursery: trio.Nursery
    book: Book = attrs.field(factory=Book)
    workers: dict[str, Process] = attrs.field(factory=dict)
    all_processes: list[Process] = attrs.field(factory=list)
    _changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    # --- processes -------------------------------------------------------------------------------------------

    async def start(self, *node_ids: str, may_end: bool = False, **settings: Any) -> None:
        """Start workers, by default all; `settings` go to each."""
        for node_id in node_ids or self.voters:
            life = len(self.all_processes) + 1
            (self.folder / node_id).mkdir(exist_ok=True)  # a node makes no folder that it may only have lost
            everything = {
                "node_id": node_id,
                "cluster_id": "processes",
                "voters": self.voters,
                "listen": self.listen[node_id],
                "store": str(self.folder / node_id / "store.db"),
                "config": self.config,
                "life": life,
                **settings,
            }
            Path(str(everything["store"])).parent.mkdir(exist_ok=True)  # a store makes none
            log = self.folder / f"{node_id}-{life}.log"
            with log.open("wb") as stderr:
                process = await trio.lowlevel.open_process(
                    [sys.executable, "-m", "tests.processes.worker", json.dumps(everything)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    cwd=ROOT,
                    start_new_session=True,  # Ctrl-C is for the tests; they end the workers
                )
            worker = Process(node_id, process, log, may_end=may_end)
            self.workers[node_id] = worker
            self.all_processes.append(worker)
            self.nursery.start_soon(self._read, worker)

    async def start_filled(self) -> str:
        """Start all workers, and let their state grow to several MB; the leader's id."""
        await self.start()
        await self.started()
        leader = await self.wait_leader()
        for seed in range(_FILLINGS):
            await self.ask(leader, "fill", seed=seed, size=_FILLING_BYTES)
        return leader

    async def _read(self, worker: Process) -> None:
        assert worker.process.stdout is not None
        async for line in Lines(worker.process.stdout):
            event = json.loads(line)
            if event["event"] == "reply":
                worker.replies[event["id"]] = event
            elif not self.book.note(event):
                worker.events.append(event)
                worker.counts[event["event"]] += 1
            self._changed.unpark_all()
        await worker.process.wait()
        worker.ended.set()
        self._changed.unpark_all()
        if not worker.may_end:
            raise WorkerGone(f"{worker.node_id} ended by itself with status {worker.process.returncode}")

    async def kill(self, *node_ids: str) -> None:
        """SIGKILL workers, at one moment, and wait for their ends."""
        for node_id in node_ids:
            self.workers[node_id].kill()
        for node_id in node_ids:
            await self.workers[node_id].ended.wait()

    async def close(self, *node_ids: str) -> None:
        """Have workers (by default all) stop gracefully, at once, and wait for their ends."""
        for node_id in node_ids or self.voters:
            self.workers[node_id].may_end = True
            await self.tell(node_id, "close")
        for node_id in node_ids or self.voters:
            worker = self.workers[node_id]
            await worker.ended.wait()
            assert worker.process.returncode == 0, worker.log.read_text()

    async def end_of(self, node_id: str) -> dict[str, Any]:
        """Wait for a worker's end; what it said of it. The worker must have been allowed to end."""
        worker = self.workers[node_id]
        await worker.ended.wait()
        ended = worker.last("ended")
        assert ended is not None, worker.log.read_text()
        return ended

    def alive(self) -> list[str]:
        """The nodes whose workers run."""
        return [node_id for node_id, worker in self.workers.items() if worker.alive]

    def kill_all(self) -> None:
        for worker in self.all_processes:
            if not worker.ended.is_set():
                worker.kill()

    def logs(self) -> str:
        """The end of what each worker wrote to its standard error."""
        found = [
            (worker, worker.log.read_bytes()[-_LOG_BYTES:].decode(errors="replace")) for worker in self.all_processes
        ]
        return "\n".join(f"--- {worker.log.name}, {worker.events[-3:]}\n{text}" for worker, text in found)

    # --- orders ----------------------------------------------------------------------------------------------

    async def tell(self, node_id: str, order: str, **facts: Any) -> int:
        """Give an order without waiting for its answer; the order's id. To a worker that just died, in vain."""
        worker = self.workers[node_id]
        worker.orders += 1
        assert worker.process.stdin is not None
        line = json.dumps({"order": order, "id": worker.orders, **facts})
        try:
            await worker.process.stdin.send_all(line.encode() + b"\n")
        except trio.BrokenResourceError:
            await worker.ended.wait()
        return worker.orders

    async def answer(self, node_id: str, order_id: int) -> Any:
        """Wait for the answer to an order.

        Raises:
            OrderFailed: it was an error.
            WorkerGone: there will be none.
        """
        worker = self.workers[node_id]
        await self.until(lambda: order_id in worker.replies or worker.ended.is_set())
        if order_id not in worker.replies:
            raise WorkerGone(node_id)
        reply = worker.replies.pop(order_id)
        if "error" in reply:
            raise OrderFailed(reply["error"], reply["text"])
        return reply["value"]

    async def ask(self, node_id: str, order: str, **facts: Any) -> Any:
        """Give an order and wait for its answer (see `answer`)."""
        return await self.answer(node_id, await self.tell(node_id, order, **facts))

    async def outcome(self, node_id: str, order_id: int) -> tuple[Any, str | None]:
        """Wait for the answer to an order: its value, or None and the error's class."""
        try:
            return await self.answer(node_id, order_id), None
        except OrderFailed as error:
            return None, error.name

    async def load(self, clients: int, *node_ids: str, **facts: Any) -> None:
        """Let that many clients propose on each node (by default all that run) whenever it leads."""
        for node_id in node_ids or self.alive():
            await self.ask(node_id, "load", clients=clients, **facts)

    def note(self, event: dict[str, Any]) -> None:
        """Write down an outcome that somebody else than a worker was told."""
        self.book.note(event)
        self._changed.unpark_all()

    # --- waiting ---------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something that was reported makes the condition true."""
        await trio.lowlevel.checkpoint()
        while not condition():
            await self._changed.park()

    async def reported(self, node_id: str, event: str, count: int = 1) -> None:
        """Wait until a worker has reported so many events of that name, in its life so far."""
        worker = self.workers[node_id]
        await self.until(lambda: worker.count(event) >= count)

    async def compacted(self, node_id: str, times: int) -> None:
        """Wait until a worker has taken so many more snapshots."""
        await self.reported(node_id, "snapshot-taken", self.workers[node_id].count("snapshot-taken") + times)

    async def acknowledged(self, more: int) -> None:
        """Wait for that many further acknowledgements."""
        wanted = self.book.acknowledged + more
        await self.until(lambda: self.book.acknowledged >= wanted)

    async def started(self, *node_ids: str) -> None:
        """Wait until workers (by default all) have recovered and listen."""
        await self.until(lambda: all(self.workers[node_id].count("started") for node_id in node_ids or self.voters))

    def leader(self) -> str | None:
        """The leader of the highest term that a running worker has reported, if that has one which runs."""
        known = [(0, "")]
        for node_id in self.alive():
            role = self.workers[node_id].last("role")
            if role is not None:
                known.append((role["term"], node_id if role["role"] == "leader" else ""))
        return max(known)[1] or None

    async def wait_leader(self) -> str:
        """Wait until a running worker leads."""
        await self.until(lambda: self.leader() is not None)
        leader = self.leader()
        assert leader is not None
        return leader

    # --- the end ---------------------------------------------------------------------------------------------

    async def settle(self) -> dict[str, Any]:
        """Stop the load, let every node apply all that is committed; check the book and return the common state.

        A command that adds nothing marks a point in the log behind everything that was proposed: what clients proposed
        that were stopped may still be committed, and a read leaves no mark.
        """
        for node_id in self.alive():
            await self.ask(node_id, "rest")
        index = await self._mark()
        states = {node_id: await self.ask(node_id, "state", index=index) for node_id in self.voters}
        digests = {node_id: state["digest"] for node_id, state in states.items()}
        assert len(set(digests.values())) == 1, {node_id: state["total"] for node_id, state in states.items()}
        state: dict[str, Any] = next(iter(states.values()))
        self.book.check(state["notes"])
        return state

    async def _mark(self) -> int:
        while True:
            leader = await self.wait_leader()
            _, error = await self.outcome(leader, await self.tell(leader, "fill", seed=0, size=0))
            if error is None:
                index: int = (await self.ask(leader, "status"))["commit_index"]
                return index
            assert error in NOT_LEADING, error


@asynccontextmanager
async def open_cluster(
    folder: Path, size: int = 3, *, limit_s: float = LIMIT_S, apart: bool = False, **config: Any
) -> AsyncGenerator[Cluster, None]:
    """Addresses for a cluster whose workers are gone at the end of the block, whatever ends it.

    Where they are `apart`, each worker listens elsewhere than where the others reach it: something stands between.
    """
    reserved = [reserve_port() for _ in range(2 * size if apart else size)]
    voters = {f"n{i}": port.address for i, port in enumerate(reserved[:size], 1)}
    listen = dict(zip(voters, [port.address for port in reserved[-size:]], strict=True))
    cluster = None
    try:
        async with trio.open_nursery() as nursery:
            cluster = Cluster(folder, voters, listen, {**QUICK, **config}, nursery)
            nursery.start_soon(_limit, limit_s)
            try:
                yield cluster
            finally:
                cluster.kill_all()
                with trio.CancelScope(shield=True):
                    for worker in cluster.all_processes:
                        await worker.process.wait()
                nursery.cancel_scope.cancel()
    except BaseException as error:
        if cluster is not None:
            error.add_note(cluster.logs())
        raise
    finally:
        for port in reserved:
            port.close()


async def _limit(seconds: float) -> None:
    await trio.sleep(seconds)
    raise trio.TooSlowError(f"not over after {seconds:.0f} s: something hangs")
