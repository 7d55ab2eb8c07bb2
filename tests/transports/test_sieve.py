"""The system drops those of a flood, and lets others through."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Generator

import pytest
import trio
from trio.testing import MockClock

from raft_actors.node_log import NodeLog
from raft_actors.transports.sockets import sieve
from raft_actors.transports.sockets.accepting import AddressBudget, SharedBudget, serve_listeners
from raft_actors.transports.sockets.listening import open_listeners
from raft_actors.transports.sockets.sieve import Sieve

_MOST_TURNS = 100_000
_PATIENCE_S = 5.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such filter")


@contextlib.contextmanager
def listening(host: str) -> Generator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        listener.listen(4096)
        listener.setblocking(False)
        yield listener


def ask(listener: socket.socket, source: str) -> socket.socket:
    """Ask for a connection. On the loopback network, it is there at once, or never will be."""
    caller = socket.socket(listener.family)
    caller.setblocking(False)
    caller.bind((source, 0))
    with contextlib.suppress(BlockingIOError):
        caller.connect(listener.getsockname()[:2])
    return caller


def gets_through(listener: socket.socket, source: str) -> bool:
    with ask(listener, source):
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


def test_it_drops_those_listed_or_all_others() -> None:
    networks = ("10.0.0.1", "2001:db8::", "", "127.0.0.2", "127.0.0.3")
    with listening("127.0.0.1") as listener:
        before = sieve.dropped(listener)
        for drops in (True, False):
            assert sieve.attach(listener, Sieve(networks, drops=drops))
            found = [gets_through(listener, f"127.0.0.{last}") for last in (2, 3, 4)]
            assert found == [not drops, not drops, drops]
        assert sieve.dropped(listener) - before == 3
        sieve.detach(listener)
        assert gets_through(listener, "127.0.0.2")


def test_networks_of_ipv6_are_told_from_each_other() -> None:
    with listening("::1") as listener:
        for networks, listed in (
            (("2001:db8::", "::2", "127.0.0.1"), False),
            (("2001:db8::", "fe80::1%lo", "::1"), True),
            (("::",), True),  # whose first half is that of ::1, which is all that counts
        ):
            assert sieve.attach(listener, Sieve(networks, drops=True))
            assert gets_through(listener, "::1") is not listed


def test_the_longest_is_not_too_long() -> None:
    with listening("::1") as listener:
        longest = Sieve(tuple(f"::{number:x}" for number in range(2, 2 + sieve.MOST_NETWORKS)), drops=False)
        for _ in range(2):  # for a moment, the new one and the old one are there
            assert sieve.attach(listener, longest)
        assert not gets_through(listener, "::1")


def test_what_asks_for_no_connection_goes_through() -> None:
    """A connection that is accepted has the sieve that its listener had when it came, whoever that drops."""
    with listening("127.0.0.1") as listener, ask(listener, "127.0.0.2") as caller, listener.accept()[0] as accepted:
        assert sieve.attach(accepted, Sieve((), drops=False))
        caller.settimeout(_PATIENCE_S)
        accepted.settimeout(_PATIENCE_S)
        caller.sendall(b"a" * 100_000)
        caller.shutdown(socket.SHUT_WR)
        heard = 0
        while data := accepted.recv(1 << 20):
            heard += len(data)
        assert heard == 100_000


async def turn_until(condition: Callable[[], bool]) -> None:
    """Give others their turns: this clock stands still, so no sleep ends, and no time is over."""
    for _ in range(_MOST_TURNS):
        if condition():
            return
        await trio.lowlevel.checkpoint()
    raise AssertionError("it never comes true")


async def test_a_flood_is_dropped_for_a_while_and_who_is_known_is_not(mock_clock: MockClock) -> None:
    served, stranger, friend = list[str](), "127.0.0.2", "127.0.0.3"

    async def serve(stream: trio.SocketStream) -> None:
        served.append(stream.socket.getpeername()[0])
        await stream.aclose()

    budget = SharedBudget(
        each=AddressBudget(100, 4.0),
        together=AddressBudget(5, 5.0),
        is_known=lambda host: host == friend,
        known=lambda: (friend,),
    )
    listeners = await open_listeners("127.0.0.1", 0)
    with contextlib.ExitStack() as callers:
        listener = socket.socket(fileno=listeners[0].socket.fileno())
        callers.callback(listener.detach)  # it is the acceptor's

        def call(source: str, times: int) -> None:
            for _ in range(times):
                callers.enter_context(ask(listener, source))

        async with trio.open_nursery() as nursery:
            call(stranger, 300)
            log = NodeLog(logging.getLogger(__name__), "a")
            nursery.start_soon(serve_listeners, serve, listeners, budget, nursery, log)
            await turn_until(lambda: budget.refused.total() == 295)
            call(stranger, 7)
            call(friend, 3)
            await turn_until(lambda: served.count(friend) == 3)
            assert budget.refused.total() == 295
            mock_clock.jump(0.25)
            await turn_until(lambda: budget.refused["DROPPED"] > 0)
            assert budget.refused["DROPPED"] >= 7
            call(stranger, 1)  # a quarter of a second has brought the strangers' next one
            await turn_until(lambda: served.count(stranger) == 6)
            nursery.cancel_scope.cancel()
