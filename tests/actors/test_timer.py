"""A deadline that is moved far more often than it passes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from raft_actors.actors.clock import Alarm, NodeClock, TrioAlarm
from raft_actors.actors.timer import DeadlineTimer


class Stage:
    """A running timer, and when it fired."""

    def __init__(self, deadline: float, grace_s: float = 0.0) -> None:
        self.fired: list[float] = []
        self.timer = DeadlineTimer(deadline, grace_s=grace_s)

    async def fire(self) -> None:
        self.fired.append(trio.current_time())

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[trio.Nursery]:
        """The timer runs while the block does; yields its nursery."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.timer.run, self.fire)
            await wait_all_tasks_blocked()
            yield nursery
            nursery.cancel_scope.cancel()


async def pass_time(clock: MockClock, seconds: float) -> None:
    clock.jump(seconds)
    await wait_all_tasks_blocked()


async def test_fires_once_when_the_deadline_has_passed(autojump_clock: MockClock) -> None:
    stage = Stage(2.0)
    with trio.move_on_after(10):
        await stage.timer.run(stage.fire)
    assert stage.fired == [2.0]


async def test_fires_again_for_each_new_deadline(autojump_clock: MockClock) -> None:
    stage = Stage(2.0)
    async with stage.running():
        for deadline in (5.0, 6.0, 9.0):
            await trio.sleep_until(deadline - 0.5)
            stage.timer.arm(deadline)
        await trio.sleep(1)
    assert stage.fired == [2.0, 5.0, 6.0, 9.0]


async def test_does_not_fire_for_a_deadline_that_was_moved_away(autojump_clock: MockClock) -> None:
    stage = Stage(2.0)
    async with stage.running():
        for second in range(1, 8):
            await trio.sleep_until(second)
            stage.timer.arm(second + 2.0)
        await trio.sleep_until(8.5)
        assert stage.fired == []
        await trio.sleep_until(20)
    assert stage.fired == [9.0]


async def test_arming_it_anew_for_the_same_deadline_does_not_fire_again(autojump_clock: MockClock) -> None:
    stage = Stage(2.0)
    async with stage.running():
        await trio.sleep_until(3)
        stage.timer.arm(2.0)
        await trio.sleep_until(9)
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
    async with stage.running() as nursery:
        [task] = nursery.child_tasks
        before = task.custom_sleep_data
        for _ in range(100):
            stage.timer.arm(5.0)
        await wait_all_tasks_blocked()
        assert task.custom_sleep_data is before
    assert stage.fired == []


class RungByHand(Alarm):
    """An alarm that rings when a test says so."""

    def __init__(self) -> None:
        self.rung = trio.Event()
        self.moved_to: list[float] = []

    @override
    async def wait(self, deadline: float) -> None:
        await self.rung.wait()
        self.rung = trio.Event()

    @override
    def move(self, deadline: float) -> None:
        self.moved_to.append(deadline)


async def test_a_deadline_moved_at_the_moment_when_the_alarm_rings_is_kept(mock_clock: MockClock) -> None:
    alarm = RungByHand()
    stage = Stage(2.0)
    stage.timer = DeadlineTimer(2.0, NodeClock(alarm=lambda: alarm))
    async with stage.running():
        mock_clock.jump(2.0)
        alarm.rung.set()
        stage.timer.arm(9.0)
        await wait_all_tasks_blocked()
        mock_clock.jump(7.0)
        alarm.rung.set()
        await wait_all_tasks_blocked()
    assert stage.fired == [9.0]


async def test_a_deadline_that_jumps_up_and_down_moves_the_alarm_down_alone(mock_clock: MockClock) -> None:
    alarm = RungByHand()
    stage = Stage(2.0)
    stage.timer = DeadlineTimer(2.0, NodeClock(alarm=lambda: alarm), spread_s=0.4)
    async with stage.running():
        for deadline in (2.0, 2.4, 1.9, 2.3, 2.0, 1.9, 2.1):
            stage.timer.arm(deadline)
        assert alarm.moved_to == [1.9]
        stage.timer.arm(2.5)
        assert alarm.moved_to == [1.9, 2.5]


async def test_an_alarm_that_was_moved_does_not_ring_in_vain(autojump_clock: MockClock) -> None:
    alarm = TrioAlarm()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alarm.wait, 2.0)
        for second in (0.5, 1.5, 2.5):
            await trio.sleep_until(second)
            alarm.move(second + 1.5)
    assert trio.current_time() == 4.0


async def test_an_alarm_lets_a_cancelled_task_go(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1):
        await TrioAlarm().wait(2.0)
    assert trio.current_time() == 1.0
    with trio.move_on_after(2):
        await TrioAlarm().wait(0.5)
        await trio.sleep(1.0)
    assert trio.current_time() == 2.0


async def test_one_that_was_held_up_waits_as_long_again_for_what_was_held_up_with_it(mock_clock: MockClock) -> None:
    stage = Stage(2.0, grace_s=1.0)
    async with stage.running():
        await pass_time(mock_clock, 2.5)  # half a second late
        await pass_time(mock_clock, 0.4)
        assert stage.fired == []
        await pass_time(mock_clock, 0.2)
        assert stage.fired == [pytest.approx(3.1)]


async def test_one_that_was_held_up_does_not_fire_for_a_deadline_that_is_moved_then(mock_clock: MockClock) -> None:
    stage = Stage(2.0, grace_s=1.0)
    async with stage.running():
        await pass_time(mock_clock, 2.5)
        stage.timer.arm(9.0)
        await pass_time(mock_clock, 5)
        assert stage.fired == []


async def test_waits_no_longer_than_its_grace(mock_clock: MockClock) -> None:
    stage = Stage(2.0, grace_s=1.0)
    async with stage.running():
        await pass_time(mock_clock, 60)
        await pass_time(mock_clock, 1.0)
        assert stage.fired == [pytest.approx(61.0)]
