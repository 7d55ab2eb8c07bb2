"""The persistence actor: the single writer of a node's log, and what makes group commit.

What a step of a role asks for is begun at its end, as one transaction; what is asked for while that is under way is the
next transaction. So the busier the node, the more entries share an fsync, without any delay being chosen. It outlives
roles: a role that ends leaves its writes behind to be finished, and their stamps tell the next role whether they
still matter.

A storage error leaves the actor's task, and so ends the node: nothing of that transaction is acknowledged, nothing is
retried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

import outcome
import trio
from typing_extensions import override

from raft_actors.actors.actor import Actor, ActorStopped, MailboxFull
from raft_actors.persistence.abc import Announced, Storage
from raft_actors.raft.persistent_state import Write
from raft_actors.records import frozen

#: Writes that wait for the disk. Flow control (bytes uncommitted, appends in flight) keeps far below it; beyond is a
#: bug.
_CAPACITY = 65_536

#: Messages in its mailbox: one of each kind, at most.
_MESSAGES = 3


@frozen
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


@frozen(eq=False)
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


@frozen(eq=False)
class Failed:
    """A transaction has failed, as this error says."""

    error: BaseException


@frozen(eq=False)
class LeftOver:
    """Only a wake-up call: there was no room for acknowledgements."""


class PersistenceActor(Actor["Transaction[P] | Failed | LeftOver"], Generic[P]):
    """Writes what it is asked for, in order, and acknowledges each write once it is durable.

    A transaction begins in the task that asks for it, and where the storage can call back (`Announced`) it ends in that
    call: the disk, which everybody waits for, should not wait for this actor's turn, and neither should those who wait
    for the disk. What needs a task comes by its mailbox: a transaction that can only be awaited, one that failed, and
    acknowledgements for which there was no room. Whichever way, the same `_durable` ends a transaction.
    """

    def __init__(
        self,
        storage: Storage,
        acknowledge: Callable[[P], None],
        acknowledge_when_room: Callable[[P], Awaitable[None]],
    ) -> None:
        """Acknowledge by `acknowledge`; where that raises MailboxFull, by `acknowledge_when_room`, in order."""
        super().__init__(name="persistence", capacity=_MESSAGES)
        self._storage = storage
        self._acknowledge = acknowledge
        self._acknowledge_when_room = acknowledge_when_room
        self._waiting: list[P] = []
        self._left_over: deque[P] = deque()
        self._under_way = False
        self._over = False
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
        durable = self._storage.write(writes) if writes else None
        transaction = Transaction(persists, len(writes), durable)
        if isinstance(durable, Announced):
            durable.when_done(partial(self._done, transaction))
        else:
            self.tell(transaction)

    def _done(self, transaction: Transaction[P], result: outcome.Outcome[None]) -> None:
        """Called by the storage, in no task of ours: nothing may be raised here."""
        if self._over:
            return  # the node is ending: whoever asked has gone, or is told so
        if isinstance(result, outcome.Error):
            self.tell(Failed(result.error))
            return
        try:
            self._durable(transaction)
        except ActorStopped:
            pass  # the node is ending, and the inbox was first
        except Exception as error:  # noqa: BLE001 - raised by this actor's task
            self.tell(Failed(error))

    def _durable(self, transaction: Transaction[P]) -> None:
        """Begin the next transaction, and acknowledge each write of this one."""
        if transaction.durable is not None:
            self._transactions += 1
            self._writes += transaction.writes
        self._under_way = False
        self.begin()
        for persist in transaction.persists:
            if not self._left_over:
                try:
                    self._acknowledge(persist)
                    continue
                except MailboxFull:
                    self.tell(LeftOver())
            self._left_over.append(persist)

    @override
    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._over = True

    async def receive(self, messages: list[Transaction[P] | Failed | LeftOver]) -> None:
        """Do what needs a task; see the class's text."""
        for message in messages:
            if isinstance(message, Failed):
                raise message.error
            if isinstance(message, Transaction):
                if message.durable is not None:
                    await message.durable
                self._durable(message)
        while self._left_over:
            await self._acknowledge_when_room(self._left_over[0])
            self._left_over.popleft()

    def statistics(self) -> PersistenceStatistics:
        """Counters so far."""
        return PersistenceStatistics(len(self._waiting), self._transactions, self._writes)
