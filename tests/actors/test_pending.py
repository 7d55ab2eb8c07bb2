"""Pending: a result that one task waits for and another brings."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.actors.pending import Pending
from raft_actors.errors import InternalError


async def test_wait_gives_the_value_that_comes_later() -> None:
    pending: Pending[int] = Pending()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _() -> None:
            assert await pending.wait() == 3

        await wait_all_tasks_blocked()
        assert not pending.done
        pending.resolve(3)
        assert pending.done


async def test_wait_raises_the_error_that_comes_later() -> None:
    pending: Pending[int] = Pending()
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="no luck")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pending.wait)
            await wait_all_tasks_blocked()
            pending.fail(ValueError("no luck"))


async def test_wait_on_what_is_filled_already_is_a_checkpoint() -> None:
    pending: Pending[int] = Pending()
    pending.resolve(3)
    with trio.testing.assert_checkpoints():
        assert await pending.wait() == 3


async def test_the_first_outcome_stands() -> None:
    pending: Pending[int] = Pending()
    pending.resolve(3)
    pending.resolve(4)
    pending.fail(ValueError())
    assert await pending.wait() == 3


async def test_it_can_be_waited_for_again() -> None:
    value: Pending[int] = Pending()
    value.resolve(3)
    error: Pending[int] = Pending()
    error.fail(ValueError("no luck"))
    for _ in range(2):
        assert await value.wait() == 3
        with pytest.raises(ValueError, match="no luck"):
            await error.wait()


async def test_a_waiter_that_is_cancelled_leaves_room_for_another() -> None:
    pending: Pending[int] = Pending()
    with trio.CancelScope() as scope:
        scope.cancel()
        await pending.wait()
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _() -> None:
            assert await pending.wait() == 3

        await wait_all_tasks_blocked()
        pending.resolve(3)


async def test_filling_it_after_its_waiter_was_cancelled_is_harmless() -> None:
    pending: Pending[int] = Pending()
    with trio.CancelScope() as scope:
        scope.cancel()
        await pending.wait()
    pending.resolve(3)
    assert await pending.wait() == 3


async def test_two_waiters_at_once_are_our_bug() -> None:
    pending: Pending[int] = Pending()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pending.wait)
        await wait_all_tasks_blocked()
        with pytest.raises(InternalError, match="two tasks wait"):
            await pending.wait()
        pending.resolve(3)


async def test_a_waiter_that_is_woken_by_anything_else_is_our_bug() -> None:
    pending: Pending[int] = Pending()
    with pytest.RaisesGroup(pytest.RaisesExc(InternalError, match="before its result came")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pending.wait)
            await wait_all_tasks_blocked()
            assert pending._task is not None
            trio.lowlevel.reschedule(pending._task)


async def test_the_outcome_can_be_had_without_waiting_once_it_is_there() -> None:
    pending: Pending[int] = Pending()
    with pytest.raises(trio.WouldBlock):
        pending.result_nowait()
    pending.resolve(3)
    assert pending.result_nowait() == 3
    failed: Pending[int] = Pending()
    failed.fail(ValueError("no luck"))
    with pytest.raises(ValueError, match="no luck"):
        failed.result_nowait()


async def test_of_tasks_that_wait_at_once_a_cancelled_one_alone_goes() -> None:
    pendings: list[Pending[int]] = [Pending() for _ in range(3)]
    results: dict[int, int] = {}
    scopes = [trio.CancelScope() for _ in pendings]

    async def wait(number: int) -> None:
        with scopes[number]:
            results[number] = await pendings[number].wait()

    async with trio.open_nursery() as nursery:
        for number in range(len(pendings)):
            nursery.start_soon(wait, number)
        await wait_all_tasks_blocked()
        scopes[1].cancel()
        await wait_all_tasks_blocked()
        for number, pending in enumerate(pendings):
            pending.resolve(number)
    assert results == {0: 0, 2: 2}
    assert [scope.cancelled_caught for scope in scopes] == [False, True, False]
