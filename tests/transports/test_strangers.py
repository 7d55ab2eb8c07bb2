"""Callers who have not said who they are: how many there may be, and who has to go."""

from __future__ import annotations

from contextlib import ExitStack

import trio
from trio.testing import MockClock

from raft_actors.transports.tcp.strangers import Strangers


def callers(stack: ExitStack, strangers: Strangers, *addresses: str) -> list[trio.CancelScope]:
    scopes = [trio.CancelScope() for _ in addresses]
    for scope, address in zip(scopes, addresses, strict=True):
        stack.enter_context(strangers.bounded(scope, address))
    return scopes


def ended(scopes: list[trio.CancelScope]) -> list[int]:
    return [number for number, scope in enumerate(scopes) if scope.cancel_called]


async def test_the_oldest_goes_when_there_are_too_many() -> None:
    with ExitStack() as stack:
        strangers = Strangers(3, 3, 2.0)
        scopes = callers(stack, strangers, "a", "b", "c", "d", "e")
        assert ended(scopes) == [0, 1]
        assert strangers.ended == {"DISPLACED": 2}


async def test_a_flood_from_one_address_displaces_only_itself() -> None:
    with ExitStack() as stack:
        strangers = Strangers(10, 2, 2.0)
        scopes = callers(stack, strangers, "honest", *["flood"] * 100, "other")
        assert ended(scopes) == list(range(1, 99))
        assert strangers.ended == {"DISPLACED": 98}


async def test_a_flood_from_one_network_of_ipv6_displaces_only_itself() -> None:
    with ExitStack() as stack:
        strangers = Strangers(10, 2, 2.0)
        flood = [f"2001:db8::{number:x}" for number in range(1, 10)]
        scopes = callers(stack, strangers, "2001:db8:0:1::1", *flood, "192.0.2.1")
        assert ended(scopes) == list(range(1, 8))


async def test_who_has_said_who_it_is_counts_no_more() -> None:
    strangers = Strangers(2, 2, 2.0)
    for _ in range(100):
        with ExitStack() as stack:
            (scope,) = callers(stack, strangers, "a")
        assert scope.deadline == float("inf")
        assert not scope.cancel_called
    assert not strangers.ended
    assert not strangers._callers
    assert not strangers._from


async def test_who_is_too_slow_goes_and_is_counted(autojump_clock: MockClock) -> None:
    strangers = Strangers(2, 2, 2.0)
    with trio.CancelScope() as connection, strangers.bounded(connection, "a"):
        await trio.sleep_forever()
    assert connection.cancelled_caught
    assert trio.current_time() == 2.0
    assert strangers.ended == {"TOO_SLOW": 1}
