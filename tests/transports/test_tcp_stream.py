"""The stream that connections of peers and clients are: Trio's contract, and sending without waiting."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import assert_no_checkpoints, check_two_way_stream, memory_stream_pair, wait_all_tasks_blocked

from raft_actors.transports.sockets import stream as tcp_stream
from raft_actors.transports.sockets.direct import receive_into, unsent
from raft_actors.transports.sockets.stream import TcpStream


def _stream(end: socket.socket) -> TcpStream:
    return TcpStream(trio.SocketStream(trio.socket.from_stdlib_socket(end)))


async def make_pair() -> tuple[TcpStream, TcpStream]:
    """Both ends of one connection."""
    one, other = socket.socketpair()
    return _stream(one), _stream(other)


def fill(stream: TcpStream) -> int:
    """Send until the kernel takes no more; return how much it took."""
    total = 0
    while sent := stream.send_now(b"x" * 50_000):
        total += sent
    return total


async def receive(stream: TcpStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive_some()
    return data


async def test_keeps_trios_contract() -> None:
    async def clogged() -> tuple[TcpStream, TcpStream]:
        ours, theirs = await make_pair()
        fill(ours)
        fill(theirs)
        return ours, theirs

    await check_two_way_stream(make_pair, clogged)


@asynccontextmanager
async def open_pair() -> AsyncGenerator[tuple[TcpStream, TcpStream]]:
    ours, theirs = await make_pair()
    with trio.fail_after(60):  # what should arrive, or end, may fail to
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


@pytest.mark.parametrize("how", ["send", "send_all"])
async def test_waits_for_room_and_sends_the_rest(how: str) -> None:
    async with open_pair() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(getattr(ours, how), b"y" * 3_000_000)
        await wait_all_tasks_blocked()
        assert await receive(theirs, 3_000_000) == b"y" * 3_000_000


PARTS = [bytes([number % 256]) * (number % 7) for number in range(3000)]  # more than a system call takes


@pytest.mark.parametrize("sends_parts", [True, False])
async def test_sends_parts_at_once(monkeypatch: pytest.MonkeyPatch, sends_parts: bool) -> None:
    monkeypatch.setattr(tcp_stream, "_SENDS_PARTS", sends_parts and tcp_stream._SENDS_PARTS)
    async with open_pair() as (ours, theirs):
        sent = ours.send_parts_now(PARTS)
        assert 0 < sent <= len(b"".join(PARTS))
        assert await receive(theirs, sent) == b"".join(PARTS)[:sent]
        assert b"".join(unsent(PARTS, sent)) == b"".join(PARTS)[sent:]
        fill(ours)
        assert ours.send_parts_now(PARTS) == 0


@pytest.mark.parametrize("sends_parts", [True, False])
async def test_sends_all_parts(monkeypatch: pytest.MonkeyPatch, sends_parts: bool) -> None:
    monkeypatch.setattr(tcp_stream, "_SENDS_PARTS", sends_parts and tcp_stream._SENDS_PARTS)
    parts = [*PARTS, b"y" * 3_000_000, *PARTS]
    async with open_pair() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(ours.send_all_parts, parts)
        await wait_all_tasks_blocked()
        assert await receive(theirs, len(b"".join(parts))) == b"".join(parts)


async def test_receives_into_a_buffer() -> None:
    async with open_pair() as (ours, theirs):
        await ours.send(b"hello")
        buffer = bytearray(b"........")
        assert await theirs.receive_into(memoryview(buffer)[2:6]) == 4
        assert buffer == b"..hell.."
        assert await receive_into(theirs, memoryview(buffer)) == 1
        assert buffer == b"o.hell.."
        ours.end_sending()
        assert await theirs.receive_into(memoryview(buffer)) == 0
        await theirs.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await theirs.receive_into(memoryview(buffer))


async def test_receives_into_a_buffer_from_any_stream() -> None:
    ours, theirs = memory_stream_pair()
    await ours.send_all(b"hello")
    buffer = bytearray(b"...")
    assert await receive_into(theirs, memoryview(buffer)) == 3
    assert buffer == b"hel"


async def test_does_not_yield_where_the_kernel_takes_all() -> None:
    async with open_pair() as (ours, theirs):
        with assert_no_checkpoints():
            await ours.send(b"hello")
        assert await theirs.receive_some() == b"hello"


async def test_tells_who_sends_that_the_connection_is_over() -> None:
    async with open_pair() as (ours, theirs):
        await theirs.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await ours.send(b"hello")


async def test_ends_sending_and_goes_on_to_receive() -> None:
    async with open_pair() as (ours, theirs):
        await ours.send(b"last words")
        ours.end_sending()
        assert await receive(theirs, 10) == b"last words"
        assert await theirs.receive_some() == b""
        await theirs.send(b"answer")
        assert await ours.receive_some() == b"answer"


async def test_ends_receiving_after_what_has_arrived() -> None:
    async with open_pair() as (ours, theirs):
        await theirs.send(b"before")
        ours.end_receiving()
        assert await ours.receive_some() == b"before"
        assert await ours.receive_some() == b""
        await ours.send(b"answer")
        assert await theirs.receive_some() == b"answer"


async def test_ends_a_wait_for_data() -> None:
    async with open_pair() as (ours, _), trio.open_nursery() as nursery:

        async def read() -> None:
            assert await ours.receive_some() == b""

        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        ours.end_receiving()


async def test_can_end_what_is_over() -> None:
    async with open_pair() as (ours, theirs):
        for _ in range(2):
            ours.end_sending()
            ours.end_receiving()
        await theirs.aclose()
        await ours.aclose()
        ours.end_sending()
        ours.end_receiving()
