"""Admission: how much may wait to be answered, who waits for room, and in which order they get it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.errors import NodeStopped, Overloaded
from raft_actors.node.admission import Admission, Admitted
from raft_actors.node.proposals import PendingProposal
from raft_actors.overload import OverloadCause


def make_admission(*, max_bytes: int = 100, max_count: int = 10, **more: Any) -> Admission:
    return Admission("n1", max_bytes=max_bytes, max_count=max_count, **more)


def sized(admission: Admission, size: int) -> PendingProposal[Any]:
    return PendingProposal(admission, (b"",), size)


def admitted(admission: Admission, size: int) -> PendingProposal[Any]:
    proposal = sized(admission, size)
    admission.admit_nowait(proposal)
    return proposal


class Queue:
    """Proposals that wait for room, and the order in which they get it."""

    def __init__(self, admission: Admission, nursery: trio.Nursery) -> None:
        self.admission, self.nursery = admission, nursery
        self.got_room: list[int] = []
        self.scopes: dict[int, trio.CancelScope] = {}

    async def add(self, size: int) -> PendingProposal[Any]:
        proposal = sized(self.admission, size)
        self.nursery.start_soon(self._wait, proposal)
        await wait_all_tasks_blocked()
        return proposal

    async def _wait(self, proposal: PendingProposal[Any]) -> None:
        with trio.CancelScope() as scope:
            self.scopes[proposal.size] = scope
            await self.admission.admit(proposal)
            self.got_room.append(proposal.size)


async def test_lets_in_what_there_is_room_for_without_a_checkpoint() -> None:
    admission = make_admission()
    with trio.CancelScope() as scope:
        scope.cancel()
        await admission.admit(sized(admission, 100))
    assert (admission.count, admission.bytes) == (1, 100)


async def test_an_idle_node_takes_one_of_any_size() -> None:
    admission = make_admission()
    admission.admit_nowait(sized(admission, 1_000))
    with pytest.raises(Overloaded, match="1 proposals with 1,000 bytes"):
        admission.admit_nowait(sized(admission, 0))


async def test_is_full_by_bytes() -> None:
    admission = make_admission(max_bytes=100)
    admission.admit_nowait(sized(admission, 99))
    admission.admit_nowait(sized(admission, 1))
    with pytest.raises(Overloaded, match="max_uncommitted_bytes 100"):
        admission.admit_nowait(sized(admission, 1))


async def test_is_full_by_number() -> None:
    admission = make_admission(max_count=2)
    admission.admit_nowait(sized(admission, 0))
    admission.admit_nowait(sized(admission, 0))
    with pytest.raises(Overloaded, match="max_pending_proposals 2"):
        admission.admit_nowait(sized(admission, 0))


async def test_settling_frees_the_place_once() -> None:
    admission = make_admission()
    proposal = admitted(admission, 60)
    other = admitted(admission, 40)
    proposal.resolve(None)
    proposal.fail(ValueError())
    assert (admission.count, admission.bytes) == (1, 40)
    other.resolve(None)
    assert (admission.count, admission.bytes) == (0, 0)


async def test_those_who_wait_get_room_in_the_order_in_which_they_came() -> None:
    admission = make_admission(max_count=1)
    async with trio.open_nursery() as nursery:
        current = admitted(admission, 0)
        queue = Queue(admission, nursery)
        waiting = [await queue.add(size) for size in (1, 2, 3)]
        for proposal in waiting:
            current.resolve(None)
            await wait_all_tasks_blocked()
            current = proposal
        assert queue.got_room == [1, 2, 3]


async def test_one_that_comes_as_room_is_freed_does_not_pass_those_who_wait() -> None:
    admission = make_admission(max_count=1)
    async with trio.open_nursery() as nursery:
        current = admitted(admission, 0)
        queue = Queue(admission, nursery)
        await queue.add(1)
        current.resolve(None)  # the one that waits has not run yet
        with pytest.raises(Overloaded):
            admission.admit_nowait(sized(admission, 0))
        await wait_all_tasks_blocked()
        assert queue.got_room == [1]


async def test_a_large_one_at_the_head_is_not_passed_by_small_ones_that_would_fit() -> None:
    admission = make_admission()
    async with trio.open_nursery() as nursery:
        current = admitted(admission, 50)
        queue = Queue(admission, nursery)
        await queue.add(80)
        await queue.add(5)
        with pytest.raises(Overloaded):
            admission.admit_nowait(sized(admission, 5))
        assert queue.got_room == []
        current.resolve(None)
        await wait_all_tasks_blocked()
        assert set(queue.got_room) == {80, 5}


async def test_freed_room_goes_to_all_who_fit_into_it() -> None:
    admission = make_admission()
    async with trio.open_nursery() as nursery:
        current = admitted(admission, 100)
        queue = Queue(admission, nursery)
        for size in (30, 31, 32, 33):
            await queue.add(size)
        current.resolve(None)
        await wait_all_tasks_blocked()
        assert set(queue.got_room) == {30, 31, 32}
        nursery.cancel_scope.cancel()


async def test_a_large_one_that_gives_up_lets_in_those_behind_it() -> None:
    admission = make_admission()
    async with trio.open_nursery() as nursery:
        admitted(admission, 50)
        queue = Queue(admission, nursery)
        await queue.add(80)
        await queue.add(5)
        queue.scopes[80].cancel()
        await wait_all_tasks_blocked()
        assert queue.got_room == [5]
        assert admission.bytes == 55


async def test_one_that_gives_up_leaves_nothing_behind() -> None:
    admission = make_admission(max_count=1)
    async with trio.open_nursery() as nursery:
        current = admitted(admission, 0)
        queue = Queue(admission, nursery)
        await queue.add(1)
        queue.scopes[1].cancel()
        await wait_all_tasks_blocked()
        current.resolve(None)
        assert (admission.count, admission.bytes) == (0, 0)


async def test_closing_turns_away_those_who_wait_and_those_who_come() -> None:
    admission = make_admission(max_count=1)
    admitted(admission, 0)
    with pytest.RaisesGroup(NodeStopped):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(admission.admit, sized(admission, 0))
            await wait_all_tasks_blocked()
            admission.close()
    with pytest.raises(NodeStopped):
        admission.admit_nowait(sized(admission, 0))
    with pytest.raises(NodeStopped):
        await admission.admit(sized(admission, 0))
    assert admission.count == 1


async def test_wait_idle_returns_when_all_are_settled() -> None:
    admission = make_admission()
    first, second = admitted(admission, 0), admitted(admission, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(admission.wait_idle)
        await wait_all_tasks_blocked()
        first.resolve(None)
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        second.resolve(None)
    await admission.wait_idle()


async def test_all_that_are_left_fail_in_the_order_in_which_they_came() -> None:
    admission = make_admission()
    proposals = [admitted(admission, 0) for _ in range(5)]
    for index, proposal in enumerate(proposals):
        proposal.index = index + 10
    order: list[int | None] = []

    def error(proposal: Admitted) -> NodeStopped:
        order.append(proposal.index)
        return NodeStopped("n1", proposal.index)

    admission.fail_all(error)
    assert order == [10, 11, 12, 13, 14]
    for index, proposal in enumerate(proposals):
        with pytest.raises(NodeStopped) as caught:
            await proposal.wait()
        assert caught.value.index == index + 10
    assert admission.count == 0


# --- those who wait for nothing but the outcome --------------------------------------------------------------------


def test_of_many_that_wait_and_are_refused_as_they_are_handed_in_none_makes_the_stack_deeper() -> None:
    """Each frees its room for the next; the order stays."""
    admission = make_admission(max_count=1)
    refused: list[PendingProposal[Any]] = []

    def hand_in(proposal: PendingProposal[Any]) -> None:
        refused.append(proposal)
        proposal.fail(Overloaded("the inbox is full"))

    admission.hand_in = hand_in
    first = admitted(admission, 0)
    waiting = [sized(admission, 0) for _ in range(3 * sys.getrecursionlimit())]
    assert not any(map(admission.wait_turn, waiting))
    first.fail(Overloaded("the inbox is full"))
    assert refused == waiting
    assert (admission.count, admission.waits) == (0, 0)
    assert admission.wait_turn(sized(admission, 0))


def test_what_waits_is_handed_in_when_there_is_room() -> None:
    admission, handed_in = make_admission(max_count=2), list[PendingProposal[Any]]()
    admission.hand_in = handed_in.append
    first, second, third, fourth = (sized(admission, 0) for _ in range(4))
    assert [admission.wait_turn(one) for one in (first, second, third, fourth)] == [True, True, False, False]
    assert (admission.count, admission.waits) == (2, 2)
    first.resolve(None)
    assert (handed_in, admission.count, admission.waits) == ([third], 2, 1)
    assert not admission.admit_if_room(sized(admission, 0))
    third.resolve(None)
    assert handed_in == [third, fourth]


def test_one_that_leaves_the_queue_is_never_handed_in() -> None:
    admission, handed_in = make_admission(), list[PendingProposal[Any]]()
    admission.hand_in = handed_in.append
    current, large, small = admitted(admission, 50), sized(admission, 80), sized(admission, 5)
    assert not admission.wait_turn(large)
    assert not admission.wait_turn(small)
    assert admission.leave_queue(large)
    assert handed_in == [small]
    assert not admission.leave_queue(small)
    current.resolve(None)
    assert (handed_in, admission.count) == ([small], 1)


def test_closing_settles_what_waits_in_the_queue() -> None:
    admission = make_admission(max_count=1)
    admitted(admission, 0)
    waiting = sized(admission, 0)
    assert not admission.wait_turn(waiting)
    admission.close(ValueError("why"))
    with pytest.raises(NodeStopped) as stopped:
        waiting.result_nowait()
    assert isinstance(stopped.value.__cause__, ValueError)
    with pytest.raises(NodeStopped):
        admission.wait_turn(sized(admission, 0))
    assert (admission.count, admission.waits) == (1, 0)


# --- how long it takes ---------------------------------------------------------------------------------------------


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def answer_in(seconds: float, admission: Admission, clock: Clock, count: int) -> None:
    """Let so many in, of which the last one is measured, and answer them all so much later."""
    proposals = [admitted(admission, 0) for _ in range(count)]
    for index, proposal in enumerate(proposals, 1):
        proposal.index = index
    admission.time(proposals[-1])
    clock.now += seconds
    for proposal in proposals:
        proposal.resolve(None)
    assert admission.count == 0


def overloaded(admission: Admission, clock: Clock) -> Overloaded:
    """Have 1,000 take 50 ms five times, then as many let in as may be, and one more."""
    answer_in(0.002, admission, clock, 1)
    for _ in range(5):
        answer_in(0.05, admission, clock, 1000)
    while admission.admit_if_room(sized(admission, 0)):
        pass
    with pytest.raises(Overloaded) as refused:
        admission.admit_nowait(sized(admission, 0))
    return refused.value


def test_fewer_are_let_in_where_they_take_long() -> None:
    clock = Clock()
    admission = make_admission(max_count=10_000, congestion_delay_s=0.01, now=clock)
    error = overloaded(admission, clock)
    assert error.cause is OverloadCause.DELAY
    assert admission.count == admission.window.size == 500  # half at a time, on the way to the 20 ms that are allowed
    assert error.retry_after_s == pytest.approx(0.05 + 0.05 / 500)
    assert "now 500, as one takes 50.0 ms" in str(error)


def test_a_number_is_the_only_limit_where_time_is_none() -> None:
    clock = Clock()
    admission = make_admission(max_count=1000, now=clock)
    assert overloaded(admission, clock).cause is OverloadCause.PROPOSALS
    assert admission.count == 1000


def test_one_is_measured_at_a_time_and_one_that_was_refused_shows_nothing() -> None:
    clock = Clock()
    admission = make_admission(congestion_delay_s=0.01, now=clock)
    first, second = admitted(admission, 0), admitted(admission, 0)
    admission.time(first)
    admission.time(second)
    second.index, clock.now = 1, 3.0
    second.resolve(None)
    assert (admission.window.delay_s, admission.unanswered_s) == (None, 3.0)
    first.fail(ValueError("refused"))
    assert (admission.window.delay_s, admission.unanswered_s) == (None, 0.0)
    answer_in(0.5, admission, clock, 1)
    assert admission.window.delay_s == 0.5


def test_who_would_have_to_wait_for_too_long_is_refused() -> None:
    clock = Clock()
    admission = make_admission(max_count=10, max_wait_s=0.25, now=clock)
    answer_in(0.1, admission, clock, 10)
    for _ in range(10):
        admitted(admission, 0)
    for _ in range(25):  # at 100 a second, the last of them gets room in 0.25 s
        assert not admission.wait_turn(sized(admission, 0))
    with pytest.raises(Overloaded) as refused:
        admission.wait_turn(sized(admission, 0))
    assert (refused.value.cause, admission.waits) == (OverloadCause.WAIT, 25)
    assert refused.value.retry_after_s >= 0.1
