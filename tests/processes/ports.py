"""Ports for processes that come and go."""

from __future__ import annotations

import socket
import sys

import attrs


@attrs.frozen
class Port:
    """A port of this machine that is kept for a process, until `close`.

    Attributes:
        address: `host:port`.
    """

    address: str
    _place: socket.socket

    def close(self) -> None:
        self._place.close()


def reserve_port() -> Port:
    """Take a free port and keep it, for as many lives of a worker as there will be.

    On Linux two sockets may be bound to one address as long as both ask for that and at most one listens. So the port
    is held here, where nobody else is given it, while workers listen on it. Elsewhere it is let go of.
    """
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{place.getsockname()[1]}"
    if sys.platform != "linux":
        place.close()
    return Port(address, place)
