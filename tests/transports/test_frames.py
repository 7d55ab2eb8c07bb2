from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.errors import ProtocolError
from raft_actors.transports.wire.frames import FrameParser, frame, pack_length


@given(st.lists(st.binary(max_size=50)), st.data())
def test_payloads_come_out_however_the_stream_is_cut(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    parser = FrameParser(50)
    got: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += parser.feed(stream[start:end])
    assert got == payloads
    assert parser.held_bytes == 0


def test_a_frame_may_come_byte_by_byte() -> None:
    parser = FrameParser(1000)
    stream = frame(b"x" * 1000) + frame(b"") + frame(b"end")
    got = [payload for position in range(len(stream)) for payload in parser.feed(stream[position : position + 1])]
    assert got == [b"x" * 1000, b"", b"end"]


def test_a_bytearray_will_do() -> None:
    payloads = list(FrameParser(10).feed(bytearray(frame(b"abc"))))
    assert payloads == [b"abc"]
    assert type(payloads[0]) is bytes


def test_half_a_frame_is_held() -> None:
    parser = FrameParser(10)
    assert list(parser.feed(frame(b"abc")[:-1])) == []
    assert parser.held_bytes == 6


def test_a_frame_of_the_largest_size_passes() -> None:
    assert list(FrameParser(10).feed(frame(b"0123456789"))) == [b"0123456789"]


def test_a_larger_frame_is_refused_as_soon_as_its_length_is_there() -> None:
    parser = FrameParser(10)
    assert list(parser.feed(pack_length(11)[:3])) == []
    with pytest.raises(ProtocolError, match=r"11 bytes.*10"):
        list(parser.feed(pack_length(11)[3:]))


def test_what_came_before_a_frame_too_large_comes_out() -> None:
    got: list[bytes] = []
    with pytest.raises(ProtocolError):
        got.extend(FrameParser(10).feed(frame(b"abc") + b"\xff" * 100))
    assert got == [b"abc"]


@given(st.lists(st.integers(0, 300_000), max_size=6), st.integers())
def test_payloads_come_out_of_the_buffer_they_were_received_in(sizes: list[int], seed: int) -> None:
    rng = random.Random(seed)
    payloads = [rng.randbytes(size) for size in sizes]
    stream = memoryview(b"".join(map(frame, payloads)))
    parser = FrameParser(300_000)
    got: list[bytes] = []
    while stream:
        room = parser.room()
        count = min(rng.choice([1, 5, 1000, 100_000]), len(room), len(stream))
        room[:count] = stream[:count]
        stream = stream[count:]
        got += map(bytes, parser.received(count))
    assert got == payloads
    assert parser.held_bytes == 0


def room_after(parser: FrameParser, data: bytes) -> int:
    """How much the buffer has room for once that was received."""
    for _ in parser.feed(data):
        pass
    return len(parser.room())


def test_memory_is_taken_for_what_has_come_and_not_for_what_was_promised() -> None:
    parser = FrameParser(10**9)
    assert room_after(parser, pack_length(10**9)) <= 64 * 1024
    assert room_after(parser, bytes(100_000)) <= 256 * 1024
    assert parser.held_bytes == 100_004


def test_memory_of_a_frame_that_was_unusually_large_is_given_back() -> None:
    parser = FrameParser(10**7)
    small = room_after(parser, b"")
    assert room_after(parser, frame(bytes(10**6))) > small  # for the next one
    assert room_after(parser, frame(bytes(10**7))) == small
