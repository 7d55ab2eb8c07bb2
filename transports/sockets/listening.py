"""What TCP connections ask of the operating system, and what it says to listening."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from typing import Any

import trio

from raft_actors.errors import ListenError

_PROBES = 3
_BACKLOG = 65_535  # as many as the system allows
_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
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


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on every address that a name or number stands for, of those that this machine has.

    `localhost` is two addresses in most hosts files, also where IPv6 is switched off; then one is enough.

    Raises:
        OSError: none of them can be listened on, or one is taken or not allowed.
        UnicodeError: it is a name that can't be one.
    """
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[trio.SocketListener] = []
    missing: OSError | None = None
    try:
        for family, _, _, _, address in found:
            try:
                listeners.append(await _open_listener(family, address))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
        if not listeners and missing is not None:
            raise missing
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners


async def _open_listener(family: int, address: tuple[Any, ...]) -> trio.SocketListener:
    opened = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # where it would let another process take the port over
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Else `::` takes IPv4 as well, and 0.0.0.0 beside it finds its port taken.
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        await opened.bind(address)
        opened.listen(_BACKLOG)
    except BaseException:
        opened.close()
        raise
    return trio.SocketListener(opened)


def listen_error(where: str, error: OSError | UnicodeError) -> ListenError:
    """The error for an address that can't be listened on, with the remedy. `where`: "on host:port", say."""
    remedy = _REMEDIES.get(error.errno or 0) if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror):
        remedy = f"{error}: listen on an address of this machine, or on 0.0.0.0 for all; peers may be told another name"
    return ListenError(f"can't listen {where}: {remedy or error}")
