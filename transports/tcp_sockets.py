"""What a TCP connection between nodes asks of the operating system."""

from __future__ import annotations

import contextlib
import socket

import trio

_PROBES = 3


def tune(stream: trio.SocketStream, dead_peer_timeout_s: float) -> None:
    """Send small messages at once, and give up a peer that has been silent for `dead_peer_timeout_s`.

    Without a limit TCP goes on for many minutes, and its retries come ever more rarely: after a partition of some
    seconds a new connection is up long before the old one speaks again.
    """
    seconds = max(1, round(dead_peer_timeout_s))
    wanted = (
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        # Sent data that stays without an answer, or finds the peer's window shut.
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", round(dead_peer_timeout_s * 1000)),
        # A connection on which nothing is sent.
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", seconds),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", max(1, seconds // _PROBES)),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", _PROBES),
    )
    for level, name, value in wanted:
        option = getattr(socket, name, None)
        if option is not None:
            # Each is an improvement, none a condition: a peer may be gone already, or a sandbox forbid it.
            with contextlib.suppress(OSError):
                stream.setsockopt(level, option, value)
