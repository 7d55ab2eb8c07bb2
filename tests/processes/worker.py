"""A program that embeds a node, for tests that start, stop and kill it: `python -m tests.processes.worker SETTINGS`.

It takes orders as JSON lines on its standard input, and reports as JSON lines on its standard output. Both are written
and read on the Trio thread, so what it reports has happened, in this order. It ends with its standard input, so that
no worker outlives the test that started it.

Orders: `{"order": name, "id": n, …}`, see the methods of `Worker` whose names begin with `do_`. Each is answered by
`{"event": "reply", "id": n, "value": …}` or `{…, "error": class, "text": …}`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import outcome
import trio
from typing_extensions import override

from raft_actors import (
    ClusterConfig,
    LeaderChanged,
    Node,
    NodeConfig,
    NodeStopped,
    NotLeader,
    Overloaded,
    ProposalError,
    RoleChanged,
    RoleName,
    SnapshotInstalled,
    SnapshotTaken,
    open_node,
)
from raft_actors.persistence import SqliteStorage
from raft_actors.persistence.sqlite import schema
from raft_actors.raft.persistent_state import CommitSnapshot, Write
from raft_actors.transports import TcpTransport
from tests.processes.ledger import Fill, Ledger, Note

#: Where its code is, by whichever of its links it was imported.
LIBRARY = tuple(str(Path(__file__).parents[2] / folder) for folder in ("raft_actors", "transports", "persistence"))


def report(event: str, **facts: Any) -> None:
    """Say it, at once and whole: the pipe's reader must not lose it to a kill that comes after."""
    data = json.dumps({"event": event, **facts}).encode() + b"\n"
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]


@attrs.define(eq=False)
class ReportingStorage(SqliteStorage):
    """Tells of each chunk of a snapshot and of each snapshot about to be committed: moments to be killed at.

    Attributes:
        hangs: from now on, no write ever ends. Each is reported.
    """

    hangs: bool = False

    @override
    async def write_snapshot_chunks(self, snapshot_id: int, sequence: int, chunks: Sequence[bytes]) -> None:
        for number, data in enumerate(chunks, sequence):
            await super().write_snapshot_chunks(snapshot_id, number, [data])
            report("chunk", snapshot=snapshot_id, sequence=number)

    @override
    async def write(self, writes: Sequence[Write]) -> None:
        for write in writes:
            if isinstance(write, CommitSnapshot):
                report("committing", snapshot=write.snapshot_id)
        if self.hangs:
            report("held")
            await trio.sleep_forever()
        await super().write(writes)


@attrs.define(eq=False)
class Worker:
    """A node and those who use it."""

    node: Node[Ledger]
    machine: Ledger
    storage: ReportingStorage
    settings: dict[str, Any]
    nursery: trio.Nursery
    leads: trio.Event = attrs.field(factory=trio.Event)
    loads: list[trio.CancelScope] = attrs.field(factory=list)
    clients: int = 0

    async def watch(self) -> None:
        """Report what the node tells its subscribers, and let proposers wait for its leadership."""
        async with self.node.events() as events:
            report("started", **self.status())
            async for event in events:
                match event:
                    case RoleChanged(term, role):
                        if role is RoleName.LEADER:
                            self.leads.set()
                        elif self.leads.is_set():
                            self.leads = trio.Event()
                        report("role", term=term, role=role)
                    case LeaderChanged(term, leader):
                        report("leader", term=term, leader=leader)
                    case SnapshotTaken(snapshot):
                        report("snapshot-taken", index=snapshot.index)
                    case SnapshotInstalled(snapshot):
                        report("snapshot-installed", index=snapshot.index)
                    case _:
                        pass

    def status(self) -> dict[str, Any]:
        return attrs.asdict(self.node.status())

    # --- load ------------------------------------------------------------------------------------------------

    async def propose_on(self, client: str, count: float, padding: int, pause_s: float, *, retry: bool) -> None:
        """Propose note after note whenever this node leads, and report each outcome as it comes."""
        number = 1
        while number <= count:
            await self.leads.wait()
            try:
                total = await self.node.propose(Note(client, number, bytes(padding)), forward=False)
            except (NotLeader, Overloaded) as error:
                report("refused", client=client, number=number, error=type(error).__name__)
            except NodeStopped:
                report("unknown", client=client, number=number, error="NodeStopped")
                return
            except ProposalError as error:
                report("unknown", client=client, number=number, error=type(error).__name__)
                if not retry:
                    number += 1
            else:
                report("ack", client=client, number=number, total=total)
                number += 1
            if pause_s:
                await trio.sleep(pause_s)

    async def _run_load(self, order: dict[str, Any]) -> None:
        # Clients' names are new in each life of the process: what an earlier life had under way, nobody may repeat.
        count, padding, pause_s = order.get("count") or float("inf"), order.get("padding", 0), order.get("pause_s", 0.0)
        with trio.CancelScope() as scope:
            self.loads.append(scope)
            async with trio.open_nursery() as nursery:
                for _ in range(order["clients"]):
                    self.clients += 1
                    name = f"{self.node.node_id}.{self.settings['life']}.{self.clients}"
                    retry = self.clients % 2 == 0
                    nursery.start_soon(partial(self.propose_on, name, count, padding, pause_s, retry=retry))

    # --- orders ----------------------------------------------------------------------------------------------

    async def do_load(self, order: dict[str, Any]) -> None:
        """Let `clients` proposers work, each `count` times or until `rest`, at once or with `pause_s` between notes."""
        self.nursery.start_soon(self._run_load, order)

    async def do_rest(self, order: dict[str, Any]) -> None:
        """Stop the load; what is under way is left alone, its outcome unreported."""
        for scope in self.loads:
            scope.cancel()

    async def do_status(self, order: dict[str, Any]) -> dict[str, Any]:
        """The node's status."""
        return self.status()

    async def do_elections(self, order: dict[str, Any]) -> int:
        """How many elections the node has started."""
        return self.node.statistics().elections

    async def do_propose(self, order: dict[str, Any]) -> int:
        """One note, tried once."""
        return await self.node.propose(Note(order["client"], order["number"]), forward=False)

    async def do_fill(self, order: dict[str, Any]) -> None:
        """Let the state grow."""
        await self.node.propose(Fill(order["seed"], order["size"]))

    async def do_read(self, order: dict[str, Any]) -> int:
        """How many notes there are, read through the leader."""
        return await self.node.read(lambda machine: int(machine.total))

    async def do_state(self, order: dict[str, Any]) -> dict[str, Any]:
        """This node's own state, once it has applied `index`."""
        await self.node.wait_applied(order["index"])
        return {"notes": self.machine.notes, "total": self.machine.total, "digest": self.machine.digest()}

    async def do_snapshot(self, order: dict[str, Any]) -> int:
        """Take a snapshot; its index."""
        return (await self.node.take_snapshot()).index

    async def do_transfer(self, order: dict[str, Any]) -> str:
        """Hand leadership over; who leads then."""
        return await self.node.transfer_leadership()

    async def do_hang(self, order: dict[str, Any]) -> None:
        """Let the disk hang."""
        self.storage.hangs = True

    async def do_close(self, order: dict[str, Any]) -> None:
        """Stop in two stages, then end the program."""
        await self.node.aclose()
        self.nursery.cancel_scope.cancel()

    async def answer(self, order: dict[str, Any]) -> None:
        """Carry out one order."""
        carry_out: Callable[[dict[str, Any]], Awaitable[Any]] = getattr(self, "do_" + order["order"])
        try:
            value = await carry_out(order)
        except Exception as error:  # noqa: BLE001 - it is what was asked for
            report("reply", id=order["id"], error=type(error).__name__, text=str(error))
        else:
            report("reply", id=order["id"], value=value)

    async def listen(self) -> None:
        """Take orders until there are no more."""
        async for line in Lines(trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))):
            self.nursery.start_soon(self.answer, json.loads(line))
        self.nursery.cancel_scope.cancel()


class Lines:
    """The lines that come from a stream: `async for line in Lines(stream)`."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._whole: deque[bytes] = deque()
        self._rest = b""

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> bytes:
        while not self._whole:
            data = await self._stream.receive_some()
            if not data:
                raise StopAsyncIteration
            *whole, self._rest = (self._rest + data).split(b"\n")
            self._whole.extend(whole)
        return self._whole.popleft()


class InterruptAtCall:
    """A profiler that interrupts the program at a function call counted in this library's code, on the main thread."""

    def __init__(self, calls: int) -> None:
        self._calls = calls

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(LIBRARY):
            self._calls -= 1
            if self._calls == 0:
                sys.setprofile(None)
                report("interrupted", at=frame.f_code.co_qualname)
                signal.raise_signal(signal.SIGINT)


async def main(settings: dict[str, Any]) -> None:
    """Embed a node as an application does."""
    if settings.get("max_pages"):  # as good as a full disk, for SQLite
        changed: Any = schema
        changed._SETTINGS += (f"PRAGMA max_page_count={settings['max_pages']}",)
    if settings.get("interrupt_at"):
        sys.setprofile(InterruptAtCall(settings["interrupt_at"]))
    report("opening")
    machine, storage = Ledger(), ReportingStorage(settings["store"])
    config = settings["config"]
    config["election_timeout_s"] = tuple(config["election_timeout_s"])
    node = open_node(
        settings["node_id"],
        cluster=ClusterConfig(settings["cluster_id"], voters=settings["voters"]),
        state_machine=machine,
        storage=storage,
        transport=TcpTransport(settings["listen"]),
        config=NodeConfig(**config),
    )
    async with node as opened, trio.open_nursery() as nursery:
        worker = Worker(opened, machine, storage, settings, nursery)
        nursery.start_soon(worker.watch)
        nursery.start_soon(worker.listen)
        if settings.get("load"):
            await worker.do_load({"clients": settings["load"]})
        await trio.sleep_forever()


def run() -> None:
    """Run it, and report how it ended."""
    # A shell that starts the tests in the background may have SIGINT ignored, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings = json.loads(sys.argv[1])
    result = outcome.capture(lambda: trio.run(main, settings))
    error = result.error if isinstance(result, outcome.Error) else None
    # The worker's own nursery puts what ends it in a group; what open_node raises by itself comes out as it is.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    report(
        "ended",
        error=None if error is None else type(error).__name__,
        text="" if error is None else str(error),
        threads=threads,
    )
    if error is not None:
        raise error


if __name__ == "__main__":
    run()
