"""Accepting connections, of which each address may open only so many.

A flood costs what one of its connections costs. So those that an address opens beyond its budget are closed there and
then, before there is a task, a buffer or a TLS handshake for them, and no more of them are accepted at a time than
leaves the process to its work: the rest waits in the system's queue, which is bounded too.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import attrs
import trio
from typing_extensions import override

from raft_actors.node_log import NodeLog
from raft_actors.records import define

_BATCH = 64
_FLOOD_PAUSE_S = 0.05
_RESOURCES_PAUSE_S = 0.1
_MOST_ADDRESSES = 4096
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NOBODY_YET = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR})
_NO_LISTENER = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK})

Serve = Callable[[trio.SocketStream], Awaitable[None]]
Log = logging.Logger | NodeLog


class Budget(Protocol):
    """What may be opened."""

    def admits(self, address: str) -> bool:
        """Whether an address may open one more connection now. Where it may not, that is counted."""
        ...


@define(eq=False)
class AddressBudget(Budget):
    """What each address may open: `burst` connections at once, and from then on `per_s` a second.

    Attributes:
        refused: connections beyond that.
    """

    burst: float
    per_s: float
    refused: int = attrs.field(default=0, init=False)
    _left: dict[str, tuple[float, float]] = attrs.field(factory=dict[str, tuple[float, float]], init=False)
    """What an address had left, and when: the one heard of longest ago first."""

    @override
    def admits(self, address: str) -> bool:
        now = trio.current_time()
        left, since = self._left.pop(address, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.per_s)
        admitted = left >= 1
        self._left[address] = (left - admitted, now)
        if len(self._left) > _MOST_ADDRESSES:
            del self._left[next(iter(self._left))]
        self.refused += not admitted
        return admitted


@define(eq=False)
class SharedBudget(Budget):
    """What each address may open, and what all of them may that are not known: a flood may come from many.

    Attributes:
        each: of one address.
        together: of all strangers, as if they were one address.
        is_known: whether an address, as of `network_of`, is that of somebody who is known.
        refused: connections beyond that, by cause: MAX_CONNECTS_PER_ADDRESS or MAX_CONNECTS.
    """

    each: AddressBudget
    together: AddressBudget
    is_known: Callable[[str], bool]
    refused: Counter[str] = attrs.field(factory=Counter[str], init=False)

    @override
    def admits(self, address: str) -> bool:
        if not self.each.admits(address):
            self.refused["MAX_CONNECTS_PER_ADDRESS"] += 1
            return False
        if self.is_known(address) or self.together.admits(""):
            return True
        self.refused["MAX_CONNECTS"] += 1
        return False


async def serve_listeners(
    serve: Serve,
    listeners: Sequence[trio.SocketListener],
    budget: Budget,
    nursery: trio.Nursery,
    log: Log,
) -> None:
    """Accept connections, each served by a task in `nursery`, until cancelled; closes the listeners in any case.

    Raises:
        OSError: what should listen is no listener (any more).
    """
    async with trio.open_nursery() as accepting:
        for listener in listeners:
            accepting.start_soon(_accept, serve, listener, budget, nursery, log)


async def _accept(serve: Serve, listener: trio.SocketListener, budget: Budget, nursery: trio.Nursery, log: Log) -> None:
    # Many at a time, without a task's turn for each: that takes the socket itself, which is still the listener's.
    waiting = socket.socket(fileno=listener.socket.fileno())
    try:
        async with listener:
            while True:
                await trio.lowlevel.wait_readable(waiting)
                await trio.sleep(_accept_some(serve, waiting, budget, nursery, log))
    finally:
        waiting.detach()


def _accept_some(serve: Serve, waiting: socket.socket, budget: Budget, nursery: trio.Nursery, log: Log) -> float:
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
            if error.errno in _NO_LISTENER:
                raise
            continue  # the connection was over before it was accepted: the next one may not be
        if budget.admits(network_of(str(name[0]) if name else "")):
            connection.setblocking(False)
            nursery.start_soon(serve, trio.SocketStream(trio.socket.from_stdlib_socket(connection)))
        else:
            connection.close()
            refused += 1
    return _FLOOD_PAUSE_S if refused == _BATCH else 0.0


def network_of(host: str) -> str:
    """What counts as one address where something is bounded for each: a whole network of IPv6.

    Who has an address of IPv6 has 2**64 of them, but on its own link.
    """
    if ":" not in host or host.startswith(("::", "fe80:")):
        return host
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8] + bytes(8))
