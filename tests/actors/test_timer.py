"""A deadline that is moved far more often than it passes."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from raft_actors.timer import DeadlineTimer


class Stage:
    """A running timer, and when it fired."""

    def __init__(self, deadline: float, grace_s: float = 0.0) -> None:
        self.fired: list[float] = []
        self.timer = DeadlineTimer(deadline, grace_s=grace_s)

    async def fire(self) -> None:
        self.fired.append(trio.current_time())


async def test_fires_once_when_the_deadline_has_passed(autojump_clock: MockClock) -> None:
    stage = Stage(2.0)
    with trio.move_on_after(10):
        await stage.timer.run(stage.fire)
    assert stage.fired == [2.0]


async def test_fires_again_for_each_new_deadline(autojump_clock: MockClock) -> None:
    stage = Stage(2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.timer.run, stage.fire)
        for deadline in (5.0, 6.0, 9.0):
            await trio.sleep_until(deadline - 0.5)
            stage.timer.arm(deadline)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert stage.fired == [2.0, 5.0, 6.0, 9.0]


async def test_does_not_fire_for_a_deadline_that_was_moved_away(autojump_clock: MockClock) -> None:
    stage = Stage(2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.timer.run, stage.fire)
        for second in range(1, 8):
            await trio.sleep_until(second)
            stage.timer.arm(second + 2.0)
        await trio.sleep_until(8.5)
        assert stage.fired == []
        await trio.sleep_until(20)
        nursery.cancel_scope.cancel()
    assert stage.fired == [9.0]


async def test_arming_it_anew_for_the_same_deadline_does_not_fire_again(autojump_clock: MockClock) -> None:
    stage = Stage(2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.timer.run, stage.fire)
        await trio.sleep_until(3)
        stage.timer.arm(2.0)
        await trio.sleep_until(9)
        nursery.cancel_scope.cancel()
    assert stage.fired == [2.0]


async def test_a_deadline_set_while_it_fires_counts(autojump_clock: MockClock) -> None:
    stage = Stage(2.0)
    room = trio.Event()

    async def fire() -> None:
        await stage.fire()
        await room.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.timer.run, fire)
        await trio.sleep_until(3)
        stage.timer.arm(4.0)
        room.set()
        await trio.sleep_until(9)
        nursery.cancel_scope.cancel()
    assert stage.fired == [2.0, 4.0]


async def test_moving_the_deadline_wakes_nobody(mock_clock: MockClock) -> None:
    stage = Stage(2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.timer.run, stage.fire)
        await wait_all_tasks_blocked()
        [task] = nursery.child_tasks
        before = task.custom_sleep_data
        for _ in range(100):
            stage.timer.arm(5.0)
        await wait_all_tasks_blocked()
        assert task.custom_sleep_data is before
        nursery.cancel_scope.cancel()
    assert stage.fired == []


async def test_one_that_was_held_up_waits_as_long_again_for_what_was_held_up_with_it(mock_clock: MockClock) -> None:
    stage = Stage(2.0, grace_s=1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.timer.run, stage.fire)
        await wait_all_tasks_blocked()
        mock_clock.jump(2.5)  # half a second late
        await wait_all_tasks_blocked()
        mock_clock.jump(0.4)
        await wait_all_tasks_blocked()
        assert stage.fired == []
        mock_clock.jump(0.2)
        await wait_all_tasks_blocked()
        assert stage.fired == [pytest.approx(3.1)]
        nursery.cancel_scope.cancel()


async def test_one_that_was_held_up_does_not_fire_for_a_deadline_that_is_moved_then(mock_clock: MockClock) -> None:
    stage = Stage(2.0, grace_s=1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.timer.run, stage.fire)
        await wait_all_tasks_blocked()
        mock_clock.jump(2.5)
        await wait_all_tasks_blocked()
        stage.timer.arm(9.0)
        mock_clock.jump(5)
        await wait_all_tasks_blocked()
        assert stage.fired == []
        nursery.cancel_scope.cancel()


async def test_waits_no_longer_than_its_grace(mock_clock: MockClock) -> None:
    stage = Stage(2.0, grace_s=1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.timer.run, stage.fire)
        await wait_all_tasks_blocked()
        mock_clock.jump(60)
        await wait_all_tasks_blocked()
        mock_clock.jump(1.0)
        await wait_all_tasks_blocked()
        assert stage.fired == [pytest.approx(61.0)]
        nursery.cancel_scope.cancel()
