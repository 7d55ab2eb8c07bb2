"""What TCP connections ask of the operating system, and what it says to listening."""

from __future__ import annotations

import contextlib
import errno
import socket

import trio

from raft_actors.errors import ListenError

_PROBES = 3
_REMEDIES = {
    errno.EADDRINUSE: "another process has it: stop that one, or choose another port",
    errno.EADDRNOTAVAIL: "it is no address of this machine: listen on one that is, or on 0.0.0.0 for all",
    errno.EACCES: "this user may not: choose a port above 1023",
}


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


def listen_error(where: str, error: OSError | UnicodeError) -> ListenError:
    """The error for an address that can't be listened on, with the remedy. `where`: "on host:port", say."""
    remedy = _REMEDIES.get(error.errno or 0) if isinstance(error, OSError) else None
    return ListenError(f"can't listen {where}: {remedy or error}")
