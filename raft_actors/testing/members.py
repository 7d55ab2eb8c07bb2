"""A place in a simulated cluster: the disk that stays, and the node that comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
import trio

from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import ConfigurationError, NodeStopped
from raft_actors.node import Node
from raft_actors.state_machine import StateMachine
from raft_actors.testing.agenda import Gate
from raft_actors.testing.clocks import SimulatedClock
from raft_actors.testing.disk import SimulatedDisk
from raft_actors.testing.life import LIFE, Life
from raft_actors.testing.network import SimulatedTransport
from raft_actors.testing.recording import RecordingStateMachine
from raft_actors.testing.storage import SimulatedStorage
from raft_actors.testing.trace import Trace
from raft_actors.testing.watch import Watch

C = TypeVar("C")
R = TypeVar("R")


@attrs.define(eq=False)
class Running(Generic[C, R]):
    """A node that runs, and what belongs to this start of it alone."""

    node: Node[C, R]
    state_machine: StateMachine[C, R]
    recorder: RecordingStateMachine[C, R]
    life: Life
    transport: SimulatedTransport
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ended: trio.Event = attrs.field(factory=trio.Event)
    killed: bool = False


@attrs.define(eq=False)
class _Start(trio.TaskStatus[Any]):
    """Passes on that a node has started, and remembers it."""

    status: trio.TaskStatus[Any]
    recovered: bool = False

    def started(self, value: Any = None) -> None:
        self.recovered = True
        self.status.started(value)


@attrs.define(eq=False)
class Member(Generic[C, R]):
    """One member of the cluster, whether it runs or not.

    Attributes:
        node_id: its id.
        disk: what it remembers while it is down.
        gate: shut while it is paused.
        clock: what it takes for the time.
        trace: where it is written down what becomes of it.
        watch: to be told of what it does.
        crashed: called with its id, a text and the error when the node ends by itself with an error.
        starts: how often it was started.
        running: the node, while it runs.
    """

    node_id: str
    disk: SimulatedDisk
    gate: Gate
    clock: SimulatedClock
    trace: Trace
    watch: Watch
    crashed: Callable[[str, str, Exception], None]
    starts: int = 0
    running: Running[C, R] | None = None
    _last: Running[C, R] | None = None

    def get(self) -> Running[C, R]:
        """The node that runs.

        Raises:
            ConfigurationError: it is down.
        """
        if self.running is None:
            raise ConfigurationError(f"node {self.node_id!r} does not run")
        return self.running

    async def start(
        self,
        nursery: trio.Nursery,
        state_machine: StateMachine[C, R],
        *,
        cluster: ClusterConfig,
        transport: SimulatedTransport,
        config: NodeConfig,
    ) -> Node[C, R]:
        """Start a node on the disk, once the one before it has ended; return it when it has recovered.

        Raises:
            NodeStopped: it was crashed meanwhile.
            RaftError: what else kept it from starting.
        """
        if self.running is not None:
            raise ConfigurationError(f"node {self.node_id!r} runs already")
        await self.wait_ended()
        self.starts += 1
        life = Life(self.node_id, self.starts, self.disk)
        recorder = RecordingStateMachine(state_machine, self.watch, life)
        node: Node[C, R] = Node(
            self.node_id,
            cluster=cluster,
            state_machine=recorder,
            storage=SimulatedStorage.on(self.disk),
            transport=self.watch.transport(life, transport),
            config=config,
            observer=self.watch.observer(life),
            clock=self.clock.node_clock,
        )
        self.running = self._last = running = Running(node, state_machine, recorder, life, transport)
        try:
            await nursery.start(self._run, running)
        except BaseException:
            self.running = None
            raise
        return node

    async def wait_ended(self) -> None:
        """Wait until the last node that was crashed or stopped here has ended."""
        if self._last is not None:
            await self._last.ended.wait()

    def crash(self, why: str = "crash") -> None:
        """Cut the power, also in the middle of one of its own steps."""
        running = self.get()
        self.trace.add("crash", self.node_id, why=why)
        running.killed = running.life.over = True
        running.transport.die()
        running.scope.cancel()
        self.disk.cut_power()
        self.running = None

    async def stop(self) -> None:
        """Shut the node down as its owner would."""
        running = self.get()
        await running.node.aclose()
        await running.ended.wait()
        if not running.killed and running.node.crash is None:
            self.trace.add("stop", self.node_id)

    async def _run(  # noqa: ASYNC128 - the node calls started()
        self, running: Running[C, R], task_status: trio.TaskStatus[Node[C, R]]
    ) -> None:
        start = _Start(task_status)
        LIFE.set(running.life)
        try:
            with running.scope:
                await running.node.run(task_status=start)
        except Exception as error:
            if not start.recovered:
                raise  # to whoever started it
            if not running.killed:
                self.trace.add("crash", self.node_id, why="error", error=f"{type(error).__name__}: {error}")
                self.crashed(self.node_id, f"{running.life} crashed: {type(error).__name__}: {error}", error)
        else:
            if not start.recovered:
                raise NodeStopped(self.node_id)
        finally:
            self.watch.ended(running.life)
            if self.running is running:
                self.running = None
            running.ended.set()
