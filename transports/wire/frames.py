"""Frames: how a stream of bytes is cut into messages.

A frame is a length (u32, big-endian) and that many bytes. The length is held against the cap as soon as its four bytes
are there, so nothing is kept, let alone decoded, of a frame that is too large. This module does no I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import attrs

from raft_actors.errors import ProtocolError
from raft_actors.records import define

_LENGTH = struct.Struct(">I")

HEADER_BYTES = _LENGTH.size

MAX_PAYLOAD_BYTES = 2**32 - 1
"""What the length can say."""

pack_length: Callable[[int], bytes] = _LENGTH.pack
"""The header of a frame whose payload has that many bytes."""


def frame(payload: bytes) -> bytes:
    """Return the payload as a frame."""
    return pack_length(len(payload)) + payload


_LEAST_BUFFER_BYTES = 64 * 1024
_MOST_BUFFER_BYTES = 2 * 1024 * 1024
_LEAST_ROOM_BYTES = 4096
_MOST_ROOM_BYTES = 1024 * 1024


def _new_buffer() -> bytearray:
    return bytearray(_LEAST_BUFFER_BYTES)


@define(eq=False)
class FrameParser:
    """Cuts what arrives into payloads, in the buffer into which it was received.

    Attributes:
        max_payload_bytes: a larger frame is an error.
        kept_bytes: a larger buffer, which a frame needed, is not kept for those to come.
    """

    max_payload_bytes: int
    kept_bytes: int = _MOST_BUFFER_BYTES
    _buffer: bytearray = attrs.field(factory=_new_buffer, init=False, repr=False)
    _start: int = attrs.field(default=0, init=False)
    _end: int = attrs.field(default=0, init=False)

    @property
    def held_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return self._end - self._start

    @property
    def buffer_bytes(self) -> int:
        """Size of the buffer."""
        return len(self._buffer)

    def room(self) -> memoryview:
        """Where the next bytes of the stream are to be put: some of them, from its beginning on; then `received`."""
        held, size = self.held_bytes, len(self._buffer)
        if not held:
            self._start = self._end = 0
            if size > self.kept_bytes:
                self._buffer = _new_buffer()
        elif size - self._end < _LEAST_ROOM_BYTES:
            # It grows with what is there, not with what a frame says it will take: a peer may say much and send little.
            buffer = self._buffer if 2 * held <= size else bytearray(2 * size)
            buffer[:held] = self._buffer[self._start : self._end]
            self._buffer, self._start, self._end = buffer, 0, held
        return memoryview(self._buffer)[self._end : self._end + _MOST_ROOM_BYTES]

    def received(self, count: int) -> Iterator[memoryview]:
        """Take the first `count` bytes of `room` as received; yield the payload of each frame that they complete.

        Exhaust the iterator before the next call of any method: the payloads lie in the buffer.

        Raises:
            ProtocolError: a frame is too large. What came before it has been yielded; the parser is of no more use.
        """
        self._end = end = self._end + count
        buffer = memoryview(self._buffer)
        while end - self._start >= HEADER_BYTES:
            start = self._start + HEADER_BYTES
            (length,) = _LENGTH.unpack_from(buffer, self._start)
            if length > self.max_payload_bytes:
                raise ProtocolError(f"a frame of {length:,} bytes, where {self.max_payload_bytes:,} are allowed")
            if start + length > end:
                return
            self._start = start + length
            yield buffer[start : start + length]

    def feed(self, data: bytes | bytearray) -> Iterator[bytes]:
        """Take the next bytes of the stream; yield the payload of each frame that they complete.

        Exhaust the iterator before the next call.

        Raises:
            ProtocolError: as `received`.
        """
        rest = memoryview(data)
        while rest:
            room = self.room()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            rest = rest[count:]
            for payload in self.received(count):
                yield bytes(payload)
