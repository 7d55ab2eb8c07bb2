"""A node of raft_actors that the driver loads: `python -m benchmarks.workers.raft_actors_worker`.

What belongs to one question is imported when it is asked: the question `restart` measures how soon a process serves.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs
import trio

from benchmarks.workers.machines import Compute, Count
from benchmarks.workers.parts import machine_of, storage_of, transport_of
from benchmarks.workers.wire import Reply, Request, Window, clock, folder_bytes, payload_of, serve
from raft_actors import (
    ChangePhase,
    ClusterConfig,
    Join,
    LeadershipLost,
    Leases,
    Node,
    NodeConfig,
    NotLeader,
    Overloaded,
    PendingProposal,
    RoleName,
    StateMachine,
    open_node,
)
from raft_actors.transports import TcpTransport

if TYPE_CHECKING:
    from benchmarks.workers.changes import Changes
    from benchmarks.workers.handing_over import Mover
    from benchmarks.workers.ledger import Proposers
    from benchmarks.workers.stamps import Stamps

_RETRY_S = 0.002
_IN_A_SESSION = 256
_POLL_S = 0.01
_PATIENCE_S = 60.0
_CLUSTER = "benchmark"
_FILL_TASKS = 4
_FILL_BYTES = 256 * 1024


@attrs.define
class Worker:
    """One node, or a client, and what the driver may ask of it."""

    stack: contextlib.AsyncExitStack
    nursery: trio.Nursery
    folder: str = ""
    _machine: StateMachine[bytes, int] = attrs.field(factory=Count)
    _mover: Mover | None = None
    _proposers: Proposers | None = None
    _changes: Changes | None = None
    _stamps: Stamps | None = None
    _ended: trio.Event = attrs.field(factory=trio.Event)
    _node: Node[StateMachine[bytes, int]] | None = None
    _compute: Compute | None = None

    @property
    def node(self) -> Node[StateMachine[bytes, int]]:
        """The node, once started."""
        if self._node is None:
            raise ValueError("not started")
        return self._node

    async def handle(self, request: Request) -> Reply:
        """Do what the driver asks."""
        commands: dict[str, Callable[[Request], Awaitable[Reply]]] = {
            "start": self.start,
            "status": self.status,
            "refused": self.refused,
            "load": self.load,
            "fill": self.fill,
            "first_commit": self.first_commit,
            "snapshot": self.snapshot,
            "transfer": self.transfer,
            "offer": self.offer,
            "read": self.read,
            "read_after_failover": self.read_after_failover,
            "ready": self.ready,
            "join": self.join,
            "remove": self.remove,
            "watch": self.watch,
            "watched": self.watched,
            "begin": self.begin,
            "end": self.end,
            "ledger": self.ledger,
            "hops": self.hops,
            "move": self.move,
            "moved": self.moved,
            "stop": self.stop,
        }
        command = commands.get(request["command"])
        if command is None:
            raise ValueError(f"unknown command {request['command']!r}")
        return await command(request)

    async def start(self, request: Request) -> Reply:
        """Open the node."""
        leases = Leases(request["options"]["lease_s"]) if "lease_s" in request["options"] else None
        await self._open(request, ClusterConfig(cluster_id=_CLUSTER, voters=request["addresses"], leases=leases))
        return {}

    async def join(self, request: Request) -> Reply:
        """Open the node as one that joins, and wait until it votes."""
        addresses = request["addresses"]
        join = Join(addresses=[addresses[request["through"]]], address=addresses[request["node"]])
        await self._open(request, ClusterConfig(_CLUSTER), join)
        members = self.node.members
        while not (request["node"] in members().voters and members().phase is ChangePhase.STABLE):  # noqa: ASYNC110
            await trio.sleep(_POLL_S)  # what its log says is no event
        return {}

    async def remove(self, request: Request) -> Reply:
        """Have a member go, with the help of whoever leads."""
        from raft_actors.node.asking import ask_cluster

        ask, through = TcpTransport("127.0.0.1:0").ask, request["addresses"][request["through"]]
        await ask_cluster(ask, [through], "remove", cluster_id=_CLUSTER, patience_s=_PATIENCE_S, id=request["node"])
        return {}

    async def watch(self, _: Request) -> Reply:
        """Begin to note when the members change."""
        from benchmarks.workers.changes import Changes

        self._changes = Changes()
        self.nursery.start_soon(self._changes.watch, self.node)
        return {}

    async def watched(self, _: Request) -> Reply:
        """What was noted."""
        if self._changes is None:
            raise ValueError("nothing was watched")
        return self._changes.result()

    async def begin(self, request: Request) -> Reply:
        """Be a client, whose proposers go on until `end`."""
        from benchmarks.workers.ledger import Ledger, Proposers
        from raft_actors import open_client

        client = await self.stack.enter_async_context(
            open_client(list(request["addresses"].values()), Ledger, cluster=_CLUSTER, patience_s=_PATIENCE_S)
        )
        proposers = self._proposers = Proposers(client.propose, request["payload"])

        async def run() -> None:
            await proposers.run(request["proposers"])
            self._ended.set()

        self.nursery.start_soon(run)
        return {}

    async def end(self, _: Request) -> Reply:
        """Let each proposer have its last answer, and say what came of it."""
        if self._proposers is None:
            raise ValueError("not begun")
        self._proposers.over = True
        await self._ended.wait()
        return self._proposers.result()

    async def ledger(self, _: Request) -> Reply:
        """How many commands of each proposer were applied, after all that were acknowledged."""
        from benchmarks.workers.ledger import Ledger

        machine = await self.node.read(lambda machine: machine)
        if isinstance(machine, Ledger):
            return machine.told()
        raise ValueError("started without the option “ledger”")

    async def hops(self, request: Request) -> Reply:
        """How long each hand-over took since the last time."""
        from benchmarks.workers.stamps import FOLLOWER, LEADER

        if self._stamps is None:
            raise ValueError("started without the option “stamps”")
        return {"hops": self._stamps.take(LEADER if request["leads"] else FOLLOWER)}

    async def _open(self, request: Request, cluster: ClusterConfig, join: Join | None = None) -> None:
        options: dict[str, Any] = dict(request["options"])
        if options.pop("stamps", False):
            from benchmarks.workers.stamps import Stamps

            self._stamps = Stamps()
            self._stamps.install()
        options.pop("lease_s", None)
        machine = self._machine = machine_of(options)
        if isinstance(machine, Compute):
            self._compute = machine
        self.folder = request["folder"]
        transport = transport_of(request, options)
        self._node = await self.stack.enter_async_context(
            open_node(
                request["node"],
                cluster=cluster,
                state_machine=machine,
                storage=storage_of(request),
                transport=transport,
                config=NodeConfig(**options),
                join=join or False,
            )
        )

    async def ready(self, _: Request) -> Reply:
        """Nothing."""
        return {}

    async def stop(self, _: Request) -> Reply:
        """End the node."""
        await self.stack.aclose()
        return {}

    async def snapshot(self, _: Request) -> Reply:
        """Take a snapshot."""
        return {"index": (await self.node.take_snapshot()).index}

    async def status(self, _: Request) -> Reply:
        """What the driver needs to know."""
        status = self.node.status()
        return {
            "leading": status.role is RoleName.LEADER,
            "leader_known": status.leader is not None,
            "term": status.term,
            "applied": status.applied_index,
            "stored_bytes": folder_bytes(self.folder),
            "commands": self._machine.count if isinstance(self._machine, Count) else 0,
        }

    async def refused(self, _: Request) -> Reply:
        """How many connections were refused, by cause."""
        return {"by_reason": dict(self.node.statistics().transport.refused_by_reason)}

    async def load(self, request: Request) -> Reply:
        """Have proposers propose and wait, over and over."""
        if request.get("stalls"):
            return await self._load_through_transfers(request)
        if self._compute is not None:
            self._compute.loaded = True
        window, payload, batch = Window.of(request), payload_of(request), request["batch"]
        modes = {"await": self._await_each, "many": self._propose_many, "pipeline": self._pipeline}
        proposers = request["proposers"]
        async with trio.open_nursery() as nursery:
            if request["mode"] == "session":
                for first in range(0, proposers, _IN_A_SESSION):
                    nursery.start_soon(self._load_session, window, payload, min(_IN_A_SESSION, proposers - first))
                proposers = 0
            for _ in range(proposers):
                nursery.start_soon(modes[request["mode"]], window, payload, batch)
        # Millions of latencies take a second to pack: on this thread, a leader would be missed meanwhile.
        return await trio.to_thread.run_sync(window.result)

    async def _await_each(self, window: Window, payload: bytes, _: int) -> None:
        await _await_each(self.node.propose, window, payload)

    async def _load_session(self, window: Window, payload: bytes, proposers: int) -> None:
        async with self.node.session() as session, trio.open_nursery() as nursery:
            for _ in range(proposers):
                nursery.start_soon(_await_each, session.propose, window, payload)

    async def _propose_many(self, window: Window, payload: bytes, batch: int) -> None:
        commands = [payload] * batch
        propose_many = self.node.propose_many
        while True:
            started = clock()
            await propose_many(commands)
            if not window.count(started, batch):
                return

    async def _pipeline(self, window: Window, payload: bytes, batch: int) -> None:
        propose_nowait = self.node.propose_nowait
        waiting: deque[tuple[float, PendingProposal[int]]] = deque()
        going = True
        while going or waiting:
            try:
                while going and len(waiting) < batch:
                    waiting.append((clock(), propose_nowait(payload)))
            except Overloaded as refusal:
                if not waiting:  # the others' are under way
                    await trio.sleep(refusal.retry_after_s)
                    continue
            started, pending = waiting.popleft()
            if not pending.done:
                await pending.wait()
            pending.result_nowait()
            going = window.count(started, 1) and going

    async def offer(self, request: Request) -> Reply:
        """Have proposals come by the clock."""
        from benchmarks.workers.offering import offer

        return await offer(self.node, request)

    async def read(self, request: Request) -> Reply:
        """Have readers read, and writers write beside them."""
        from benchmarks.workers.reading import read

        return await read(self.node, request)

    async def read_after_failover(self, request: Request) -> Reply:
        """See what this node answers as soon as it leads."""
        from benchmarks.workers.reading import read_after_failover

        return await read_after_failover(self.node, request)

    async def transfer(self, request: Request) -> Reply:
        """Hand leadership over."""
        return {"leader": await self.node.transfer_leadership(request["to"])}

    async def _load_through_transfers(self, request: Request) -> Reply:
        from benchmarks.workers.handing_over import Stalls

        window, payload = Stalls.of(request), payload_of(request)
        async with trio.open_nursery() as nursery:
            for _ in range(request["proposers"]):
                nursery.start_soon(window.propose, self.node, payload)
        return await trio.to_thread.run_sync(window.result)

    async def move(self, request: Request) -> Reply:
        """Begin to hand leadership on whenever it comes here."""
        from benchmarks.workers.handing_over import Mover

        self._mover = Mover(self.node)
        self.nursery.start_soon(self._mover.move, request)
        return {}

    async def moved(self, _: Request) -> Reply:
        """What came of it."""
        if self._mover is None:
            raise ValueError("nothing was to be moved")
        return self._mover.result()

    async def fill(self, request: Request) -> Reply:
        """Commit a number of commands, many at a time."""
        payload, commits = payload_of(request), request["commits"]
        batch = max(1, min(1000, _FILL_BYTES // max(1, len(payload))))
        left = commits
        began = clock()

        async def propose() -> None:
            nonlocal left
            while left > 0:
                count = min(batch, left)
                left -= count
                await self.node.propose_many([payload] * count)

        async with trio.open_nursery() as nursery:
            for _ in range(_FILL_TASKS):
                nursery.start_soon(propose)
        return {"commits": commits, "seconds": clock() - began}

    async def first_commit(self, _: Request) -> Reply:
        """Commit one command, as soon as this node leads."""
        while True:
            try:
                await self.node.propose(b"first", forward=False)
            except (NotLeader, LeadershipLost):
                await trio.sleep(_RETRY_S)
            else:
                return {"at_ns": time.time_ns()}


async def _await_each(propose: Callable[[bytes], Awaitable[int]], window: Window, payload: bytes) -> None:
    while True:
        started = clock()
        await propose(payload)
        if not window.count(started, 1):
            return


async def main() -> None:
    """Serve the driver."""
    async with trio.open_nursery() as nursery, contextlib.AsyncExitStack() as stack:
        await serve(Worker(stack, nursery).handle)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
