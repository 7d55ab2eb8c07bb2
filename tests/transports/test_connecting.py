"""Connecting by name: which address is taken, and what a name server costs that does not answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from raft_actors.transports.sockets import connecting
from raft_actors.transports.sockets.addresses import Address

NO_NAME_SERVER = "peer.example"


class Names:
    """Stands for the system's resolver.

    Attributes:
        known: name → its addresses.
        asked: the names that were looked up.
    """

    def __init__(self, **known: tuple[str, ...]) -> None:
        self.known = known
        self.asked: list[str] = []
        self.answers = threading.Event()
        self._system = socket.getaddrinfo

    def getaddrinfo(self, host: str, port: int, *more: Any, **options: Any) -> list[tuple[Any, ...]]:
        """What it finds; where nobody answers, once there is somebody."""
        if host[:1].isdigit():
            return self._system(host, port, *more, **options)
        self.asked.append(host)
        if host == NO_NAME_SERVER:
            self.answers.wait(30)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (one, port)) for one in self.known[host]]


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, **known: tuple[str, ...]) -> Generator[Names]:
    """Have names be looked up there."""
    names = Names(**known)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", names.getaddrinfo)
        try:
            yield names
        finally:
            names.answers.set()


async def reached(host: str, port: int, within_s: float = 5.0) -> str:
    """The address at which a host was reached."""
    async with await connecting.connect(Address(host, port), within_s) as stream:
        return str(stream.socket.getpeername()[0])


async def test_the_first_address_that_answers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        with resolving(monkeypatch, both=("127.0.0.3", "127.0.0.2", "127.0.0.2")) as names:
            assert await reached("both", port) == "127.0.0.2"
        assert names.asked == ["both"]


async def test_an_address_that_is_silent_takes_its_share_of_the_time_and_no_more(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    tried: list[tuple[str, float]] = []

    async def open_tcp_stream(host: str, _port: int) -> str:
        tried.append((host, trio.current_time()))
        if host == "10.0.0.3":
            return "a stream"
        await trio.sleep(1_000)
        raise AssertionError(host)

    monkeypatch.setattr(trio, "open_tcp_stream", open_tcp_stream)
    with resolving(monkeypatch, three=("10.0.0.1", "10.0.0.2", "10.0.0.3")):
        begun = trio.current_time()
        assert str(await connecting.connect(Address("three", 7), 6.0)) == "a stream"
    assert tried == [("10.0.0.1", begun), ("10.0.0.2", begun + 2), ("10.0.0.3", begun + 4)]


async def test_numbers_are_not_looked_up_and_unknown_names_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, resolving(monkeypatch) as names:
        assert await reached("127.0.0.1", server.getsockname()[1]) == "127.0.0.1"
        assert names.asked == []
        with pytest.raises(socket.gaierror, match="no such name"):
            await reached("nobody", 7)
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            await reached("127.0.0.1", 1)


async def test_a_name_server_that_does_not_answer_keeps_two_threads_of_its_name_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with resolving(monkeypatch, other=("127.0.0.1",), **{NO_NAME_SERVER: ("127.0.0.1",)}) as names:
            default = trio.to_thread.current_default_thread_limiter()
            for _ in range(10):
                with trio.move_on_after(0.05):
                    await reached(NO_NAME_SERVER, port)
            assert names.asked == [NO_NAME_SERVER] * 2
            assert default.borrowed_tokens == 0
            assert await reached("other", port) == "127.0.0.1"
            names.answers.set()
            assert await reached(NO_NAME_SERVER, port) == "127.0.0.1"  # it has waited for one that was given up
