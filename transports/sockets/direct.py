"""What connections have in common, plain or encrypted: they can be used without a task, and say what is left of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import trio


def unsent(parts: Sequence[bytes | bytearray | memoryview], sent: int) -> list[memoryview]:
    """What is left of the parts after their first `sent` bytes."""
    left: list[memoryview] = []
    for part in parts:
        if sent < len(part):
            left.append(memoryview(part)[sent:])
        sent = max(0, sent - len(part))
    return left


class DirectStream(trio.abc.Stream):
    """A connection over a socket.

    Attributes:
        peer_host: the IP address of the other end, "" where it was gone already.
    """

    peer_host: str

    @property
    @abstractmethod
    def holds_back(self) -> bool:
        """Whether something that counts as sent has yet to be handed to the kernel: `send_all_parts([])` does it."""

    def send_now(self, data: bytes | memoryview) -> int:
        """Send as much of `data` as is taken without waiting; returns how many bytes that is.

        0 where the connection is broken or closed: the next `send_all` or `receive_some` raises why.
        """
        return self.send_parts_now([data])

    @abstractmethod
    def send_parts_now(self, parts: Sequence[bytes | memoryview]) -> int:
        """The same for data in parts, of which none is copied to put them together."""

    async def send(self, data: bytes) -> None:
        """Send all of `data`, for the one task that uses this connection. Yields only where the other end is slow.

        Raises what `send_all` does.
        """
        sent = self.send_now(data)
        if sent < len(data) or self.holds_back:
            await self.send_all_parts([memoryview(data)[sent:]])

    async def send_parts(self, parts: Sequence[bytes]) -> None:
        """The same for data in parts, of which none is copied."""
        left = unsent(parts, self.send_parts_now(parts))
        if left or self.holds_back:
            await self.send_all_parts(left)

    @abstractmethod
    async def send_all_parts(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """Send all parts, one after the other, as `send_all` does."""

    @abstractmethod
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """See `trio.abc.ReceiveStream.receive_some`."""

    @abstractmethod
    async def receive_into(self, buffer: memoryview) -> int:
        """Receive some bytes into the buffer, which must have room for one; returns how many, 0 at the stream's end.

        Raises what `receive_some` does.
        """

    @abstractmethod
    def other_end_left(self) -> bool:
        """Whether the other end has closed the connection, or its sending side, though unread data may be waiting.

        Always False where the system can't tell that without reading on.
        """

    @abstractmethod
    def end_sending(self) -> None:
        """Tell the other end that nothing more will come. Nothing happens where the connection is over."""

    @abstractmethod
    def end_receiving(self) -> None:
        """Have `receive_some` meet the end of the stream, once it has returned what has arrived already.

        Nothing happens where the connection is over.
        """


async def receive_into(stream: trio.abc.ReceiveStream, buffer: memoryview) -> int:
    """Receive from any stream as `DirectStream.receive_into` does."""
    if isinstance(stream, DirectStream):
        return await stream.receive_into(buffer)
    data = await stream.receive_some(len(buffer))
    buffer[: len(data)] = data
    return len(data)
