"""Connections are accepted, of each address only so many, and a flood costs little of each."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from raft_actors.node_log import NodeLog
from raft_actors.transports.sockets import accepting, sieve
from raft_actors.transports.sockets.accepting import AddressBudget, Budget, SharedBudget, network_of, serve_listeners
from raft_actors.transports.sockets.listening import open_listeners
from raft_actors.transports.sockets.sieve import Sieve


async def test_an_address_may_open_so_many_at_once_and_then_so_many_a_second(mock_clock: MockClock) -> None:
    budget = AddressBudget(3, 2.0)
    assert [budget.admits("a") for _ in range(5)] == [True, True, True, False, False]
    assert budget.admits("b")
    mock_clock.jump(0.5)
    assert [budget.admits("a") for _ in range(2)] == [True, False]
    mock_clock.jump(1000)
    assert [budget.admits("a") for _ in range(5)] == [True, True, True, False, False]
    assert budget.refused == 5


async def test_strangers_have_a_budget_together(mock_clock: MockClock) -> None:
    budget = SharedBudget(each=AddressBudget(2, 1.0), together=AddressBudget(3, 2.0), is_known=lambda host: host == "k")
    assert [budget.admits(host) for host in "kaabcdd"] == [True, True, True, True, False, False, False]
    assert [budget.admits("k") for _ in range(2)] == [True, False]
    mock_clock.jump(0.5)
    assert [budget.admits(host) for host in "ef"] == [True, False]
    assert budget.refused == {"MAX_CONNECTS": 4, "MAX_CONNECTS_PER_ADDRESS": 1}


async def test_those_who_are_dropped_are_who_is_refused_unless_all_strangers_are_too_many(
    mock_clock: MockClock,
) -> None:
    each, together = AddressBudget(2, 1e-9), AddressBudget(3, 1e-9)
    budget = SharedBudget(each=each, together=together, is_known=lambda host: host in "kl", known=lambda: "kl")
    assert [budget.admits(host) for host in "kkkaaa"] == [True, True, False, True, True, False]
    assert budget.sieve(["k", "a"]) == Sieve(("k", "a"), drops=True)
    assert [budget.admits(host) for host in "bc"] == [True, False]
    assert budget.sieve(["k", "a", "c"]) == Sieve(("l",), drops=False), "k has opened all that one address may"
    mock_clock.jump(2)
    assert budget.sieve(["k"]) == Sieve(("k",), drops=True), "strangers have been no trouble for a while"


async def test_the_more_are_dropped_the_fewer_are_heard(mock_clock: MockClock) -> None:
    budget = SharedBudget(each=AddressBudget(2, 1e-9), together=AddressBudget(3, 100.0), is_known=lambda _: False)
    assert [budget.admits(host) for host in "abcd"] == [True, True, True, False]
    mock_clock.jump(0.02)
    budget.count_dropped(250)
    assert [budget.admits(host) for host in "ef"] == [True, False], "of two, one was used up"
    mock_clock.jump(0.02)
    budget.count_dropped(10_000)
    assert not budget.admits("g")
    mock_clock.jump(0.01)
    assert budget.admits("h"), "it is never less than nothing"
    mock_clock.jump(2)
    budget.count_dropped(10_000)
    assert budget.admits("i"), "those were dropped for what their own address had done"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("2001:db8::1", "2001:db8:0:0:9::2", True), ("2001:db8::1", "2001:db8:0:1::1", False), ("::1", "::2", False)],
)
def test_addresses_of_one_network_are_one(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


async def test_what_is_remembered_is_bounded(mock_clock: MockClock) -> None:
    budget = AddressBudget(3, 2.0)
    for number in range(5_000):
        assert budget.admits(str(number))
    assert len(budget._left) == 4096


async def answer(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.send_all(b"hello")


@asynccontextmanager
async def listening(budget: Budget) -> AsyncGenerator[int]:
    listeners = await open_listeners("127.0.0.1", 0)
    log = NodeLog(logging.getLogger(__name__), "a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_listeners, answer, listeners, budget, nursery, log)  # noqa: ASYNC113 - callers wait until they are accepted
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()
    assert listeners[0].socket.fileno() == -1


async def hear(port: int) -> bytes:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        try:
            return b"".join([data async for data in stream])
        except trio.BrokenResourceError:
            return b""


async def test_those_within_the_budget_are_served_and_others_closed() -> None:
    budget = AddressBudget(5, 1e-9)
    async with listening(budget) as port:
        assert [await hear(port) for _ in range(8)] == [b"hello"] * 5 + [b""] * 3
    assert budget.refused == 3


async def test_a_flood_is_closed_to_its_last_where_the_system_drops_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieve, "attach", lambda *_: False)
    budget, heard = AddressBudget(1, 1e-9), list[bytes]()
    async with listening(budget) as port, trio.open_nursery() as nursery:

        async def call() -> None:
            heard.append(await hear(port))

        for _ in range(300):
            nursery.start_soon(call)
    assert sorted(heard) == [b""] * 299 + [b"hello"]


async def test_a_process_without_descriptors_waits_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import socket

    accept, left = (
        socket.socket.accept,
        [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ECONNABORTED, "gone")],
    )

    def fail(listener: socket.socket) -> object:
        if left:
            raise left.pop(0)
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", fail)
    async with listening(AddressBudget(5, 1.0)) as port:
        assert await hear(port) == b"hello"
    assert "node a: can't accept a connection now" in caplog.text


async def test_descriptors_that_are_short_for_long_fill_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    accept, left = socket.socket.accept, 250

    def fail(listener: socket.socket) -> object:
        nonlocal left
        if left:
            left -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", fail)
    async with listening(AddressBudget(5, 1.0)) as port:
        assert await hear(port) == b"hello"
    short = "can't accept a connection now: Too many open files"
    again = f"{short} (as 99 times since the line before)"
    assert [message.removeprefix("node a: ") for message in caplog.messages] == [
        *(short, again, again),
        "can accept connections again",
    ]


async def test_descriptors_that_are_short_again_and_again_fill_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    accept, is_short = socket.socket.accept, False

    def fail(listener: socket.socket) -> object:
        nonlocal is_short
        is_short = not is_short
        if is_short:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", fail)
    monkeypatch.setattr(accepting, "_RESOURCES_PAUSE_S", 0.0)
    async with listening(AddressBudget(10, 1.0)) as port:
        assert [await hear(port) for _ in range(10)] == [b"hello"] * 10
    assert len(caplog.messages) == 2
