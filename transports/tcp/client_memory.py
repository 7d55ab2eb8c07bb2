"""A bound on the memory of all clients together (`RaftClient`): what they have sent, and what they have not read.

Each counts what is worth it of its own (`Conversation.hold`). Where all of them together hold too much, whoever holds
most is given up, and the next one, until the rest have room: so a flood gives itself up first, and who asks for little
and reads it is not concerned. Nobody waits for room here, as the Redis service's clients do (`service.memory`): what a
node has to tell is there whether there is room or not, and who does not read would keep others waiting.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import attrs
import trio

from raft_actors.records import define


@define(eq=False)
class Claim:
    """What one connection holds.

    Attributes:
        connection: cancelled to give it up.
        size: bytes.
        given_up: whether it was.
    """

    connection: trio.CancelScope
    size: int = attrs.field(default=0, init=False)
    given_up: bool = attrs.field(default=False, init=False)


@define(eq=False)
class ClientMemory:
    """Room for all clients of one node.

    Attributes:
        limit: bytes in all. One alone may hold more: each has bounds of its own.
        used: bytes that are held now, as far as they were counted.
        given_up: how many connections were, since it began.
    """

    limit: int
    used: int = attrs.field(default=0, init=False)
    given_up: int = attrs.field(default=0, init=False)
    _claims: dict[Claim, None] = attrs.field(factory=dict[Claim, None], init=False)

    @contextmanager
    def claim(self, connection: trio.CancelScope) -> Generator[Claim]:
        """Have room for a connection in the block."""
        claim = Claim(connection)
        self._claims[claim] = None
        try:
            yield claim
        finally:
            self._forget(claim)

    def hold(self, claim: Claim, size: int) -> None:
        """A connection holds so many bytes more, or less; it, or another one, may be given up for it."""
        if claim.given_up:
            return
        claim.size += size
        self.used += size
        while self.used > self.limit:
            largest = max(self._claims, key=lambda one: one.size)
            if largest.size == self.used:
                return
            self._forget(largest)
            self.given_up += 1
            largest.given_up = True
            largest.connection.cancel()

    def _forget(self, claim: Claim) -> None:
        if claim in self._claims:
            del self._claims[claim]
            self.used -= claim.size
            claim.size = 0
