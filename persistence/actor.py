"""The persistence actor: the single writer of a node's log, and what makes group commit.

What a step of a role asks for is begun at its end, as one transaction; what is asked for while that is under way is the
next transaction. So the busier the node, the more entries share an fsync, without any delay being chosen. It outlives
roles: a role that ends leaves its writes behind to be finished, and their stamps tell the next role whether they
still matter.

A storage error leaves `receive`, and so ends the node: nothing of that transaction is acknowledged, nothing is retried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import attrs

from raft_actors.actors.actor import Actor, MailboxFull
from raft_actors.persistence.abc import Storage
from raft_actors.raft.persistent_state import Write

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


class Writing(Protocol):
    """What asks for a write: a role's `Persist`, say. It comes back, as it is, once that is durable.

    Attributes:
        write: what to write; None only waits until all that was asked before is durable.
    """

    @property
    def write(self) -> Write | None: ...


P = TypeVar("P", bound=Writing)


@attrs.frozen(eq=False)
class Transaction(Generic[P]):
    """Writes that the storage was asked for together.

    Attributes:
        persists: what asked for them, in order.
        writes: how many of them do write.
        durable: to be awaited; None where nothing was written.
    """

    persists: list[P]
    writes: int
    durable: Awaitable[None] | None


class PersistenceActor(Actor[Transaction[P]], Generic[P]):
    """Writes what it is asked for, in order, and acknowledges each write once it is durable.

    Its mailbox holds the transaction under way. A transaction begins in the task that asks for it: the disk, which
    everybody waits for, should not wait for this actor's turn.
    """

    def __init__(self, storage: Storage, acknowledge: Callable[[P], Awaitable[None]]) -> None:
        super().__init__(name="persistence", capacity=1)
        self._storage = storage
        self._acknowledge = acknowledge
        self._waiting: list[P] = []
        self._under_way = False
        self._transactions = 0
        self._writes = 0

    def persist(self, persist: P) -> None:
        """Have this written with the next transaction: `begin` it before giving up control.

        Raises:
            MailboxFull: too many wait already.
        """
        if len(self._waiting) >= _CAPACITY:
            raise MailboxFull(f"{_CAPACITY} writes wait for the disk")
        self._waiting.append(persist)

    def begin(self) -> None:
        """Begin a transaction with all that waits, unless one is under way: then it follows that one.

        Raises:
            ActorStopped: the actor has ended.
            StorageError, InternalError: what the storage says.
        """
        if self._under_way or not self._waiting:
            return
        persists, self._waiting = self._waiting, []
        writes = [persist.write for persist in persists if persist.write is not None]
        self._under_way = True
        self.tell(Transaction(persists, len(writes), self._storage.write(writes) if writes else None))

    async def receive(self, messages: list[Transaction[P]]) -> None:
        """Wait until the transaction is durable, begin the next, and acknowledge each write of this one."""
        for transaction in messages:
            if transaction.durable is not None:
                await transaction.durable
                self._transactions += 1
                self._writes += transaction.writes
            self._under_way = False
            self.begin()
            for persist in transaction.persists:
                await self._acknowledge(persist)

    def statistics(self) -> PersistenceStatistics:
        """Counters so far."""
        return PersistenceStatistics(len(self._waiting), self._transactions, self._writes)
