"""The persistence actor: the single writer of a node's log, and what makes group commit.

It takes all that waits in its mailbox and has the storage write it as one transaction; what arrives meanwhile is the
next transaction. So the busier the node, the more entries share an fsync, without any delay being chosen. It outlives
roles: a role that ends leaves its writes behind to be finished, and their stamps tell the next role whether they
still matter.

A storage error leaves `receive`, and so ends the node: nothing of that transaction is acknowledged, nothing is retried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from raft_actors.actor import Actor
from raft_actors.effects import Persist
from raft_actors.inbox import Durable
from raft_actors.persistence.abc import Storage

#: Writes that wait for the disk. Flow control (bytes uncommitted, appends in flight) keeps far below it; beyond is a
#: bug.
_CAPACITY = 65_536


@attrs.frozen
class PersistenceStatistics:
    """Counters of a persistence actor.

    Attributes:
        waiting: writes that wait for the transaction under way to end.
        transactions: transactions so far.
        writes: writes in them.
    """

    waiting: int
    transactions: int
    writes: int


class PersistenceActor(Actor[Persist]):
    """Writes what it is told, in order, and acknowledges each write to the node once it is durable."""

    def __init__(self, storage: Storage, acknowledge: Callable[[Durable], Awaitable[None]]) -> None:
        super().__init__(name="persistence", capacity=_CAPACITY)
        self._storage = storage
        self._acknowledge = acknowledge
        self._transactions = 0
        self._writes = 0

    async def receive(self, messages: list[Persist]) -> None:
        """Write all that waited as one transaction, then acknowledge each."""
        writes = [message.write for message in messages if message.write is not None]
        if writes:
            await self._storage.write(writes)
            self._transactions += 1
            self._writes += len(writes)
        for message in messages:
            await self._acknowledge(Durable(message))

    def statistics(self) -> PersistenceStatistics:
        """Counters so far."""
        return PersistenceStatistics(self.mailbox.statistics().waiting, self._transactions, self._writes)
