"""Frames: how a stream of bytes is cut into messages.

A frame is a length (u32, big-endian) and that many bytes. The length is held against the cap as soon as its four bytes
are there, so nothing is kept, let alone decoded, of a frame that is too large. This module does no I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import attrs

from raft_actors.errors import ProtocolError

_LENGTH = struct.Struct(">I")

HEADER_BYTES = _LENGTH.size

MAX_PAYLOAD_BYTES = 2**32 - 1
"""What the length can say."""

pack_length = _LENGTH.pack
"""The header of a frame whose payload has that many bytes."""


def frame(payload: bytes) -> bytes:
    """Return the payload as a frame."""
    return pack_length(len(payload)) + payload


@attrs.define(eq=False)
class FrameParser:
    """Cuts what arrives into payloads.

    Attributes:
        max_payload_bytes: a larger frame is an error.
    """

    max_payload_bytes: int
    _held: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _wanted: int = attrs.field(default=HEADER_BYTES, init=False)

    @property
    def held_bytes(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._held)

    @property
    def missing_bytes(self) -> int:
        """Bytes until the next frame is complete, or until its length is known."""
        return self._wanted - len(self._held)

    def feed(self, data: bytes | bytearray) -> Iterator[bytes]:
        """Take the next bytes of the stream; yield the payload of each frame that they complete.

        Exhaust the iterator before the next call.

        Raises:
            ProtocolError: a frame is too large. What came before it has been yielded; the parser is of no more use.
        """
        if self._held:
            # One buffer that grows, not a list of pieces: a peer may send a large frame byte by byte.
            self._held += data
            if len(self._held) < self._wanted:
                return
            data = bytes(self._held)
            self._held.clear()
        data = bytes(data)
        start, available = 0, len(data)
        self._wanted = HEADER_BYTES
        while available - start >= HEADER_BYTES:
            (length,) = _LENGTH.unpack_from(data, start)
            if length > self.max_payload_bytes:
                raise ProtocolError(f"a frame of {length:,} bytes, where {self.max_payload_bytes:,} are allowed")
            end = start + HEADER_BYTES + length
            if end > available:
                self._wanted = HEADER_BYTES + length
                break
            yield data[start + HEADER_BYTES : end]
            start = end
        self._held += data[start:]
