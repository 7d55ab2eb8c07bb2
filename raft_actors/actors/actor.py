"""A small actor layer on Trio: mailbox, tell, ask, run, crash.

An actor is one task that owns its state and takes messages from a bounded mailbox. Nobody else touches that state, so
nothing needs a lock; and one message is handled after the other, so a handler sees no half-done work of its own.

- `tell` leaves a message and returns at once. A full mailbox refuses (`MailboxFull`): its bound is the back-pressure.
- `ask` leaves a message with a slot for the answer and waits for it. If the actor ends first, the waiter gets
  `ActorStopped` instead of waiting for ever.
- `run` is the actor's life, started in a nursery of the caller's choice. Cancelling that nursery ends the actor;
  there is no other way to be stopped from outside, and no actor outlives its nursery.
- A crash is an exception that leaves `receive`. It leaves `run` too, so it cancels the actor's siblings and reaches
  whoever opened the nursery, as any Trio task's would. Nothing restarts an actor behind your back.
- An actor lives on the thread of its Trio run: `tell` on another one is refused (`UsageError`) and leaves nothing.
- A KeyboardInterrupt strikes no actor: Trio delivers it to the program's main task instead, where it cancels from
  there. Between any two instructions of a handler it would leave a decision half carried out.

An actor with two message types:

    @attrs.frozen
    class Add:
        amount: int

    @attrs.frozen
    class Get:
        reply: Pending[int]

    class Counter(Actor[Add | Get]):
        def __init__(self) -> None:
            super().__init__(name="counter", capacity=100)
            self.total = 0

        async def receive(self, messages: list[Add | Get]) -> None:
            for message in messages:
                match message:
                    case Add(amount): self.total += amount
                    case Get(reply): reply.resolve(self.total)

    async with trio.open_nursery() as nursery:
        counter = Counter()
        nursery.start_soon(counter.run)
        counter.tell(Add(3))
        total = await counter.ask(Get)
        nursery.cancel_scope.cancel()  # an actor goes on until it is cancelled
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
import trio

from raft_actors.actors.home_thread import HomeThread, current_task
from raft_actors.actors.pending import Pending
from raft_actors.errors import RaftError

M = TypeVar("M")
R = TypeVar("R")

_DRAIN_LIMIT = 4096


class MailboxFull(RaftError, trio.WouldBlock):
    """The mailbox holds as many messages as it may: nothing was left in it."""


class ActorStopped(RaftError):
    """The actor has ended: it takes no messages, and will answer none."""


@attrs.frozen
class MailboxStatistics:
    """How full a mailbox is.

    Attributes:
        waiting: messages in it now.
        capacity: how many it may hold.
        refused: how many `tell` has refused so far.
    """

    waiting: int
    capacity: int
    refused: int


class Mailbox(Generic[M]):
    """A bounded queue with one reader, on a Trio memory channel.

    It outlives its reader: an actor that hands over to a successor (as the roles of a Raft node do) hands over the
    mailbox with all that waits in it.

    Attributes:
        home: its reader's thread; the reader settles it, before it first waits.
    """

    def __init__(self, *, name: str, capacity: int) -> None:
        self.name = name
        self._capacity = capacity
        self._refused = 0
        self.home = HomeThread(name)
        self._sender, self._receiver = trio.open_memory_channel[M](capacity)

    def tell(self, message: M) -> None:
        """Leave a message, without waiting.

        Raises:
            MailboxFull: it holds `capacity` messages.
            ActorStopped: it was closed.
            UsageError: this is not its reader's thread. Trio would take the reader for woken, and then refuse.
        """
        self.home.check()
        try:
            self._sender.send_nowait(message)
        except trio.WouldBlock:
            self._refused += 1
            raise MailboxFull(f"the mailbox of {self.name} is full ({self._capacity} messages wait)") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ActorStopped(f"{self.name} has stopped") from None

    async def tell_when_room(self, message: M) -> None:
        """Leave a message, waiting for room if need be.

        Raises:
            ActorStopped: it was closed, before or meanwhile.
            UsageError: this is not its reader's thread.
        """
        self.home.check()
        try:
            await self._sender.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ActorStopped(f"{self.name} has stopped") from None

    async def receive(self) -> M:
        """Wait for the next message and take it."""
        return await self._receiver.receive()

    def receive_nowait(self) -> M:
        """Take the next message.

        Raises:
            trio.WouldBlock: none waits.
        """
        return self._receiver.receive_nowait()

    async def drain(self) -> list[M]:
        """Wait for a message, then take all that wait (bounded, so that a busy sender can't hold the reader here)."""
        messages = [await self._receiver.receive()]
        take = self._receiver.receive_nowait
        try:
            while len(messages) < _DRAIN_LIMIT:
                messages.append(take())
        except trio.WouldBlock:
            pass
        return messages

    def close(self) -> list[M]:
        """Take no more messages; return those that nobody will read. May be called twice."""
        self._sender.close()  # first, so that those who wait for room learn of it
        left: list[M] = []
        try:
            while True:
                left.append(self._receiver.receive_nowait())
        except (trio.WouldBlock, trio.ClosedResourceError, trio.EndOfChannel):
            pass
        self._receiver.close()
        return left

    def statistics(self) -> MailboxStatistics:
        """How full it is."""
        waiting = self._sender.statistics().current_buffer_used
        return MailboxStatistics(waiting, self._capacity, self._refused)


class Actor(ABC, Generic[M]):
    """A task with a mailbox. Subclass it and write `receive`."""

    def __init__(self, *, name: str, capacity: int) -> None:
        self.name = name
        self.mailbox: Mailbox[M] = Mailbox(name=name, capacity=capacity)
        # A dict for its order, so that a simulation repeats itself.
        self._asked: dict[Pending[Any], None] = {}

    @abstractmethod
    async def receive(self, messages: list[M]) -> None:
        """Handle all messages that waited, in the order in which they were told. Raising crashes the actor."""

    def tell(self, message: M) -> None:
        """Leave a message, without waiting.

        Raises:
            MailboxFull: too many wait already.
            ActorStopped: the actor has ended.
        """
        self.mailbox.tell(message)

    async def ask(self, make_message: Callable[[Pending[Any]], M]) -> Any:
        """Leave the message that `make_message` builds around a slot for the answer, and wait for the answer.

        Cancelling the wait does not take the message back.

        Raises:
            MailboxFull: too many wait already.
            ActorStopped: the actor has ended, or ended without answering; the cause is what it crashed with, if it did.
        """
        current_task()
        reply: Pending[Any] = Pending()
        self.mailbox.tell(make_message(reply))
        self._asked[reply] = None
        try:
            return await reply.wait()
        finally:
            del self._asked[reply]

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Handle messages until cancelled. An actor lives once: it can't be run again."""
        self.mailbox.home.settle()
        crash: Exception | None = None
        try:
            while True:
                await self.receive(await self.mailbox.drain())
        except Exception as error:
            crash = error
            raise
        finally:
            self.mailbox.close()
            for reply in list(self._asked):
                stopped = ActorStopped(f"{self.name} stopped without answering")
                stopped.__cause__ = crash
                reply.fail(stopped)
