"""Hypothesis drives a cluster: a rule-based state machine over what clients and faults can do, for any application.

    class BankMachine(ClusterMachine):
        state_machine = Bank
        commands = st.builds(Deposit, account=st.sampled_from("ab"), amount=st.integers(1, 9))
        model = BankModel()

    TestBank = BankMachine.TestCase

Hypothesis draws a seed and a sequence of steps. All invariants are checked after every step of every node; at the end
everything is healed, the cluster must live, and the clients' history is compared with the model. A failure is shrunk,
and its error carries the script that is left as a test to be pasted. Needs the package hypothesis.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from raft_actors.config import NodeConfig
from raft_actors.errors import ConfigurationError
from raft_actors.testing import steps
from raft_actors.testing.failure import CheckFailed
from raft_actors.testing.invariants import STANDARD_INVARIANTS, Invariant
from raft_actors.testing.linearizability import Model, Report, Verdict
from raft_actors.testing.script import OFTEN_SNAPSHOTS, Play, Scenario, Step
from raft_actors.testing.simulation import Simulation

try:
    from hypothesis import event
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
    from hypothesis.strategies import SearchStrategy
except ImportError as _error:
    raise ConfigurationError(
        "raft_actors.testing.stateful needs the package hypothesis: pip install hypothesis"
    ) from _error

T = TypeVar("T")


def _of_machine(choose: Callable[[Any], SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """A strategy that depends on the machine that draws from it."""
    return st.runner().flatmap(choose)


_node = _of_machine(lambda machine: st.sampled_from(machine.cluster.node_ids))
_running = _of_machine(lambda machine: st.sampled_from([*machine.cluster.nodes]))
_down = _of_machine(lambda machine: st.sampled_from(machine.down))
_client = _of_machine(lambda machine: st.sampled_from([f"c{number + 1}" for number in range(machine.clients)]))
_command = _of_machine(lambda machine: machine.commands)
_request = _of_machine(lambda machine: machine.reads)
_call = st.one_of(st.builds(steps.Call, _client, _command), st.builds(steps.BeginCall, _client, _command))
_read = st.one_of(st.builds(steps.Read, _client, _request), st.builds(steps.BeginRead, _client, _request))
_then = st.lists(_of_machine(lambda machine: _call if machine.reads is None else st.one_of(_call, _read)), max_size=3)
_minority = _of_machine(
    lambda machine: st.lists(
        st.sampled_from(machine.cluster.node_ids), min_size=1, max_size=max(1, machine.nodes // 2), unique=True
    ).map(tuple)
)

# Hypothesis leaves out some rules in each example, and takes the others equally often. Clients must get something done
# all the same: so there is one rule for each kind of fault, not for each fault, and calls follow each of them.
_crash = st.one_of(
    st.builds(steps.Crash, _running),
    st.builds(steps.Stop, _running),
    st.builds(steps.CrashAtStep, _running, st.integers(1, 30)),
    st.builds(steps.CrashAtWrite, _node, st.integers(1, 5)),
    st.builds(steps.CrashAll),
)
_network = st.one_of(
    st.builds(steps.Partition, _minority),
    st.builds(steps.IsolateLeader),
    st.builds(steps.Mute, _node),
    st.builds(steps.HoldBack, _node, _node),
    st.builds(steps.LetThrough, _node, _node),
    st.builds(steps.Messages, st.sampled_from((0.0, 0.1)), st.sampled_from((0.0, 0.1)), st.sampled_from((0.0, 0.3))),
)
_disk = st.one_of(
    st.builds(steps.FailWrite, _node),
    st.builds(steps.FillDisk, _node),
    st.builds(steps.HangDisk, _node),
    st.builds(steps.SlowDisk, _node, st.sampled_from((0.01, 0.1, 0.5)), st.sampled_from((0.0, 0.2))),
    st.builds(steps.DamageDisk, _node),
    st.builds(steps.MendDisk, _node),
)
_pace = st.one_of(
    st.builds(steps.Pause, _node),
    st.builds(steps.Resume, _node),
    st.builds(steps.Feed, _node, st.sampled_from((1, 5, 20))),
    st.builds(steps.SlowApply, _node, st.sampled_from((0.0, 0.01, 0.2))),
    st.builds(steps.ClockRate, _node, st.sampled_from((1.0, 0.5, 2.0))),
    st.builds(steps.ClockJump, _node, st.sampled_from((0.1, 1.0))),
)


def _some_run(machine: Any) -> bool:
    return bool(machine.cluster.nodes)


def _has_reads(machine: Any) -> bool:
    return machine.reads is not None


class ClusterMachine(RuleBasedStateMachine):
    """Subclass it, say what is tested, and have pytest collect its `TestCase`. Rules of your own call `take`.

    Attributes:
        state_machine: makes a fresh state machine for each start of a node: a class, or a `staticmethod`.
        commands: a strategy for what clients propose. A command's `repr` should be the expression that makes it.
        reads: a strategy for what clients ask; None: they only propose.
        model: the sequential model that the history is compared with at the end; None: it is not.
        nodes: how many there are.
        clients: how many there are; each does one thing at a time.
        config: of all nodes.
        cluster_invariants: what makes each invariant that is checked after every step.
        cluster: the cluster, to look at in rules and invariants of your own. Between two steps no time passes.
    """

    state_machine: ClassVar[Any]
    commands: ClassVar[SearchStrategy[Any]]
    reads: ClassVar[SearchStrategy[Any] | None] = None
    model: ClassVar[Model[Any] | None] = None
    nodes: ClassVar[int] = 3
    clients: ClassVar[int] = 3
    config: ClassVar[NodeConfig] = OFTEN_SNAPSHOTS
    cluster_invariants: ClassVar[Iterable[Callable[[], Invariant]]] = STANDARD_INVARIANTS

    @staticmethod
    def answer(state_machine: Any, request: Any) -> Any:
        """What a client that asks `request` is answered. Override it where there are `reads`; change nothing in it."""
        raise ConfigurationError(f"{request!r} can't be answered: a ClusterMachine with `reads` overrides `answer`")

    @classmethod
    def scenario(cls) -> Scenario:
        """What is tested, without Hypothesis."""
        return Scenario(
            state_machine=cls.state_machine,
            nodes=cls.nodes,
            config=cls.config,
            model=cls.model,
            answer=cls.answer,
            invariants=cls.cluster_invariants,
        )

    @classmethod
    def replay(cls, *script: Step, seed: int = 0) -> Report | None:
        """Run a script again, as a failure prints it. See `Scenario.replay`."""
        return cls.scenario().replay(*script, seed=seed)

    def __init__(self) -> None:
        super().__init__()
        self._play: Play | None = None
        self._seed = 0

    @property
    def cluster(self) -> Simulation[Any, Any]:
        """The cluster."""
        return self._started().cluster

    @property
    def down(self) -> list[str]:
        """Nodes that can be started."""
        cluster = self.cluster
        return [name for name in cluster.node_ids if name not in cluster.nodes and name not in cluster.lost]

    def take(self, step: Step) -> None:
        """Take a step of a script, a class of `steps` or one of your own.

        Raises:
            CheckFailed: the cluster did what it never may.
        """
        self._explained(lambda play: play.take(step))

    def _started(self) -> Play:
        if self._play is None:
            raise ConfigurationError("the cluster has not been started yet: it is there in rules and invariants")
        return self._play

    def _explained(self, work: Callable[[Play], T]) -> T:
        """Do something; what is broken by it is raised with the script that led to it."""
        play = self._started()
        try:
            return work(play)
        except CheckFailed as error:
            failure = error
        # Hypothesis takes errors that were raised in different places for different defects, and would shrink one
        # script for each: so all come from here, and with no other error as their context.
        again = CheckFailed(str(failure), failure.broken)
        again.__cause__ = failure.__cause__
        again.add_note(self._as_test(play.taken))
        raise again

    def _as_test(self, script: Sequence[Step]) -> str:
        lines = "".join(f"        {step!r},\n" for step in script)
        names = ", ".join(sorted({type(step).__name__ for step in script}))
        return (
            f"The same as a test:\n\nfrom raft_actors.testing.steps import {names}\n\n"
            f"def test_script_that_broke_it():\n    {type(self).__name__}.replay(\n"
            f"{lines}        seed={self._seed},\n    )\n"
        )

    # --- start and end ---------------------------------------------------------------------------------------

    @initialize(seed=st.integers(0, 2**16))
    def start_cluster(self, seed: int) -> None:
        """Start the cluster."""
        self._seed = seed
        self._play = Play(self.scenario(), seed)

    def teardown(self) -> None:
        """Heal all, and make the checks that come at the end; after a failure, clean up only."""
        play = self._play
        if play is None or play.over:
            return
        if sys.exc_info()[0] is not None:
            play.abandon()
            return
        try:
            report = self._explained(Play.finish)
        finally:
            play.abandon()
        if report is not None and report.verdict is Verdict.UNDECIDED:
            event("linearizability undecided")

    # --- clients and time ------------------------------------------------------------------------------------

    @rule(step=_call)
    def call(self, step: Step) -> None:
        """A client proposes."""
        self.take(step)

    @precondition(_has_reads)
    @rule(step=_read)
    def read(self, step: Step) -> None:
        """A client asks."""
        self.take(step)

    @rule(seconds=st.sampled_from((0.01, 0.1, 0.3, 1.0, 3.0)), then=_then)
    def wait(self, seconds: float, then: list[Step]) -> None:
        """Time passes."""
        self._take_all(steps.Wait(seconds), then)

    def _take_all(self, step: Step, then: list[Step]) -> None:
        for each in (step, *then):
            self.take(each)

    # --- nodes and faults ------------------------------------------------------------------------------------

    @precondition(_some_run)
    @rule(step=_crash, then=_then)
    def crash(self, step: Step, then: list[Step]) -> None:
        """A node goes down, or all do."""
        self._take_all(step, then)

    @precondition(lambda machine: bool(machine.down))
    @rule(node=_down, then=_then)
    def start(self, node: str, then: list[Step]) -> None:
        """A node is started."""
        self._take_all(steps.Start(node), then)

    @precondition(_some_run)
    @rule(node=_running, then=_then)
    def snapshot(self, node: str, then: list[Step]) -> None:
        """A node takes a snapshot."""
        self._take_all(steps.Snapshot(node), then)

    @rule(step=_network, then=_then)
    def network(self, step: Step, then: list[Step]) -> None:
        """The network fails."""
        self._take_all(step, then)

    @rule(then=_then)
    def heal(self, then: list[Step]) -> None:
        """The network works again."""
        self._take_all(steps.Heal(), then)

    @rule(step=_disk, then=_then)
    def disk(self, step: Step, then: list[Step]) -> None:
        """A disk fails, or works again."""
        self._take_all(step, then)

    @rule(step=_pace, then=_then)
    def pace(self, step: Step, then: list[Step]) -> None:
        """A node is too slow or too fast, or no longer."""
        self._take_all(step, then)
