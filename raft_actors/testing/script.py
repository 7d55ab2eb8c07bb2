"""Scripts: what clients and faults do to a cluster, step by step, as values that can be drawn, shrunk, printed and
replayed. `steps` has the steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import attrs
import trio
from typing_extensions import override

from raft_actors.client.errors import OutcomeUnknown
from raft_actors.config import NodeConfig
from raft_actors.errors import CommandFailed, ConfigurationError
from raft_actors.state_machine import StateMachine
from raft_actors.testing.clients import Client
from raft_actors.testing.failure import CheckFailed
from raft_actors.testing.invariants import STANDARD_INVARIANTS, Invariant
from raft_actors.testing.linearizability import Model, Report
from raft_actors.testing.session import Session
from raft_actors.testing.simulation import Simulation, simulate

OFTEN_SNAPSHOTS = NodeConfig(snapshot_entries=3, trailing_entries=1, snapshot_chunk_bytes=16)
"""Settings for scripts, which are short: a node takes a snapshot every three entries, and keeps one entry
behind it."""

#: In the cluster's time: what a step that waits for something waits at most, and what all of a script may take.
_PATIENCE_S = 5.0
_HANGS_AFTER_S = 1_800.0

#: After all was healed.
_ANSWERED_WITHIN_S = 60.0


class Step(ABC):
    """One step of a script. Subclasses are frozen attrs classes whose `repr` is what a script says.

    A step does nothing where it does not apply (a crash of a node that is down, say), so that a script makes sense
    without any of its steps. It waits for no more than a few seconds of the cluster's time.
    """

    @abstractmethod
    async def take(self, run: ScriptRun) -> None:
        """Take the step."""


class InstantStep(Step):
    """A step that takes no time. It leaves no trace in how tasks are scheduled, so a script shrinks well without it."""

    @override
    async def take(self, run: ScriptRun) -> None:
        self.act(run)

    @abstractmethod
    def act(self, run: ScriptRun) -> None:
        """Take the step."""


@attrs.frozen(kw_only=True)
class Scenario:
    """What scripts are about.

    Attributes:
        state_machine: makes a fresh state machine for each start of a node.
        nodes: how many there are.
        config: of all nodes.
        model: the sequential model that the clients' history is compared with at the end; None: nothing is compared.
        answer: what a `Read` of a script is answered with, from a state machine and the request; it changes neither.
        invariants: what makes each invariant that is checked after every step of every node.
    """

    state_machine: Callable[[], StateMachine[Any, Any]]
    nodes: int = 3
    config: NodeConfig = OFTEN_SNAPSHOTS
    model: Model[Any] | None = None
    answer: Callable[[Any, Any], Any] | None = None
    invariants: Iterable[Callable[[], Invariant]] = STANDARD_INVARIANTS

    def replay(self, *steps: Step, seed: int = 0) -> Report | None:
        """Start a cluster, take the steps, then heal all and see that the cluster lives and its history is right.

        Not to be called from within Trio. The same steps and seed give the same run.

        Returns:
            What the linearizability checker says; None without a model.

        Raises:
            CheckFailed: an invariant, liveness or linearizability was broken.
        """

        with Play(self, seed) as play:
            for step in steps:
                play.take(step)
            return play.finish()

    def shorten(self, *steps: Step, seed: int = 0) -> list[Step]:
        """Leave out of a script that breaks something whatever it breaks the same thing without.

        Hypothesis shrinks what it draws, and may get stuck where several steps must go at once.

        Raises:
            ConfigurationError: it breaks nothing.
        """
        broken, left = self._broken_by(steps, seed), steps
        if broken is None:
            raise ConfigurationError("this script breaks nothing")
        size = len(left)
        while size:
            before = left
            for position in range(len(left) - size, -1, -1):
                candidate = left[:position] + left[position + size :]
                if len(candidate) < len(left) and self._broken_by(candidate, seed) == broken:
                    left = candidate
            if left == before:
                size -= max(1, size // 4)
        return list(left)

    def _broken_by(self, steps: Iterable[Step], seed: int) -> str | None:
        try:
            self.replay(*steps, seed=seed)
        except CheckFailed as failure:
            return failure.broken
        return None

    @asynccontextmanager
    async def open(self, seed: int) -> AsyncGenerator[ScriptRun]:
        """Start a cluster for a script."""
        with trio.fail_after(_HANGS_AFTER_S):
            async with (
                simulate(
                    self.state_machine, nodes=self.nodes, seed=seed, config=self.config, invariants=self.invariants
                ) as cluster,
                trio.open_nursery() as nursery,
            ):
                yield ScriptRun(self, cluster, nursery)
                nursery.cancel_scope.cancel()


class ScriptRun:
    """A script at work.

    Attributes:
        scenario: what it is about.
        cluster: what the steps are taken on.
    """

    def __init__(self, scenario: Scenario, cluster: Simulation[Any, Any], nursery: trio.Nursery) -> None:
        self.scenario = scenario
        self.cluster = cluster
        self._nursery = nursery
        self._clients: dict[str, Client[Any, Any]] = {}
        self._calls: dict[str, tuple[trio.Event, trio.CancelScope]] = {}
        self._damaged: set[str] = set()

    async def finish(self) -> Report | None:
        """Heal all, see the cluster elect, converge and serve, and compare the history with the model."""
        await self.cluster.check_liveness()
        with trio.move_on_after(_ANSWERED_WITHIN_S) as patience:  # noqa: ASYNC912 - nothing to wait for is fine
            for answered, _ in self._calls.values():
                await answered.wait()
        if patience.cancelled_caught:
            raise self.cluster.failed("liveness: a client was not answered in time after all was healed")
        model = self.scenario.model
        return None if model is None else self.cluster.check_linearizable(model)

    # --- for steps -------------------------------------------------------------------------------------------

    async def call(self, name: str, command: Any, *, wait: bool) -> None:
        """Have a client propose a command. See `_begin`."""
        await self._begin(name, lambda client: client.call(command), wait=wait)

    async def read(self, name: str, request: Any, *, wait: bool) -> None:
        """Have a client ask for something. See `_begin`."""
        answer = self.scenario.answer
        if answer is None:
            raise ConfigurationError("a script that reads needs `answer`: what reads are answered with")
        await self._begin(
            name, lambda client: client.read(request, lambda machine: answer(machine, request)), wait=wait
        )

    async def _begin(self, name: str, work: Callable[[Client[Any, Any]], Any], *, wait: bool) -> None:
        """Have a client do something, and wait for its answer if asked to, but not for long.

        A client does one thing at a time: it gives up what it still waits for.
        """
        busy = self._calls.pop(name, None)
        if busy is not None:
            answered, scope = busy
            scope.cancel()
            await answered.wait()
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.cluster.client(name)
        answered, scope = self._calls[name] = trio.Event(), trio.CancelScope()
        self._nursery.start_soon(self._answer, partial(work, client), answered, scope)
        if wait:
            await self.patiently(answered.wait)

    @staticmethod
    async def _answer(work: Callable[[], Any], answered: trio.Event, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await work()
        except (CommandFailed, OutcomeUnknown):
            pass  # the history tells
        finally:
            answered.set()

    async def patiently(self, work: Callable[[], Any]) -> bool:
        """Wait for something, but not for ever; tell whether it was done."""
        with trio.move_on_after(_PATIENCE_S) as scope:  # noqa: ASYNC912 - what is given waits
            await work()
        return not scope.cancelled_caught

    def may_damage(self, node: str) -> bool:
        """Whether a node's disk may be damaged: never so many that no majority of whole ones is left."""
        most = len(self.cluster.node_ids) - self.cluster.majority
        if node not in self._damaged and len(self._damaged) >= most:
            return False
        self._damaged.add(node)
        return True


class Play:
    """A script that is taken step by step from synchronous code; between two steps no time passes.

    Trio has one run a thread, so a play that is not finished must be abandoned; leaving its `with` block does that.

    Attributes:
        taken: the steps so far.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        """Start the cluster."""
        self.taken: list[Step] = []
        self._session = Session(scenario.open(seed))

    @property
    def cluster(self) -> Simulation[Any, Any]:
        """The cluster, to look at."""
        return self._session.value.cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.abandon()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._session.over

    def take(self, step: Step) -> None:
        """Take a step.

        Raises:
            CheckFailed: the cluster did what it never may. The play is over then.
        """
        self.taken.append(step)
        if isinstance(step, InstantStep):
            step.act(self._session.value)
        else:
            self._session.call(step.take)

    def finish(self) -> Report | None:
        """End it with all checks.

        Raises:
            CheckFailed: one of them failed.
        """
        report = self._session.call(ScriptRun.finish)
        self._session.close()
        return report

    def abandon(self) -> None:
        """End it at once, if it has not ended."""
        self._session.abandon()
