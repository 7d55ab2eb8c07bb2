"""Scripts do what they say, in whatever order and however little sense it makes, and the same each time."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft_actors.errors import ConfigurationError
from raft_actors.testing import UNKNOWN, CheckFailed, Operation, Scenario, Step, Verdict
from raft_actors.testing import steps as all_steps
from raft_actors.testing.script import InstantStep, Play, ScriptRun
from raft_actors.testing.steps import (
    BeginCall,
    BeginRead,
    Call,
    ClockJump,
    ClockRate,
    Crash,
    CrashAll,
    CrashAtStep,
    CrashAtWrite,
    DamageDisk,
    FailWrite,
    Feed,
    FillDisk,
    HangDisk,
    Heal,
    HoldBack,
    IsolateLeader,
    LetThrough,
    MendDisk,
    Messages,
    Mute,
    Partition,
    Pause,
    Read,
    Resume,
    SlowApply,
    SlowDisk,
    Snapshot,
    Start,
    Stop,
    Wait,
)
from tests.simulation_for_users.lock import Acquire, ForgetfulLock, GenerousLock, Lock, LockModel, Owner, Release


def owner(lock: Lock, _request: Owner) -> str | None:
    return lock.owner


LOCK = Scenario(state_machine=Lock, model=LockModel(), answer=owner)

NODE = "n2"
EVERYTHING: list[Step] = [
    Call("c1", Acquire("a")),
    BeginCall("c2", Acquire("b")),
    Read("c1", Owner()),
    BeginRead("c3", Owner()),
    Wait(0.3),
    Crash(NODE),
    Start(NODE),
    CrashAtStep(NODE, 3),
    CrashAtWrite(NODE, 1),
    Wait(0.2),
    Start(NODE),
    Pause(NODE),
    Partition(("n1",)),
    Resume(NODE),
    Mute("n3"),
    HoldBack("n1", "n3"),
    Feed("n1", 5),
    IsolateLeader(),
    LetThrough("n1", "n3"),
    Messages(drop=0.1, duplicate=0.1, reorder=0.1),
    Call("c1", Release("a")),
    Heal(),
    Stop(NODE),
    Start(NODE),
    SlowApply(NODE, 0.01),
    FailWrite("n1"),
    FillDisk("n3"),
    MendDisk("n3"),
    HangDisk("n3"),
    SlowDisk("n1", 0.1, 0.1),
    ClockRate(NODE, 2.0),
    ClockJump("n1", 1.0),
    Snapshot("n1"),
    DamageDisk("n1"),
    CrashAll(),
]


def history(play: Play) -> list[tuple[Any, ...]]:
    return [(each.client, each.request, each.response) for each in play.cluster.history.operations()]


def test_everything_is_listed() -> None:
    kinds = {kind for kind in vars(all_steps).values() if isinstance(kind, type) and issubclass(kind, Step)}
    assert {type(step) for step in EVERYTHING} == kinds - {Step, InstantStep}


@pytest.mark.parametrize("step", EVERYTHING, ids=map(repr, range(len(EVERYTHING))))
def test_a_step_says_how_to_make_it(step: Step) -> None:
    names = {name: value for name, value in globals().items() if isinstance(value, type)}
    assert eval(repr(step), names) == step


def test_a_right_lock_stands_a_script_with_everything_in_it() -> None:
    report = LOCK.replay(*EVERYTHING)
    assert report is not None
    assert report.verdict is Verdict.OK


@settings(max_examples=12)
@given(script=st.lists(st.sampled_from(EVERYTHING), max_size=15), seed=st.integers(0, 9))
def test_a_right_lock_stands_whatever_is_left_of_it_in_any_order(script: list[Step], seed: int) -> None:
    LOCK.replay(*script, seed=seed)


def test_the_same_script_and_seed_give_the_same_run() -> None:
    def lines(seed: int) -> list[str]:
        with Play(LOCK, seed) as play:
            for step in EVERYTHING:
                play.take(step)
            play.finish()
            return [*play.cluster.trace.lines()]

    assert lines(3) == lines(3)
    assert lines(3) != lines(4)


def test_an_instant_step_that_changes_nothing_changes_nothing_of_the_run() -> None:
    def commits(*script: Step) -> list[tuple[Any, ...]]:
        with Play(LOCK, 0) as play:
            for step in script:
                play.take(step)
            play.finish()
            return [
                (event["t"], event["node"], event["index"])
                for event in play.cluster.trace.events()
                if event["kind"] == "commit"
            ]

    assert commits(Heal(), Call("c1", Acquire("a")), Heal(), Heal(), Wait(1.0)) == commits(
        Call("c1", Acquire("a")), Wait(1.0)
    )


def test_a_forgetful_lock_is_found_when_it_restores() -> None:
    script = [Call("c1", Acquire("a")), Wait(0.5), Snapshot("n1"), Crash("n1"), Start("n1"), Call("c1", Release("a"))]
    with pytest.raises(CheckFailed, match="equal results on all replicas"):
        Scenario(state_machine=ForgetfulLock).replay(*script)
    Scenario(state_machine=Lock).replay(*script)


def test_a_script_is_shortened_to_what_breaks_the_same() -> None:
    needed = [Call("c1", Acquire("a")), Wait(0.5), Snapshot("n1"), Crash("n1"), Start("n1"), Call("c1", Release("a"))]
    script = [*needed[:2], Heal(), SlowApply("n2", 0.0), *needed[2:], Heal(), ClockRate("n2", 1.0), Wait(0.1)]
    forgetful = Scenario(state_machine=ForgetfulLock)
    short = forgetful.shorten(*script)
    assert len(short) <= len(needed)
    with pytest.raises(CheckFailed, match="equal results on all replicas"):
        forgetful.replay(*short)
    with pytest.raises(ConfigurationError, match="breaks nothing"):
        LOCK.shorten(*script)


def test_a_lock_that_all_replicas_have_wrong_is_found_by_its_model() -> None:
    script = [Call("c1", Acquire("a")), Call("c2", Acquire("b"))]
    with pytest.raises(CheckFailed, match="linearizab"):
        Scenario(state_machine=GenerousLock, model=LockModel()).replay(*script)
    assert Scenario(state_machine=GenerousLock).replay(*script) is None


def test_a_busy_client_gives_up_what_it_waits_for() -> None:
    with Play(LOCK, 0) as play:
        for step in (CrashAll(), BeginCall("c1", Acquire("a")), Wait(0.5), BeginCall("c1", Acquire("b"))):
            play.take(step)
        assert history(play) == [("c1", Acquire("a"), UNKNOWN)]
        play.finish()
        assert history(play)[-1][1] == Acquire("b")


def test_an_unanswered_call_holds_up_a_script_for_no_more_than_a_few_seconds() -> None:
    with Play(LOCK, 0) as play:
        play.take(CrashAll())
        play.take(Call("c1", Acquire("a")))
        assert history(play) == [("c1", Acquire("a"), UNKNOWN)]
        report = play.finish()
        assert report is not None
        assert history(play) == [("c1", Acquire("a"), 1)]


def test_no_majority_of_disks_is_damaged() -> None:
    with Play(LOCK, 0) as play:
        for name in ("n1", "n2", "n3"):
            play.take(Call("c1", Acquire("a")))
            play.take(DamageDisk(name))
        assert [name for name in play.cluster.node_ids if play.cluster.disk(name).damaged] == ["n1"]
        play.take(CrashAll())
        play.finish()
        assert len(play.cluster.lost) <= 1  # none where the damaged record was compacted away meanwhile


def test_reading_needs_an_answer() -> None:
    with pytest.raises(ConfigurationError, match="answer"):
        Scenario(state_machine=Lock).replay(Read("c1", Owner()))


def test_a_step_of_ones_own() -> None:
    seen: list[Operation] = []

    @attrs.frozen
    class Look(Step):
        async def take(self, run: ScriptRun) -> None:
            seen.extend(run.cluster.history.operations())

    LOCK.replay(Call("c1", Acquire("a")), Look())
    assert [each.response for each in seen] == [1]
