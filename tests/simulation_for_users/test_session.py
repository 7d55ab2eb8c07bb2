"""Synchronous code drives a Trio program: one call at a time, and time stands still in between."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

from raft_actors.errors import ConfigurationError
from raft_actors.testing.session import Session


class Place:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.told: list[str] = []


@asynccontextmanager
async def place(told: list[str]) -> AsyncGenerator[Place]:
    try:
        async with trio.open_nursery() as nursery:
            value = Place(nursery)
            value.told = told
            yield value
            told.append("left")
            nursery.cancel_scope.cancel()
    finally:
        told.append("closed")


async def now(_place: Place) -> float:
    return trio.current_time()


async def sleep(_place: Place) -> None:
    await trio.sleep(2.5)


async def fail(_place: object) -> None:
    await trio.sleep(1)
    raise ValueError("wrong")


async def hold_up(told: Place) -> None:
    try:
        await trio.sleep(1)
    finally:
        told.told.append("stopped")


def test_calls_return_what_their_jobs_return_and_only_they_take_time() -> None:
    told: list[str] = []
    session = Session(place(told))
    begin = session.call(now)
    session.call(sleep)
    assert session.call(now) == begin + 2.5
    assert session.call(now) == begin + 2.5
    assert told == []
    session.close()
    assert told == ["left", "closed"]
    assert session.over
    with pytest.raises(ConfigurationError, match="over"):
        session.call(now)
    session.close()
    session.abandon()


def test_background_tasks_go_on_while_calls_wait() -> None:
    session = Session(place([]))
    woken: list[float] = []

    async def background() -> None:
        while True:
            await trio.sleep(1)
            woken.append(trio.current_time())

    session.value.nursery.start_soon(background)
    assert woken == []
    session.call(sleep)
    assert len(woken) == 2
    session.close()


def test_an_error_of_a_job_ends_the_session_and_comes_out_as_itself() -> None:
    told: list[str] = []
    session = Session(place(told))
    with pytest.raises(ValueError, match="wrong"):
        session.call(fail)
    assert session.over
    assert told == ["closed"]


def test_an_error_of_the_background_comes_out_of_whoever_waits() -> None:
    session = Session(place([]))
    session.value.nursery.start_soon(fail, session.value)
    with pytest.raises(ValueError, match="wrong"):
        session.call(sleep)


def test_what_is_abandoned_is_cancelled_and_silent() -> None:
    told: list[str] = []
    session = Session(place(told))
    session.value.nursery.start_soon(hold_up, session.value)
    session.abandon()
    assert sorted(told) == ["closed", "stopped"]
    assert session.over


def test_an_error_on_opening_is_raised() -> None:
    @asynccontextmanager
    async def closed() -> AsyncGenerator[None]:
        await fail(None)
        yield

    with pytest.raises(ValueError, match="wrong"):
        Session(closed())


def test_another_run_can_follow() -> None:
    for _ in range(2):
        session = Session(place([]))
        session.close()
    trio.run(trio.lowlevel.checkpoint)
