"""A place in a simulated cluster: the disk that stays, and the node that comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
import trio

from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import ConfigurationError, NodeStopped, StateMachineError
from raft_actors.node.machines import state_machine_from, use
from raft_actors.node.node import Node
from raft_actors.node.proposals import PendingProposal
from raft_actors.observe.trace import Trace
from raft_actors.state_machine import StateMachine
from raft_actors.testing.clocks import SimulatedClock
from raft_actors.testing.disk import SimulatedDisk
from raft_actors.testing.event_queue import Gate
from raft_actors.testing.life import LIFE, Life
from raft_actors.testing.network import SimulatedTransport
from raft_actors.testing.recording import RecordingStateMachine
from raft_actors.testing.storage import SimulatedStorage
from raft_actors.testing.watch import Watch


@attrs.frozen
class Started:
    """A command that a leader has taken into its log; nothing is said about its being committed."""

    node_id: str
    index: int
    term: int
    proposal: PendingProposal[Any]


C = TypeVar("C")
R = TypeVar("R")


@attrs.define(eq=False)
class Running(Generic[C, R]):
    """A node that runs, and what belongs to this start of it alone.

    Attributes:
        settled: set once it has recovered, or has ended without.
        recovered: whether it has.
        awaited: whether somebody waits for that.
        error: what kept it from recovering.
    """

    node: Node[RecordingStateMachine[C, R]]
    state_machine: StateMachine[C, R]
    recorder: RecordingStateMachine[C, R]
    life: Life
    transport: SimulatedTransport
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    settled: trio.Event = attrs.field(factory=trio.Event)
    ended: trio.Event = attrs.field(factory=trio.Event)
    recovered: bool = False
    awaited: bool = True
    error: Exception | None = None
    killed: bool = False


@attrs.define(eq=False)
class _Started(trio.TaskStatus[Any]):
    """Notes that a node has recovered."""

    running: Running[Any, Any]

    def started(self, value: Any = None) -> None:
        self.running.recovered = True
        self.running.settled.set()


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
        cluster: what its own settings say of the cluster.
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
    cluster: ClusterConfig
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
        make_state_machine: Callable[[], StateMachine[C, R]],
        *,
        transport: SimulatedTransport,
        config: NodeConfig,
    ) -> Node[RecordingStateMachine[C, R]]:
        """Start a node on the disk, once the one before it has ended; return it when it has recovered.

        Raises:
            NodeStopped: it was crashed meanwhile.
            RaftError: what else kept it from starting.
        """
        if self.running is not None:
            raise ConfigurationError(f"node {self.node_id!r} runs already")
        await self.wait_ended()
        if self.running is not None:
            raise ConfigurationError(f"node {self.node_id!r} was started by somebody else")
        self.starts += 1
        life = Life(self.node_id, self.starts, self.disk)
        # The node sees the recorder around it, and can't look at the application's own.
        state_machine = state_machine_from(make_state_machine)
        use(state_machine)
        recorder = RecordingStateMachine(state_machine, self.watch, life)
        node: Node[RecordingStateMachine[C, R]] = Node(
            self.node_id,
            cluster=self.cluster,
            state_machine=recorder,
            storage=SimulatedStorage.on(self.disk),
            transport=self.watch.transport(life, transport),
            config=config,
            join=True,
            observer=self.watch.observer(life),
            clock=self.clock.node_clock,
        )
        self.running = self._last = running = Running(node, state_machine, recorder, life, transport)
        # Not nursery.start: a start goes on, as a process does, when whoever ordered it is gone.
        nursery.start_soon(self._run, running)
        try:
            await running.settled.wait()
        except trio.Cancelled:
            running.awaited = False
            raise
        if running.error is not None:
            raise running.error
        if not running.recovered:
            raise NodeStopped(self.node_id)
        return node

    def move(self, address: str) -> None:
        """From its next start on, its own settings say that it is reached there.

        Raises:
            ConfigurationError: they name no address: it is not of those that began the cluster.
        """
        voters = self.cluster.voters
        if self.node_id not in voters:
            raise ConfigurationError(f"the settings of node {self.node_id!r} do not say where it is")
        self.cluster = attrs.evolve(self.cluster, voters={**voters, self.node_id: address})

    async def wait_free(self) -> bool:
        """Wait until somebody has started it, or could; tell which."""
        if self.running is not None:
            await self.running.settled.wait()
        else:
            await self.wait_ended()
        return self.running is None

    async def wait_ended(self) -> None:
        """Wait until the last node that was crashed or stopped here has ended. No checkpoint where it has.

        So nobody starts it between such a wait and the start that follows.
        """
        if self._last is not None and not self._last.ended.is_set():
            await self._last.ended.wait()

    def crash(self, why: str = "crash", *, hang_up: bool = False) -> None:
        """Cut the power, also in the middle of one of its own steps; or with `hang_up`, kill only the process."""
        running = self.get()
        self.trace.add("crash", self.node_id, why=why)
        running.killed = running.life.over = True
        running.transport.die(hang_up=hang_up)
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

    async def _run(self, running: Running[C, R]) -> None:
        LIFE.set(running.life)
        try:
            with running.scope:
                await running.node.run(task_status=_Started(running))
        except Exception as error:  # noqa: BLE001 - told to whoever started it, or to the cluster
            if not running.killed:
                self._ended_by(running, error)
        finally:
            self.watch.ended(running.life)
            if self.running is running:
                self.running = None
            running.settled.set()
            running.ended.set()

    def _ended_by(self, running: Running[C, R], error: Exception) -> None:
        if not running.recovered and running.awaited:
            running.error = error  # for whoever started it
            if not isinstance(error, StateMachineError):
                return
            # Whoever started it knows of disks and what befalls them; the application's own fault ends the run.
        self.trace.add("crash", self.node_id, why="error", error=f"{type(error).__name__}: {error}")
        self.crashed(self.node_id, f"{running.life} crashed: {_words(error)}", error)


def _words(error: Exception) -> str:
    """An error, and what the application raised behind it."""
    cause = error.__cause__
    behind = "" if cause is None else f" ({type(cause).__name__}: {cause})"
    return f"{type(error).__name__}: {error}{behind}"
