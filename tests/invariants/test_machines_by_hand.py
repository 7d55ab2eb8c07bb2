"""Invariants of state machines, queues and tasks, shown legal and illegal courses of things."""

from __future__ import annotations

from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio

from raft_actors.actors.clock import NodeClock
from raft_actors.config import MIB
from raft_actors.node.role_actors import LeaderActor
from raft_actors.raft.progress import ProgressState
from raft_actors.testing import Life
from raft_actors.testing.comparable import comparable
from raft_actors.testing.invariants import BoundedQueues, EqualResults, NoLeakedTask, StateMachineSafety
from raft_actors.testing.kept_snapshots import KeptSnapshots
from raft_actors.testing.life import LIFE
from tests.invariants.support import Stage
from tests.unit.builders import make_config, make_follower, make_leader


def stage_with_history(invariant: StateMachineSafety | EqualResults) -> tuple[Stage, Life]:
    """n1 has applied three commands, at 2, 3 and 5."""
    stage = Stage(invariant)
    life = stage.life("n1")
    for index, command, result in ((2, b"x", 1), (3, b"y", 2), (5, b"z", 3)):
        stage.watch.applied(life, index, command, result)
    return stage, life


# --- state machine safety --------------------------------------------------------------------------------------------


def test_the_same_commands() -> None:
    stage, _ = stage_with_history(StateMachineSafety())
    life = stage.life("n2")
    stage.watch.restored(life, 4, 2)
    stage.watch.applied(life, 5, b"z", 3)
    stage.watch.applied(life, 6, b"new", 4)
    stage.expect_nothing()


@pytest.mark.parametrize(("index", "command"), [(3, b"x"), (2, b"y"), (3, b"y"), (1, b"x")])
def test_another_command(index: int, command: bytes) -> None:
    stage, _ = stage_with_history(StateMachineSafety())
    stage.watch.applied(stage.life("n2"), index, command, 1)
    stage.expect("as command number 1, where others applied b'x' of entry 2")


def test_a_command_twice() -> None:
    stage, life = stage_with_history(StateMachineSafety())
    stage.watch.applied(stage.life("n2"), 2, b"x", 1)
    stage.expect_nothing()
    stage.watch.restored(life, 5, 2)
    stage.expect("with 2 commands; 3 were applied")


def test_commands_from_nowhere() -> None:
    stage, _ = stage_with_history(StateMachineSafety())
    life = stage.life("n2")
    stage.watch.restored(life, 9, 5)
    stage.expect("with 5 commands; 3 were applied")
    stage.watch.applied(life, 10, b"x", 1)
    stage.expect("as command number 6, of 3 that there are")


# --- equal results ---------------------------------------------------------------------------------------------------


def test_equal_results() -> None:
    stage, life = stage_with_history(EqualResults())
    other = stage.life("n2")
    stage.watch.applied(other, 2, b"x", 1)
    stage.watch.digested(life, 5, b"all the same")
    stage.watch.digested(other, 5, b"all the same")
    stage.watch.digested(other, 6, b"later")
    stage.expect_nothing()
    stage.watch.applied(other, 3, b"y", 3)
    stage.expect("got 3 from b'y' of entry 3, where others got 2; n2 had restored no snapshot")


def test_snapshots_that_differ_are_shown_where_they_begin_to() -> None:
    stage, life = stage_with_history(EqualResults())
    other = stage.life("n2")
    stage.watch.digested(life, 5, b"x" * 100 + b"all the same")
    stage.watch.restored(other, 4, 2)
    stage.watch.digested(other, 5, b"x" * 100 + b"all the Same")
    stage.expect(
        "the snapshot of node 'n2' (start 1), which had restored the snapshot at entry 4, at entry 5 differs from that "
        "of node 'n1' (start 1), which had restored no snapshot: at byte 108 b'xxxxxxxxall the Same' against "
        "b'xxxxxxxxall the same' (112 and 112 B)"
    )


def test_of_large_snapshots_the_beginning_is_kept_and_of_many_the_latest() -> None:
    kept = KeptSnapshots()
    for index in range(1, 40):
        kept.add(index, bytes(2 * MIB))
    kept.add(39, bytes(2 * MIB - 1) + b"x")
    assert kept.difference(39) == ": not in their first 1,048,576 bytes"
    kept.add(1, b"x")  # the first at that index was let go: this takes its place
    assert kept.difference(1) == ": not in their first 1 bytes"


def test_snapshots_may_be_left_out() -> None:
    stage, life = stage_with_history(EqualResults.without_snapshots())
    stage.watch.digested(life, 5, b"1")
    stage.watch.digested(life, 5, b"2")
    stage.expect_nothing()


@attrs.frozen
class Point:
    x: int
    note: str = attrs.field(default="", eq=False)


class Plain:
    pass


class Told:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Told({self.text!r})"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1, True),
        (1, 2, False),
        (1, True, False),
        (None, None, True),
        (float("nan"), float("nan"), True),
        ([1, {"a": {2, 3}}], [1, {"a": {3, 2}}], True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ([1], (1,), False),
        ({1, 2}, {1}, False),
        (Point(1, "here"), Point(1, "there"), True),
        (Point(1), Point(2), False),
        (Plain(), Plain(), True),
        (Plain(), Told("x"), False),
        (Told("x"), Told("x"), True),
        (Told("x"), Told("y"), False),
        (ValueError("no"), ValueError("no"), True),
        (ValueError("no"), ValueError("yes"), False),
        (ValueError("no"), KeyError("no"), False),
    ],
)
def test_results_that_are_equal(one: object, other: object, equal: bool) -> None:
    assert (comparable(one) == comparable(other)) is equal


def test_a_picture_stays() -> None:
    result = [1, [2]]
    picture: Hashable = comparable(result)
    result.append(3)
    assert picture == comparable([1, [2]])
    assert hash(picture) == hash(comparable([1, [2]]))


# --- bounded queues --------------------------------------------------------------------------------------------------


def measured(**found: Any) -> list[str]:
    """What is said of a leader with these queues, whose bounds are all small."""
    config = make_config(
        max_pending_proposals=4,
        max_uncommitted_bytes=100,
        max_command_bytes=50,
        max_append_bytes=60,
        max_inflight_appends=2,
        max_inflight_bytes=100,
        log_cache_bytes=100,
    )
    invariant = BoundedQueues()
    stage = Stage(invariant)
    leader = make_leader()
    leader.state.config = config
    leader.state.unsynced_bytes = found.get("unsynced", 0)
    leader.state.log._tail_bytes = found.get("cached", 0)
    leader.intake.uncommitted.extend([None] * found.get("awaiting", 0))  # type: ignore[list-item]
    progress = SimpleNamespace(
        state=ProgressState.REPLICATE,
        inflight=[None] * found.get("appends", 0),
        inflight_bytes=found.get("append_bytes", 0),
    )
    replicator: Any = SimpleNamespace(progress=progress)
    nowhere: Any = None
    actor = LeaderActor(leader.state, SimpleNamespace(transport=nowhere, storage=nowhere, clock=NodeClock()))  # type: ignore[arg-type]
    actor.replication.replicators["n2"] = replicator
    inside: Any = SimpleNamespace(
        config=config,
        role_actor=actor,
        admission=SimpleNamespace(count=found.get("count", 0), bytes=found.get("bytes", 0)),
    )
    invariant.measure(stage.life("n1", leader), inside)
    return stage.wrong


@pytest.mark.parametrize(
    ("queue", "fits", "too_many"),
    [
        ("count", 4, 5),
        ("unsynced", 350, 600),
        ("cached", 150, 400),
        ("awaiting", 4, 5),
        ("appends", 2, 3),
        ("append_bytes", 150, 300),
    ],
)
def test_queues(queue: str, fits: int, too_many: int) -> None:
    assert measured(**{queue: fits}) == []
    [text] = measured(**{queue: too_many})
    assert f"has {too_many:,} " in text


def test_one_proposal_may_be_larger_than_what_all_may_have() -> None:
    assert measured(bytes=1000, count=1) == []
    assert len(measured(bytes=1000, count=2)) == 1


@pytest.mark.parametrize(("admitted", "is_wrong"), [(100_000_000, True), (200_000_000, False)])
def test_what_was_admitted_may_be_on_its_way_to_the_disk_when_it_was_given_up(admitted: int, is_wrong: bool) -> None:
    stage = Stage(BoundedQueues())
    role = make_follower([1])
    life = stage.life("n1", role)
    admission = SimpleNamespace(count=1, bytes=admitted)
    supervisor: Any = SimpleNamespace(config=role.state.config, admission=admission, role_actor=None)
    life.supervisor = supervisor
    role.state.adopt_term(role.state.term + 1)
    stage.watch.observer(life)(supervisor, role)
    admission.count = admission.bytes = 0
    role.state.unsynced_bytes = 250_000_000
    for _ in range(8):
        role.state.adopt_term(role.state.term + 1)
        stage.watch.observer(life)(supervisor, role)
    assert bool(stage.wrong) is is_wrong


def test_queues_are_measured_now_and_then() -> None:
    stage = Stage(BoundedQueues())
    role = make_follower([1])
    life = stage.life("n1", role)
    admission = SimpleNamespace(count=10**9, bytes=0)
    supervisor: Any = SimpleNamespace(config=role.state.config, admission=admission, role_actor=None)
    life.supervisor = supervisor
    for _ in range(8):
        role.state.adopt_term(role.state.term + 1)
        stage.watch.observer(life)(supervisor, role)
    stage.expect("1,000,000,000 proposals and reads")


# --- tasks -----------------------------------------------------------------------------------------------------------


async def test_a_task_outlives_its_node() -> None:
    stage = Stage(NoLeakedTask())
    life, other = stage.life("n1"), stage.life("n2")

    async def node(mine: Life, elsewhere: trio.Nursery, *, leak: bool) -> None:
        LIFE.set(mine)
        async with trio.open_nursery() as nursery:
            (elsewhere if leak else nursery).start_soon(trio.sleep_forever, name="forgotten")
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        stage.watch.ended(mine)

    async with trio.open_nursery() as elsewhere:
        async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - a task has a context of its own
            nursery.start_soon(lambda: node(life, elsewhere, leak=False))
        stage.expect_nothing()
        async with trio.open_nursery() as nursery:  # noqa: ASYNC112 - a task has a context of its own
            nursery.start_soon(lambda: node(other, elsewhere, leak=True))
        stage.expect("node 'n2' (start 1) has ended, and there still run ['forgotten']")
        elsewhere.cancel_scope.cancel()
