"""Listening on all addresses that a name stands for."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
import trio

from raft_actors.transports.sockets.listening import open_listeners

NOT_HERE = "192.0.2.1"  # an address for documentation, which no machine has


def names(*hosts: str) -> Any:
    async def getaddrinfo(_host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        await trio.lowlevel.checkpoint()
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port)) for host in hosts]

    return getaddrinfo


async def test_one_address_that_is_not_of_this_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio.socket, "getaddrinfo", names(NOT_HERE, "127.0.0.1"))
    (listener,) = await open_listeners("localhost", 0)
    async with listener:
        assert listener.socket.getsockname()[0] == "127.0.0.1"


async def test_none_that_is_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio.socket, "getaddrinfo", names(NOT_HERE))
    with pytest.raises(OSError) as caught:
        await open_listeners("elsewhere", 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_one_that_is_taken_leaves_none_open(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(trio.socket, "getaddrinfo", names("127.0.0.1", "127.0.0.2"))
        with pytest.raises(OSError) as caught:
            await open_listeners("both", port)
        assert caught.value.errno == errno.EADDRINUSE
        with socket.create_server(("127.0.0.1", port)):
            pass
