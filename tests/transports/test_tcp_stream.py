"""The stream that peers' connections are: Trio's contract, and sending without waiting."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import check_two_way_stream, wait_all_tasks_blocked

from raft_actors.transports.tcp_stream import PeerStream


def _stream(end: socket.socket) -> PeerStream:
    return PeerStream(trio.SocketStream(trio.socket.from_stdlib_socket(end)))


async def make_pair() -> tuple[PeerStream, PeerStream]:
    """Both ends of one connection."""
    one, other = socket.socketpair()
    return _stream(one), _stream(other)


def fill(stream: PeerStream) -> int:
    """Send until the kernel takes no more; return how much it took."""
    total = 0
    while sent := stream.send_now(b"x" * 50_000):
        total += sent
    return total


async def receive(stream: PeerStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive_some()
    return data


async def test_keeps_trios_contract() -> None:
    async def clogged() -> tuple[PeerStream, PeerStream]:
        ours, theirs = await make_pair()
        fill(ours)
        fill(theirs)
        return ours, theirs

    await check_two_way_stream(make_pair, clogged)


@asynccontextmanager
async def open_pair() -> AsyncGenerator[tuple[PeerStream, PeerStream]]:
    ours, theirs = await make_pair()
    async with ours, theirs:
        yield ours, theirs


async def test_sends_at_once_what_the_kernel_takes() -> None:
    async with open_pair() as (ours, theirs):
        assert ours.send_now(b"hello") == 5
        assert await theirs.receive_some() == b"hello"


async def test_sends_no_more_than_that() -> None:
    async with open_pair() as (ours, theirs):
        count = fill(ours)
        assert ours.send_now(b"more") == 0
        assert await receive(theirs, count) == b"x" * count
        assert ours.send_now(b"more") == 4


@pytest.mark.parametrize("closer", ["us", "them"])
async def test_sends_nothing_on_a_connection_that_is_over(closer: str) -> None:
    async with open_pair() as (ours, theirs):
        await (ours if closer == "us" else theirs).aclose()
        assert ours.send_now(b"hello") == 0
        with pytest.raises(trio.ClosedResourceError if closer == "us" else trio.BrokenResourceError):
            await ours.send_all(b"hello")


async def test_waits_for_room_and_sends_the_rest() -> None:
    async with open_pair() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(ours.send_all, b"y" * 3_000_000)
        await wait_all_tasks_blocked()
        assert await receive(theirs, 3_000_000) == b"y" * 3_000_000
