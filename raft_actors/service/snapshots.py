"""The key-value machine's snapshots: msgpack, one value after the other.

Of a machine that no time has passed for: a mark, the number of keys, then key and value by turns. Of others, and so of
all in which keys expire: another mark, the number of keys, log time, the number of deadlines; keys and values; then key
and deadline by turns.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterator
from typing import Any

from raft_actors.service.operations import HIGHEST_INTEGER
from raft_actors.service.packing import Unpacker, open_packer, open_unpacker

_MARK, _MARK_WITH_TIME = b"raft_actors key-value 1", b"raft_actors key-value 2"
_PIECE_BYTES = 64 * 1024
_HEADS = {_MARK: 1, _MARK_WITH_TIME: 3}  # how many numbers follow


def encode_snapshot(buckets: list[dict[bytes, bytes]], now_ms: int, deadlines: dict[bytes, int]) -> Iterator[bytes]:
    """Encode what is handed in, and let go of it on the way."""
    packer = open_packer()
    count = sum(map(len, buckets))
    head = [_MARK, count] if not now_ms and not deadlines else [_MARK_WITH_TIME, count, now_ms, len(deadlines)]
    for field in head:
        packer.pack(field)
    buckets.reverse()
    while buckets:
        for key, value in buckets.pop().items():  # what is encoded need not be kept alive any longer
            packer.pack(key)
            if len(value) < _PIECE_BYTES:
                packer.pack(value)
            else:
                # The header by hand and then the value itself: a large value is never copied.
                yield packer.bytes() + b"\xc6" + len(value).to_bytes(4, "big")
                packer.reset()
                yield value
        if len(packer.getbuffer()) >= _PIECE_BYTES:
            yield packer.bytes()
            packer.reset()
    for key, deadline_ms in deadlines.items():
        packer.pack(key)
        packer.pack(deadline_ms)
        if len(packer.getbuffer()) >= _PIECE_BYTES:
            yield packer.bytes()
            packer.reset()
    yield packer.bytes()


async def read_snapshot(
    chunks: AsyncIterable[bytes], put: Callable[[bytes, bytes], None]
) -> tuple[int, dict[bytes, int]]:
    """Take a snapshot apart: give each key and value to `put`, and return log time and the deadlines.

    Raises:
        ValueError: the bytes are no snapshot of this machine, or end early.
    """
    unpacker = open_unpacker()
    head: list[int] = []
    expected = 0
    count, deadlines = 0, dict[bytes, int]()
    fields: list[Any] = []
    size = 0
    async for chunk in chunks:
        unpacker.feed(chunk)
        size += len(chunk)
        _draw(unpacker, fields)
        if not expected and fields:
            expected = _HEADS.get(fields[0], 0) if isinstance(fields[0], bytes) else 0
            if not expected:
                raise ValueError("no snapshot of a key-value machine, or one of a later version")
        if expected and not head and len(fields) > expected:
            head = [*fields[1 : 1 + expected], 0, 0][:3]
            if not all(type(number) is int and 0 <= number <= HIGHEST_INTEGER for number in head):
                raise ValueError("no snapshot of a key-value machine: what should count is no number")
            del fields[: 1 + expected]
        if head:
            whole = len(fields) // 2 * 2
            for key, value in zip(fields[0:whole:2], fields[1:whole:2], strict=True):
                if type(key) is bytes and type(value) is bytes and count < head[0]:
                    put(key, value)
                elif type(key) is bytes and type(value) is int and count >= head[0]:
                    deadlines[key] = value
                else:
                    raise ValueError("no snapshot of a key-value machine: neither a value nor a deadline of a key")
                count += 1
            del fields[:whole]
    if not head or fields or unpacker.tell() != size or count != head[0] + head[2]:
        raise ValueError(f"the snapshot ends early, or late: {count} keys and deadlines of {head}")
    return head[1], deadlines


def _draw(unpacker: Unpacker, fields: list[Any]) -> None:
    """Add the values that are complete."""
    try:
        fields.extend(unpacker)
    except Exception as error:  # msgpack raises whatever the bytes provoke
        raise ValueError(f"no snapshot of a key-value machine: {error!r}") from error
