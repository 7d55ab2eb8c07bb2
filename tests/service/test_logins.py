"""Logging in: who guesses waits, in simulated time; who is known does not."""

from __future__ import annotations

import contextlib

import pytest
import trio
import trio.lowlevel
import trio.testing
from trio.testing import MockClock

from raft_actors.service.logins import Logins
from raft_actors.service.users import DEFAULT_USER, PasswordHash, Rights, User

USERS = {
    user.name: user
    for user in (
        User("alice", Rights.READ, PasswordHash.of(b"secret", cost=4)),
        User("guest", Rights.READ),
        User("off", Rights.ALL, enabled=False),
        User("retired", Rights.ALL, PasswordHash.of(b"secret", cost=4), enabled=False),
    )
}


async def elapsed(logins: Logins, clock: MockClock, name: str, password: bytes, address: str = "h") -> float | None:
    """How long a wrong log-in took; None where it was right."""
    found: list[User | None] = []
    began = trio.current_time()

    async def log_in() -> None:
        found.append(await logins.log_in(address, name, password))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(log_in)
        while not found:
            await trio.lowlevel.checkpoint()
            # Threads are no part of simulated time: time moves only when the log-in sleeps.
            deadline = trio.lowlevel.current_statistics().seconds_to_next_deadline
            if 0 < deadline < 1e6:
                clock.jump(deadline)
    return None if found[0] is not None else trio.current_time() - began


async def test_right_and_wrong(mock_clock: MockClock) -> None:
    logins = Logins(USERS)
    assert await elapsed(logins, mock_clock, "alice", b"secret") is None
    assert await elapsed(logins, mock_clock, "guest", b"whatever") is None
    for name, password in (
        ("alice", b"Secret"),
        ("off", b""),
        ("retired", b"secret"),
        ("nobody", b"x"),
        (DEFAULT_USER, b""),
    ):
        assert await elapsed(logins, mock_clock, name, password) is not None
    assert logins.failed == 5


async def test_each_wrong_guess_takes_longer_up_to_a_bound(mock_clock: MockClock) -> None:
    logins = Logins(USERS)
    waits = [await elapsed(logins, mock_clock, "alice", b"%d" % guess) for guess in range(7)]
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 8, 8])
    assert await elapsed(logins, mock_clock, "alice", b"x", address="elsewhere") == pytest.approx(0.5)
    assert await elapsed(logins, mock_clock, "alice", b"secret") is None
    assert await elapsed(logins, mock_clock, "alice", b"x") == pytest.approx(0.5)


async def guess(logins: Logins, address: str, password: bytes = b"x") -> None:
    with contextlib.suppress(Exception):  # turned away
        assert await logins.log_in(address, "alice", password) is None


async def test_guesses_of_one_address_wait_for_each_other_and_the_known_for_none(mock_clock: MockClock) -> None:
    logins = Logins(USERS)
    assert await elapsed(logins, mock_clock, "alice", b"secret") is None
    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(guess, logins, "h", b"%d" % number)
        await trio.testing.wait_all_tasks_blocked()
        # Most were turned away unheard, and the right password is still taken at once.
        assert logins.turned_away > 100
        user = await logins.log_in("h", "alice", b"secret")
        assert user is USERS["alice"]
        nursery.cancel_scope.cancel()


async def test_who_guesses_from_one_address_keeps_nobody_at_another_out(inline: None, mock_clock: MockClock) -> None:
    logins = Logins(USERS)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(guess, logins, "h")
        await trio.testing.wait_all_tasks_blocked()
        for number in range(50):
            assert await logins.log_in(f"elsewhere {number}", "alice", b"secret") is USERS["alice"]
            logins._known.clear()
        nursery.cancel_scope.cancel()


async def test_whose_place_is_needed_is_not_told_that_its_password_is_wrong(
    inline: None, mock_clock: MockClock
) -> None:
    logins = Logins(USERS)
    async with trio.open_nursery() as nursery:
        for number in range(64):
            nursery.start_soon(guess, logins, f"address {number // 32}")
        await trio.testing.wait_all_tasks_blocked()
        # The guess that waits to be told stays, whoever comes; those behind it make room, and it takes as long as ever.
        for number in range(31):
            nursery.start_soon(guess, logins, f"other {number}")
        await trio.testing.wait_all_tasks_blocked()
        assert (logins.failed, logins.turned_away) == (33, 31)
        for _ in range(2):
            nursery.start_soon(guess, logins, "address 0")
        await trio.testing.wait_all_tasks_blocked()
        assert logins.turned_away == 33
        mock_clock.jump(0.5)
        await trio.testing.wait_all_tasks_blocked()
        assert logins.failed == 35
        nursery.cancel_scope.cancel()


async def test_nothing_is_left_of_log_ins_that_are_over(inline: None, mock_clock: MockClock) -> None:
    logins = Logins(USERS)
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(guess, logins, f"address {number % 3}")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert (logins._heard, logins._queues) == ({}, {})
    for number in range(64):
        assert await logins.log_in(f"address {number}", "alice", b"secret") is USERS["alice"]


async def test_a_changed_password_is_no_longer_known(mock_clock: MockClock) -> None:
    logins = Logins(USERS)
    assert await elapsed(logins, mock_clock, "alice", b"secret") is None
    logins.users = {"alice": User("alice", Rights.READ, PasswordHash.of(b"new", cost=4))}
    assert await elapsed(logins, mock_clock, "alice", b"secret") is not None
    assert await elapsed(logins, mock_clock, "alice", b"new") is None


async def test_what_is_remembered_of_addresses_is_bounded(mock_clock: MockClock) -> None:
    logins = Logins(USERS)
    for number in range(1_200):
        logins._caller(f"address {number}")
    assert len(logins._callers) == 1024
