"""A real Redis, to compare with."""

from __future__ import annotations

import socket
from pathlib import Path

import attrs

from tests.service.support import request


@attrs.define
class Redis:
    """One connection to a real Redis."""

    address: Path
    connection: socket.socket
    asked: int = 0

    def say(self, wire: bytes) -> bytes:
        """The replies to all requests in `wire`. A request that Redis answers with a unique text marks their end."""
        self.asked += 1
        mark = b"end %d" % self.asked
        self.connection.sendall(wire + request(b"ECHO", mark))
        tail = b"$%d\r\n%b\r\n" % (len(mark), mark)
        received = b""
        while not received.endswith(tail):
            data = self.connection.recv(1 << 20)
            assert data, f"Redis closed the connection after {received!r}"
            received += data
        return received[: -len(tail)]

    def say_in_transaction(self, wire: bytes) -> bytes:
        """The reply to one request, where nothing else may be asked behind it: it would be queued."""
        self.connection.sendall(wire)
        received = b""
        while end_of_reply(received, 0) is None:
            data = self.connection.recv(1 << 20)
            assert data, f"Redis closed the connection after {received!r}"
            received += data
        return received


def end_of_reply(wire: bytes, start: int) -> int | None:
    """Where the RESP2 reply that begins at `start` ends; None where it is not there yet."""
    line_end = wire.find(b"\r\n", start)
    if line_end < 0:
        return None
    mark, position = wire[start : start + 1], line_end + 2
    count = int(wire[start + 1 : line_end]) if mark in (b"$", b"*") else 0
    if mark == b"$":
        position += count + 2 if count >= 0 else 0
        return position if position <= len(wire) else None
    for _ in range(max(0, count)):
        following = end_of_reply(wire, position)
        if following is None:
            return None
        position = following
    return position
