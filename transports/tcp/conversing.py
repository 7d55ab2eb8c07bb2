"""Conversations with clients over streams: one side's view, a node's or a client's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio
from typing_extensions import override

from raft_actors.errors import Unreachable
from raft_actors.transports.conversation import Conversation
from raft_actors.transports.sockets.direct import receive_into
from raft_actors.transports.wire.frames import FrameParser, pack_length

#: What each has for what is under way, and keeps. Whatever is more is counted.
_KEPT_BYTES = 64 * 1024


def _not_counted(_size: int) -> None: ...


class StreamConversation(Conversation):
    """A conversation over a stream that it closes in the end."""

    def __init__(
        self, stream: trio.abc.Stream, max_payload_bytes: int, hold: Callable[[int], None] = _not_counted
    ) -> None:
        """Converse over a stream, on which the handshake is over.

        Args:
            stream: the connection.
            max_payload_bytes: a larger payload is refused before it is read.
            hold: told of memory that is taken, or (less than 0) given back.
        """
        self._hold = hold
        self._buffer_bytes = 0
        self._stream = stream
        self._parser = FrameParser(max_payload_bytes, kept_bytes=_KEPT_BYTES)
        self._early: list[bytes] = []

    @override
    async def send(self, payloads: Sequence[bytes]) -> None:
        parts: list[bytes] = []
        for payload in payloads:
            parts += (pack_length(len(payload)), payload)
        data = b"".join(parts)
        large = len(data) > _KEPT_BYTES
        if large:
            self._hold(len(data))
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unreachable(f"the connection broke: {error.__cause__ or error}") from error
        finally:
            if large:
                self._hold(-len(data))

    @override
    def hold(self, size: int) -> None:
        self._hold(size)

    async def receive_first(self) -> bytes | None:
        """Wait for the first payload, a handshake's answer; what came behind it is left for `receive`. None: the end.

        Raises as `receive`.
        """
        payloads = await self.receive()
        self._early = payloads[1:]
        return payloads[0] if payloads else None

    @override
    async def receive(self) -> list[bytes]:
        if self._early:
            await trio.lowlevel.checkpoint()
            early, self._early = self._early, []
            return early
        parser = self._parser
        try:
            while count := await receive_into(self._stream, self._room()):
                payloads = [bytes(payload) for payload in parser.received(count)]
                if payloads:
                    return payloads
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unreachable(f"the connection broke: {error.__cause__ or error}") from error
        return []

    def _room(self) -> memoryview:
        parser = self._parser
        room, size = parser.room(), parser.buffer_bytes - _KEPT_BYTES
        if size != self._buffer_bytes:
            self._hold(size - self._buffer_bytes)
            self._buffer_bytes = size
        return room

    @override
    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)
