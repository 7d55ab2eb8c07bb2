"""The actor layer: mailbox, tell, ask, run, crash, stop."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.actors import actor
from raft_actors.actors.actor import Actor, ActorStopped, Mailbox, MailboxFull, MailboxStatistics
from raft_actors.actors.pending import Pending


@attrs.frozen
class Get:
    """Ask for the sum."""

    reply: Pending[Any]


class Adder(Actor[int | Get]):
    """Adds what it is told; crashes on a negative number; never answers while `silent`."""

    def __init__(self, capacity: int = 3) -> None:
        super().__init__(name="adder", capacity=capacity)
        self.total = 0
        self.turns: list[int] = []
        self.silent = False

    async def receive(self, messages: list[int | Get]) -> None:
        self.turns.append(len(messages))
        for message in messages:
            if isinstance(message, Get):
                if not self.silent:
                    message.reply.resolve(self.total)
            elif message < 0:
                raise ValueError("negative")
            else:
                self.total += message


# --- tell -----------------------------------------------------------------------------------------------------


async def test_handles_what_it_is_told_in_order_and_all_that_waits_at_once() -> None:
    adder = Adder()
    for number in (1, 2, 3):
        adder.tell(number)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(adder.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert (adder.total, adder.turns) == (6, [3])


async def test_tell_refuses_what_does_not_fit_and_counts_it() -> None:
    adder = Adder(capacity=1)
    adder.tell(1)
    with pytest.raises(MailboxFull, match=r"the mailbox of adder is full \(1 messages wait\)"):
        adder.tell(2)
    with pytest.raises(trio.WouldBlock):
        adder.tell(3)
    assert adder.mailbox.statistics() == MailboxStatistics(waiting=1, capacity=1, refused=2)


async def test_a_crash_leaves_run_as_it_is() -> None:
    adder = Adder()
    adder.tell(-1)
    with pytest.raises(ValueError, match="negative"):
        await adder.run()


@pytest.mark.parametrize("crash", [True, False])
async def test_nothing_can_be_told_to_an_actor_that_has_ended(crash: bool) -> None:
    adder = Adder()
    if crash:
        adder.tell(-1)
        with pytest.raises(ValueError, match="negative"):
            await adder.run()
    else:
        with trio.CancelScope() as scope:  # noqa: ASYNC912 - the actor's run has one
            scope.cancel()
            await adder.run()
    with pytest.raises(ActorStopped, match="adder has stopped"):
        adder.tell(1)
    with pytest.raises(ActorStopped, match="adder has stopped"):
        await adder.ask(Get)


# --- ask ------------------------------------------------------------------------------------------------------


async def test_ask_waits_for_the_answer() -> None:
    adder = Adder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(adder.run)
        adder.tell(3)
        assert await adder.ask(Get) == 3
        nursery.cancel_scope.cancel()


async def test_ask_refuses_what_does_not_fit() -> None:
    adder = Adder(capacity=1)
    adder.tell(1)
    with pytest.raises(MailboxFull):
        await adder.ask(Get)


async def test_ask_fails_when_the_actor_crashes_before_it_answers() -> None:
    adder = Adder()
    adder.silent = True
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError), pytest.RaisesExc(ActorStopped, match="without answering")):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                with trio.CancelScope(shield=True):
                    await adder.ask(Get)

            await wait_all_tasks_blocked()
            nursery.start_soon(adder.run)
            await wait_all_tasks_blocked()
            adder.tell(-1)


async def test_an_ask_that_is_cancelled_leaves_nothing_behind() -> None:
    adder = Adder()
    with trio.CancelScope() as scope:
        scope.cancel()
        await adder.ask(Get)
    assert not adder._asked
    async with trio.open_nursery() as nursery:
        nursery.start_soon(adder.run)
        await wait_all_tasks_blocked()  # it answers, and nobody listens
        nursery.cancel_scope.cancel()


# --- mailboxes ------------------------------------------------------------------------------------------------


async def test_a_drain_takes_no_more_than_a_bounded_number() -> None:
    mailbox: Mailbox[int] = Mailbox(name="m", capacity=10_000)
    for number in range(10_000):
        mailbox.tell(number)
    taken = [await mailbox.drain() for _ in range(3)]
    assert [len(messages) for messages in taken] == [4096, 4096, 1808]
    assert [message for messages in taken for message in messages] == list(range(10_000))


async def test_receive_waits_and_receive_nowait_does_not() -> None:
    mailbox: Mailbox[int] = Mailbox(name="m", capacity=2)
    with pytest.raises(trio.WouldBlock):
        mailbox.receive_nowait()
    mailbox.tell(1)
    mailbox.tell(2)
    assert mailbox.receive_nowait() == 1
    assert await mailbox.receive() == 2


async def test_tell_when_room_waits_for_room() -> None:
    mailbox: Mailbox[int] = Mailbox(name="m", capacity=1)
    mailbox.tell(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.tell_when_room, 2)
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        assert await mailbox.drain() == [1, 2]


async def test_closing_gives_back_what_nobody_will_read() -> None:
    mailbox: Mailbox[int] = Mailbox(name="m", capacity=3)
    mailbox.tell(1)
    mailbox.tell(2)
    assert mailbox.close() == [1, 2]
    assert mailbox.close() == []
    with pytest.raises(ActorStopped, match="m has stopped"):
        mailbox.tell(3)
    with pytest.raises(ActorStopped, match="m has stopped"):
        await mailbox.tell_when_room(3)


async def test_closing_turns_away_those_who_wait_for_room() -> None:
    mailbox: Mailbox[int] = Mailbox(name="m", capacity=0)
    with pytest.RaisesGroup(pytest.RaisesExc(ActorStopped)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mailbox.tell_when_room, 1)
            await wait_all_tasks_blocked()
            assert mailbox.close() == []


# --- mailboxes that are served -----------------------------------------------------------------------------------


class Server:
    """Serves a mailbox: notes what it handles, and by whose task."""

    def __init__(self, capacity: int = 3) -> None:
        self.mailbox: Mailbox[int] = Mailbox(name="m", capacity=capacity)
        self.handled: list[int] = []
        self.tasks: list[trio.lowlevel.Task] = []
        self.then: Callable[[int], str | None] = lambda _message: None
        self.ended: list[str] = []

    def handle(self, message: int) -> str | None:
        self.handled.append(message)
        self.tasks.append(trio.lowlevel.current_task())
        return self.then(message)

    async def serve(self) -> None:
        self.ended.append(await self.mailbox.serve(self.handle))


async def test_what_waits_is_handled_in_order_by_the_reader() -> None:
    server = Server()
    server.mailbox.tell(1)
    server.mailbox.tell_at_once(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert server.handled == [1, 2]
    assert trio.lowlevel.current_task() not in server.tasks


async def test_where_nothing_waits_a_message_is_handled_before_its_teller_goes_on() -> None:
    server = Server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        await wait_all_tasks_blocked()
        for number in (1, 2):
            server.mailbox.tell_at_once(number)
            assert server.handled[-1] == number
        assert server.tasks == [trio.lowlevel.current_task()] * 2
        nursery.cancel_scope.cancel()


async def test_a_message_does_not_overtake_one_that_waits() -> None:
    server = Server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        await wait_all_tasks_blocked()
        server.mailbox.tell(1)
        server.mailbox.tell_at_once(2)
        assert server.handled == []
        await wait_all_tasks_blocked()
        assert server.handled == [1, 2]
        nursery.cancel_scope.cancel()


async def test_what_handling_brings_about_is_handled_after_it() -> None:
    server = Server()

    def tell_more(message: int) -> None:
        if message < 3:
            server.mailbox.tell_at_once(message + 1)
            assert server.handled[-1] == message

    server.then = tell_more
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        await wait_all_tasks_blocked()
        server.mailbox.tell_at_once(1)
        await wait_all_tasks_blocked()
        assert server.handled == [1, 2, 3]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("at_once", [True, False])
async def test_serving_ends_with_what_handling_returned_and_leaves_the_rest(at_once: bool) -> None:
    server = Server()
    server.then = lambda message: "the end" if message == 2 else None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        await wait_all_tasks_blocked()
        for number in (1, 2, 3):
            (server.mailbox.tell_at_once if at_once else server.mailbox.tell)(number)
    assert (server.handled, server.ended) == ([1, 2], ["the end"])
    assert server.mailbox.receive_nowait() == 3


async def test_what_handling_raises_meets_the_reader_and_not_the_teller() -> None:
    server = Server()

    def fail(_message: int) -> None:
        raise ValueError("bad message")

    server.then = fail
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="bad message")):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve)
            await wait_all_tasks_blocked()
            server.mailbox.tell_at_once(1)
            server.mailbox.tell_at_once(2)  # the teller goes on; but this one is not handled any more
    assert server.handled == [1]


async def test_nothing_is_handled_once_the_reader_is_cancelled() -> None:
    server = Server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        server.mailbox.tell_at_once(1)
    assert server.handled == []


async def test_a_reader_that_is_cancelled_while_a_message_is_handled_ends() -> None:
    server = Server()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        await wait_all_tasks_blocked()
        server.then = lambda _message: nursery.cancel_scope.cancel()
        server.mailbox.tell_at_once(1)
        server.mailbox.tell_at_once(2)
    assert server.handled == [1]


async def test_a_reader_that_serves_is_woken_by_one_that_waited_for_room() -> None:
    server = Server(capacity=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        await wait_all_tasks_blocked()
        await server.mailbox.tell_when_room(1)
        await server.mailbox.tell_when_room(2)
        await wait_all_tasks_blocked()
        assert server.handled == [1, 2]
        nursery.cancel_scope.cancel()


# --- the example ----------------------------------------------------------------------------------------------


async def test_the_example_of_the_modules_text_ends_with_the_sum() -> None:
    assert actor.__doc__ is not None
    example = textwrap.dedent(actor.__doc__[actor.__doc__.index("    @attrs.frozen") :])
    classes, life = example.split("async with trio.open_nursery()")
    names: dict[str, Any] = {"Actor": Actor, "Pending": Pending, "attrs": attrs, "trio": trio}
    program = f"{classes}\nasync def main():\n" + textwrap.indent(
        f"async with trio.open_nursery(){life}\nreturn total\n", "    "
    )
    exec(program, names)
    with trio.fail_after(5):
        assert await names["main"]() == 3


async def test_an_ask_of_an_actor_that_crashes_tells_what_it_crashed_with() -> None:
    class Crashing(Adder):
        async def receive(self, messages: list[int | Get]) -> None:
            raise ValueError("negative")

    adder = Crashing()
    with pytest.RaisesGroup(ValueError):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                with trio.CancelScope(shield=True), pytest.raises(ActorStopped) as stopped:
                    await adder.ask(Get)
                assert repr(stopped.value.__cause__) == "ValueError('negative')"

            await wait_all_tasks_blocked()
            nursery.start_soon(adder.run)


async def test_a_mailbox_knows_how_much_waits_in_it() -> None:
    mailbox: Mailbox[int] = Mailbox(name="a mailbox", capacity=2)
    mailbox.tell(1)
    mailbox.tell(2)
    with pytest.raises(MailboxFull):
        mailbox.tell(3)
    assert mailbox.waiting == 2
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mailbox.tell_when_room, 3)
        await wait_all_tasks_blocked()
        assert mailbox.receive_nowait() == 1
    assert mailbox.waiting == 2
    assert await mailbox.receive() == 2
    assert mailbox.waiting == 1
    assert await mailbox.drain() == [3]
    assert mailbox.waiting == 0
    mailbox.tell(4)
    assert mailbox.close() == [4]
    assert mailbox.waiting == 0
