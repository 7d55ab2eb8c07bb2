"""Callers who have not said who they are yet: bounded in time and in number, in all and from each address.

Whoever is one too many takes the place of the oldest: honest peers say who they are within a round trip, so a flood of
idle connections does not lock them out. From one address there may be fewer than in all: a flood from there displaces
itself before it displaces others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

import attrs
import trio

from raft_actors.records import define
from raft_actors.transports.sockets.accepting import network_of


@define(eq=False)
class Strangers:
    """Those of one transport.

    Attributes:
        most: how many there may be.
        most_per_address: how many from one address, as of `network_of`.
        timeout_s: how long one may take.
        ended: how many were ended, by cause: DISPLACED or TOO_SLOW.
    """

    most: int
    most_per_address: int
    timeout_s: float
    ended: Counter[str] = attrs.field(factory=Counter[str], init=False)
    _callers: dict[trio.CancelScope, str] = attrs.field(factory=dict[trio.CancelScope, str], init=False)
    """Their connections, the oldest first, and from where they come."""
    _from: Counter[str] = attrs.field(factory=Counter[str], init=False)

    @contextmanager
    def bounded(self, connection: trio.CancelScope, address: str) -> Generator[None]:
        """Have a connection among them in the block: its scope may be cancelled there, and ends when time is over."""
        address = network_of(address)
        self._callers[connection] = address
        self._from[address] += 1
        if self._from[address] > self.most_per_address:
            self._displace(next(caller for caller, origin in self._callers.items() if origin == address))
        elif len(self._callers) > self.most:
            self._displace(next(iter(self._callers)))
        connection.deadline = trio.current_time() + self.timeout_s
        try:
            yield
        finally:
            if connection in self._callers:
                self._forget(connection)
                if connection.cancel_called:
                    self.ended["TOO_SLOW"] += 1
        connection.deadline = float("inf")

    def _displace(self, caller: trio.CancelScope) -> None:
        self._forget(caller)
        self.ended["DISPLACED"] += 1
        caller.cancel()

    def _forget(self, caller: trio.CancelScope) -> None:
        address = self._callers.pop(caller)
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]
