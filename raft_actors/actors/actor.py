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
from typing import Any, Generic, TypeVar, cast

import outcome
import trio

from raft_actors.actors.home_thread import HomeThread, current_task
from raft_actors.actors.pending import WOKEN, Pending
from raft_actors.errors import RaftError
from raft_actors.records import frozen

M = TypeVar("M")
R = TypeVar("R")

_DRAIN_LIMIT = 4096


class MailboxFull(RaftError, trio.WouldBlock):
    """The mailbox holds as many messages as it may: nothing was left in it."""


class ActorStopped(RaftError):
    """The actor has ended: it takes no messages, and will answer none."""


@frozen
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
        waiting: messages in it; one whose teller waited for room may be counted a moment late.
    """

    # Of a reader that serves: its task while it waits, and its handler while nothing waits before what is told next.

    def __init__(self, *, name: str, capacity: int) -> None:
        self.name = name
        self._capacity = capacity
        self._refused = 0
        self.home: HomeThread = HomeThread(name)
        self.waiting: int = 0
        self._sender, self._receiver = trio.open_memory_channel[M](capacity)
        self._reader: trio.lowlevel.Task | None = None
        self._handle: Callable[[M], Any] | None = None
        self._told = False

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
        self.waiting += 1
        self._told = True
        if self._handle is not None:
            self._let_reader_go()

    @trio.lowlevel.enable_ki_protection
    def tell_at_once(self, message: M) -> None:
        """Have a message handled before this returns, where its reader `serve`s and nothing is before it; else `tell`.

        What the handler raises, and what ends the serving, reaches the reader, and never the caller.

        Raises:
            MailboxFull, ActorStopped, UsageError: as `tell` does.
        """
        handle = self._handle
        if handle is None:
            self.tell(message)
            return
        self.home.check()
        # Not to be entered again: what the handler brings about waits for its end, as if its task did the handling.
        self._handle, self._told = None, False
        try:
            ended = handle(message)
        except BaseException as error:  # noqa: BLE001, ASYNC103 - raised by the reader's task, whose handler it is
            self._let_reader_go(outcome.Error(error))
            return  # noqa: ASYNC104
        if ended is not None:
            self._let_reader_go(outcome.Value(ended))
        elif self._told:
            self._let_reader_go()
        elif self._reader is not None:
            self._handle = handle

    def _let_reader_go(self, result: outcome.Outcome[Any] = WOKEN) -> None:
        """Have the reader go on with this: what ended its serving, or (`WOKEN`) to look at what waits."""
        reader, self._reader, self._handle = self._reader, None, None
        if reader is not None:
            trio.lowlevel.reschedule(reader, result)

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
        self.waiting += 1
        self._told = True
        if self._handle is not None:
            self._let_reader_go()

    @trio.lowlevel.enable_ki_protection
    async def serve(self, handle: Callable[[M], R | None]) -> R:
        """Have messages handled, one after the other, until handling one returns something, and return that.

        While nothing waits, `tell_at_once` has the handler called in the teller's task: a turn of the reader would cost
        more than most messages do. Nothing is handled any more once this task was cancelled.
        """
        receive = self._receiver.receive_nowait
        while True:
            await trio.lowlevel.checkpoint_if_cancelled()
            try:
                message = receive()
            except trio.WouldBlock:
                ended = await self._wait_serving(handle)
            else:
                self.waiting -= 1
                ended = handle(message)
                del message  # what it holds must not live until the next one comes
                if ended is None:
                    await trio.lowlevel.checkpoint()
            if ended is not None:
                return ended

    async def _wait_serving(self, handle: Callable[[M], R | None]) -> R | None:
        """Wait until a message waits, or the handler, called by tellers, has returned something."""

        def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._reader = self._handle = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._reader, self._handle = trio.lowlevel.current_task(), handle
        return cast("R | None", await trio.lowlevel.wait_task_rescheduled(give_up))

    async def receive(self) -> M:
        """Wait for the next message and take it."""
        message = await self._receiver.receive()
        self.waiting -= 1
        return message

    def receive_nowait(self) -> M:
        """Take the next message.

        Raises:
            trio.WouldBlock: none waits.
        """
        message = self._receiver.receive_nowait()
        self.waiting -= 1
        return message

    async def drain(self) -> list[M]:
        """Wait for a message, then take all that wait (bounded, so that a busy sender can't hold the reader here)."""
        messages = [await self._receiver.receive()]
        take = self._receiver.receive_nowait
        try:
            while len(messages) < _DRAIN_LIMIT:
                messages.append(take())
        except trio.WouldBlock:
            pass
        self.waiting -= len(messages)
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
        self.waiting = 0
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
