"""The actor alone: no node, no disk, no network. What it needs of the world is handed in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from examples.own_actor.batcher import Batcher
from raft_actors import CommandFailed, LeadershipLost


@asynccontextmanager
async def running(
    propose_many: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]],
) -> AsyncGenerator[tuple[Batcher, trio.Nursery, list[Any]], None]:
    """An actor, a nursery for those who ask, and what they were answered."""
    answers: list[Any] = []
    batcher = Batcher(propose_many)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        yield batcher, nursery, answers
        nursery.cancel_scope.cancel()


async def ask(batcher: Batcher, command: Any, answers: list[Any]) -> None:
    """Note the result or the error."""
    try:
        answers.append((command, await batcher.do(command)))
    except Exception as error:  # noqa: BLE001 - what it is, is what is tested
        answers.append((command, error))


async def test_what_comes_while_a_turn_waits_goes_together_in_the_next() -> None:
    commit = trio.Event()

    async def slow(commands: Sequence[Any]) -> Sequence[Any]:
        await commit.wait()
        return [command * 10 for command in commands]

    async with running(slow) as (batcher, nursery, answers):
        nursery.start_soon(ask, batcher, 1, answers)
        await wait_all_tasks_blocked()
        for command in (2, 3, 4):
            nursery.start_soon(ask, batcher, command, answers)
        await wait_all_tasks_blocked()
        assert answers == []
        commit.set()
        await wait_all_tasks_blocked()
        assert sorted(answers) == [(1, 10), (2, 20), (3, 30), (4, 40)]
        assert batcher.sizes == [1, 3]


async def test_a_lost_leadership_is_everybodys_answer_and_the_actor_goes_on() -> None:
    lost = LeadershipLost(term=2, index=7)

    async def once_lost(commands: Sequence[Any]) -> Sequence[Any]:
        await trio.lowlevel.checkpoint()
        if "first" in commands:
            raise lost
        return commands

    async with running(once_lost) as (batcher, _, answers):
        await ask(batcher, "first", answers)
        await ask(batcher, "second", answers)
    assert answers == [("first", lost), ("second", "second")]


async def test_a_command_that_failed_fails_alone() -> None:
    failure = CommandFailed(5)

    async def one_fails(commands: Sequence[Any]) -> Sequence[Any]:
        await trio.lowlevel.checkpoint()
        return [failure if command == "bad" else command for command in commands]

    async with running(one_fails) as (batcher, nursery, answers):
        for command in ("good", "bad"):
            nursery.start_soon(ask, batcher, command, answers)
        await wait_all_tasks_blocked()
    assert dict(answers) == {"good": "good", "bad": failure}


async def test_a_fault_of_the_program_crashes_it_with_that_fault() -> None:
    async def broken(_commands: Sequence[Any]) -> Sequence[Any]:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError):
        async with running(broken) as (batcher, _, answers):
            await ask(batcher, 1, answers)
