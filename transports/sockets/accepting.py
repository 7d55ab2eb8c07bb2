"""Accepting connections, of which each address may open only so many.

A flood costs what one of its connections costs. So those that an address opens beyond its budget are closed there and
then, before there is a task, a buffer or a TLS handshake for them. Where that happens all the time, the system drops
who comes from there (see `sieve`), but for a moment every quarter of a second: most of a flood costs the process
nothing, and does not wait in the system's queue before others. Where the system does not do that, no more are accepted
at a time than leaves the process to its work: the rest waits in that queue, which is bounded too.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import Protocol

import attrs
import trio
from typing_extensions import override

from raft_actors.node_log import NodeLog
from raft_actors.records import define
from raft_actors.transports.sockets import sieve
from raft_actors.transports.sockets.sieve import MOST_NETWORKS, Sieve

_BATCH = 64
_POLITE_PER_S = 64
"""Connections beyond the budget that are closed in a second, so that the caller knows at once; more are dropped."""
_SIEVED_S = 0.25
_FLOOD_PAUSE_S = 0.05
_MOST_WAITING = 4096
_CROWDED_S = 1.0
_RESOURCES_PAUSE_S = 0.1
_SHORT_LINES_PER_S = 0.1
"""About descriptors or memory that are short, of each listener: however long that lasts, it fills no disk."""
_MOST_ADDRESSES = 4096
_DROPPED_FOR_ONE = 250
"""So many connections that the system drops cost as much as one that is heard: 2 and 500 microseconds."""
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

    def sieve(self, refused: Collection[str]) -> Sieve:
        """Who the system may drop for a moment, when these networks have been refused over and over."""
        ...

    def count_dropped(self, packets: int) -> None:
        """The system has dropped so many."""
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

    def has_left(self, address: str) -> bool:
        """Whether an address may open one more connection now; this is not one."""
        left, since = self._left.get(address, (self.burst, 0.0))
        return left + (trio.current_time() - since) * self.per_s >= 1

    def charge(self, address: str, connections: float) -> None:
        """Take off what an address has left as much as so many connections would, down to none."""
        now = trio.current_time()
        left, since = self._left.get(address, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.per_s)
        self._left[address] = (max(0.0, left - connections), now)

    @override
    def sieve(self, refused: Collection[str]) -> Sieve:
        return Sieve(tuple(islice(refused, MOST_NETWORKS)), drops=True)

    @override
    def count_dropped(self, packets: int) -> None:
        self.refused += packets


@define(eq=False)
class SharedBudget(Budget):
    """What each address may open, and what all of them may that are not known: a flood may come from many.

    Attributes:
        each: of one address.
        together: of all strangers, as if they were one address.
        is_known: whether an address, as of `network_of`, is that of somebody who is known.
        known: all such addresses, those first that matter most.
        refused: connections beyond that, by cause: MAX_CONNECTS_PER_ADDRESS or MAX_CONNECTS; and what the system has
            dropped in this time, in packets, of which a caller may send several for one connection: DROPPED.
    """

    each: AddressBudget
    together: AddressBudget
    is_known: Callable[[str], bool]
    known: Callable[[], Iterable[str]] = tuple
    refused: Counter[str] = attrs.field(factory=Counter[str], init=False)
    _crowded_since: float = attrs.field(default=-math.inf, init=False)
    """When strangers were refused last who would not have been if they were alone."""

    @override
    def admits(self, address: str) -> bool:
        if not self.each.admits(address):
            self.refused["MAX_CONNECTS_PER_ADDRESS"] += 1
            return False
        if self.is_known(address) or self.together.admits(""):
            return True
        self.refused["MAX_CONNECTS"] += 1
        self._crowded_since = trio.current_time()
        return False

    @override
    def sieve(self, refused: Collection[str]) -> Sieve:
        if not self._is_crowded():
            return self.each.sieve(refused)
        known = (network for network in self.known() if self.each.has_left(network))
        return Sieve(tuple(islice(known, MOST_NETWORKS)), drops=False)

    @override
    def count_dropped(self, packets: int) -> None:
        self.refused["DROPPED"] += packets
        if self._is_crowded():
            # What strangers cost is bounded in all: the larger a flood is, the fewer of it are heard.
            self.together.charge("", packets / _DROPPED_FOR_ONE)

    def _is_crowded(self) -> bool:
        return trio.current_time() - self._crowded_since <= _CROWDED_S


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
            await _Acceptor(serve, waiting, budget, nursery, log).run()
    finally:
        waiting.detach()


@define(eq=False)
class _Acceptor:
    """Accepts the connections of one listener."""

    serve: Serve
    waiting: socket.socket
    budget: Budget
    nursery: trio.Nursery
    log: Log
    _polite: AddressBudget = attrs.field(factory=lambda: AddressBudget(_BATCH, _POLITE_PER_S), init=False)
    """Refusals: beyond these, it is a flood."""
    _sieve: Sieve | None = attrs.field(default=None, init=False)
    """What the system does now, for all that it says."""
    _sieved_until: float = attrs.field(default=math.inf, init=False)
    _dropped: int = attrs.field(default=0, init=False)
    """What it had dropped before that, of whomever."""
    _refused: dict[str, None] = attrs.field(factory=dict[str, None], init=False)
    """Networks of the flood, since it does that: as many as a sieve may list."""
    _refused_in_a_row: int = attrs.field(default=0, init=False)
    """Connections, since nobody was waiting."""
    _lines: AddressBudget = attrs.field(factory=lambda: AddressBudget(1, _SHORT_LINES_PER_S), init=False)
    _told_short: bool = attrs.field(default=False, init=False)
    """The log says that it can't accept a connection, and not yet that it can again."""

    async def run(self) -> None:
        """Accept connections until cancelled."""
        while True:
            with trio.move_on_at(self._sieved_until):
                await trio.lowlevel.wait_readable(self.waiting)
            if trio.current_time() >= self._sieved_until:
                self._let_through()
            await trio.sleep(self._accept_some())

    def _accept_some(self) -> float:
        """Accept those who wait, up to a bound; return for how long then to leave the others waiting, in seconds."""
        refused, flooded = 0, False
        for _ in range(_BATCH):
            try:
                connection, name = self.waiting.accept()
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._tell_short(error)
                    return _RESOURCES_PAUSE_S
                if error.errno in _NOBODY_YET:
                    self._refused_in_a_row = 0
                    break
                if error.errno in _NO_LISTENER:
                    raise
                continue  # the connection was over before it was accepted: the next one may not be
            if self._told_short:
                self._told_short = False
                self.log.warning("can accept connections again")
            network = network_of(str(name[0]) if name else "")
            if self.budget.admits(network):
                connection.setblocking(False)
                self.nursery.start_soon(self.serve, trio.SocketStream(trio.socket.from_stdlib_socket(connection)))
            else:
                connection.close()
                refused += 1
                if not self._polite.admits(""):
                    flooded = True
                    if len(self._refused) < MOST_NETWORKS:
                        self._refused[network] = None
        if flooded:
            self._have_dropped()
        self._refused_in_a_row += refused
        if refused < _BATCH or (self._sieve is not None and self._refused_in_a_row <= _MOST_WAITING):
            # Those who were waiting before the sieve was there are in the way of others: on with them.
            return 0.0
        return _FLOOD_PAUSE_S

    def _tell_short(self, error: OSError) -> None:
        """Log that descriptors or memory are short, and after that only now and then, as long as they are."""
        if not self._lines.admits(""):
            return
        left_out, self._lines.refused = self._lines.refused, 0
        more = f" (as {left_out:,} times since the line before)" if left_out else ""
        self.log.error("can't accept a connection now: %s%s", error.strerror, more)
        self._told_short = True

    def _have_dropped(self) -> None:
        """Have the system drop them for a while."""
        wanted = self.budget.sieve(self._refused)
        if wanted == self._sieve:
            return
        dropped = sieve.dropped(self.waiting)
        if not sieve.attach(self.waiting, wanted):
            self._refused.clear()
            return
        if self._sieve is None:
            self._dropped, self._sieved_until = dropped, trio.current_time() + _SIEVED_S
        self._sieve = wanted

    def _let_through(self) -> None:
        """Have it drop nobody: some may be admitted again."""
        sieve.detach(self.waiting)
        self.budget.count_dropped((sieve.dropped(self.waiting) - self._dropped) % 2**32)
        self._sieve, self._sieved_until = None, math.inf
        self._refused.clear()


def network_of(host: str) -> str:
    """What counts as one address where something is bounded for each: a whole network of IPv6.

    Who has an address of IPv6 has 2**64 of them, but on its own link.
    """
    if ":" not in host or host.startswith(("::", "fe80:")):
        return host
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8] + bytes(8))
