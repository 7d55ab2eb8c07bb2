"""Hypothesis finds what is wrong with a state machine, and leaves a short script of it, which fails in the same way."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from raft_actors.errors import ConfigurationError
from raft_actors.testing import CheckFailed
from raft_actors.testing import steps as all_steps
from raft_actors.testing.script import Step
from raft_actors.testing.stateful import ClusterMachine
from raft_actors.testing.steps import Call, Wait
from tests.simulation_for_users.lock import Acquire, ForgetfulLock, GenerousLock, Lock, LockModel, Owner, Release

COMMANDS = st.builds(Acquire, st.sampled_from("ab")) | st.builds(Release, st.sampled_from("ab"))


class LockMachine(ClusterMachine):
    state_machine = Lock
    commands = COMMANDS
    reads = st.builds(Owner)
    model = LockModel()

    @staticmethod
    def answer(state_machine: Any, request: Any) -> Any:
        assert request == Owner()
        return state_machine.owner


class ForgetfulMachine(LockMachine):
    state_machine = ForgetfulLock


class GenerousMachine(LockMachine):
    state_machine = GenerousLock


def run(machine: type[ClusterMachine], *, examples: int, steps: int = 25, shrink: bool = False) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def script_in(error: BaseException) -> str:
    """The test that a failure prints."""
    (note,) = (note for note in error.__notes__ if note.startswith("The same as a test"))
    return note.partition("\n\n")[2]


def test_a_right_lock_passes() -> None:
    run(LockMachine, examples=10)


def test_a_lock_that_is_none_is_found_and_shrunk_to_a_script_that_fails_in_the_same_way() -> None:
    with pytest.raises(CheckFailed, match="linearizab") as caught:
        run(GenerousMachine, examples=20, steps=4, shrink=True)
    source = script_in(caught.value)
    names: dict[str, Any] = {"GenerousMachine": GenerousMachine, "Acquire": Acquire, "Release": Release, "Owner": Owner}
    exec(compile(source, "pasted", "exec"), names)
    with pytest.raises(CheckFailed) as again:
        names["test_script_that_broke_it"]()
    assert str(again.value) == str(caught.value)
    taken = [line for line in source.splitlines() if line.startswith(" " * 8) and "seed=" not in line]
    assert len(taken) <= 4, source
    assert "seed=0" in source


def test_a_forgetful_lock_is_found() -> None:
    with pytest.raises(CheckFailed, match=r"equal results on all replicas|linearizability") as caught:
        run(ForgetfulMachine, examples=100, steps=20)
    assert "ForgetfulMachine.replay(" in script_in(caught.value)


def test_rules_and_invariants_of_ones_own() -> None:
    class Mine(LockMachine):
        looked = 0

        @precondition(lambda machine: machine.cluster.leader() is None)
        @rule()
        def wait_for_leader(self) -> None:
            self.take(Wait(2.0))
            assert self.cluster.leader() is not None or len(self.cluster.nodes) < 3 or self.cluster.history

        @invariant()
        def tokens_are_few(self) -> None:
            Mine.looked += 1
            assert all(self.cluster.state_machine(name).token < 50 for name in self.cluster.nodes)

    run(Mine, examples=3, steps=10)
    assert Mine.looked > 3


def test_an_error_in_a_rule_of_ones_own_is_shown_as_itself_and_leaves_no_run_behind() -> None:
    class Mine(LockMachine):
        @rule()
        def wrong(self) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Mine, examples=20, steps=10)
    LockMachine.replay(Call("c1", Acquire("a")))


def test_every_step_there_is_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        name
        for name, kind in vars(all_steps).items()
        if isinstance(kind, type) and kind.__module__ == all_steps.__name__
    }
    drawn: set[str] = set()

    class AllAreDrawn(BaseException):
        """Ends the run: what else it would draw takes most of the time. Hypothesis would repeat it for an Exception."""

    def take(_machine: LockMachine, step: Step) -> None:
        drawn.add(type(step).__name__)
        if drawn == kinds:
            raise AllAreDrawn

    monkeypatch.setattr(LockMachine, "take", take)

    class Fake:
        node_ids = ("n1", "n2")
        nodes = ("n1",)
        lost: tuple[str, ...] = ()

        def leader(self) -> str:
            return "n1"

    monkeypatch.setattr(LockMachine, "cluster", Fake())
    monkeypatch.setattr(LockMachine, "start_cluster", None)
    with suppress(AllAreDrawn):
        run(LockMachine, examples=200, steps=40)  # the choice of rules hangs on the hash seed
    assert drawn == kinds


def test_a_machine_that_was_not_started_says_so() -> None:
    with pytest.raises(ConfigurationError, match="not been started"):
        LockMachine().take(Wait(1.0))


def test_reads_need_an_answer() -> None:
    with pytest.raises(ConfigurationError, match="answer"):
        ClusterMachine.answer(Lock(), Owner())


def test_without_hypothesis_the_remedy_is_named_and_the_rest_works() -> None:
    program = """
import sys
sys.modules["hypothesis"] = sys.modules["pytest"] = None
import raft_actors.testing
try:
    import raft_actors.testing.stateful
except raft_actors.RaftError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install hypothesis" in done.stdout
