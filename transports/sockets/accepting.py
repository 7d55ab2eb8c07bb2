"""Accepting connections, of which each address may open only so many.

A flood costs what one of its connections costs. So those that an address opens beyond its budget are closed there and
then, before there is a task, a buffer or a TLS handshake for them, and no more of them are accepted at a time than
leaves the process to its work: the rest waits in the system's queue, which is bounded too.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import trio

from raft_actors.node_log import NodeLog

logger: logging.Logger = logging.getLogger(__name__)

_BATCH = 64
_FLOOD_PAUSE_S = 0.05
_RESOURCES_PAUSE_S = 0.1
_MOST_ADDRESSES = 4096
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NOBODY_YET = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR})

Serve = Callable[[trio.SocketStream], Awaitable[None]]


@attrs.define(eq=False)
class AddressBudget:
    """What each address may open: `burst` connections at once, and from then on `per_s` a second.

    Attributes:
        refused: connections beyond that.
    """

    burst: float
    per_s: float
    refused: int = attrs.field(default=0, init=False)
    _left: dict[str, tuple[float, float]] = attrs.field(factory=dict[str, tuple[float, float]], init=False)
    """What an address had left, and when: the one heard of longest ago first."""

    def admits(self, address: str) -> bool:
        """Whether an address may open one more now."""
        now = trio.current_time()
        left, since = self._left.pop(address, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.per_s)
        admitted = left >= 1
        self._left[address] = (left - admitted, now)
        if len(self._left) > _MOST_ADDRESSES:
            del self._left[next(iter(self._left))]
        self.refused += not admitted
        return admitted


async def serve_listeners(
    serve: Serve,
    listeners: Sequence[trio.SocketListener],
    budget: AddressBudget,
    nursery: trio.Nursery,
    node_id: str,
) -> None:
    """Accept connections, each served by a task in `nursery`, until cancelled; closes the listeners in any case.

    `node_id` is the node that listens, for its log.
    """
    log = NodeLog(logger, node_id)
    async with trio.open_nursery() as accepting:
        for listener in listeners:
            accepting.start_soon(_accept, serve, listener, budget, nursery, log)


async def _accept(
    serve: Serve, listener: trio.SocketListener, budget: AddressBudget, nursery: trio.Nursery, log: NodeLog
) -> None:
    # Many at a time, without a task's turn for each: that takes the socket itself, which is still the listener's.
    waiting = socket.socket(fileno=listener.socket.fileno())
    try:
        async with listener:
            while True:
                await trio.lowlevel.wait_readable(waiting)
                await trio.sleep(_accept_some(serve, waiting, budget, nursery, log))
    finally:
        waiting.detach()


def _accept_some(
    serve: Serve, waiting: socket.socket, budget: AddressBudget, nursery: trio.Nursery, log: NodeLog
) -> float:
    """Accept those who wait, up to a bound; return for how long then to leave the others waiting, in seconds."""
    refused = 0
    for _ in range(_BATCH):
        try:
            connection, name = waiting.accept()
        except OSError as error:
            if error.errno in _OUT_OF_RESOURCES:
                log.error("can't accept a connection now: %s", error.strerror)  # noqa: TRY400
                return _RESOURCES_PAUSE_S
            if error.errno in _NOBODY_YET:
                break
            continue  # the connection was over before it was accepted: the next one may not be
        if budget.admits(_address(name)):
            connection.setblocking(False)
            nursery.start_soon(serve, trio.SocketStream(trio.socket.from_stdlib_socket(connection)))
        else:
            connection.close()
            refused += 1
    return _FLOOD_PAUSE_S if refused == _BATCH else 0.0


def _address(name: Any) -> str:
    return str(name[0]) if name else ""
