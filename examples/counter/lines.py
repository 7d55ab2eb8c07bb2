"""JSON lines over a stream: one object a line, of bounded length."""

from __future__ import annotations

import json
from typing import Any, cast

import trio

MAX_LINE_BYTES = 4096


class Lines:
    """Both directions of a connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = bytearray()

    async def receive(self) -> dict[str, Any] | None:
        """The next object; None at the end.

        Raises:
            ValueError: the line is too long, or no JSON object.
        """
        while b"\n" not in self._received:
            if len(self._received) > MAX_LINE_BYTES:
                raise ValueError("the line is too long")
            data = await self._stream.receive_some()
            if not data:
                return None
            self._received += data
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received = bytearray(rest)
        found: Any = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError("a line must hold an object")
        return cast("dict[str, Any]", found)

    async def send(self, message: dict[str, Any]) -> None:
        """Send one object."""
        await self._stream.send_all(json.dumps(message).encode() + b"\n")
