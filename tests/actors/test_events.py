"""Subscribing to a node's events: waiting for them, missing none while open, coming to an end."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.node.events import Event, EventHub, LeaderChanged, RoleChanged
from raft_actors.raft.transitions import RoleName

ROLE = RoleChanged(1, RoleName.FOLLOWER)
LEADER = LeaderChanged(1, "n2")


async def test_a_subscriber_waits_for_the_next_event() -> None:
    hub, got = EventHub(), list[Event]()
    async with hub.subscribe(9) as channel, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _() -> None:
            got.append(await channel.receive())

        await wait_all_tasks_blocked()
        hub.publish(ROLE)
    assert got == [ROLE]


async def test_receiving_is_a_checkpoint_even_where_an_event_waits() -> None:
    hub = EventHub()
    async with hub.subscribe(9) as channel:
        hub.publish(ROLE)
        with trio.testing.assert_checkpoints():
            await channel.receive()


async def test_a_cancelled_subscriber_loses_no_event() -> None:
    hub = EventHub()
    async with hub.subscribe(9) as channel:
        hub.publish(ROLE)
        with trio.CancelScope() as scope:
            scope.cancel()
            await channel.receive()
        assert await channel.receive() == ROLE


async def test_what_ends_the_wait_has_no_other_error_behind_it() -> None:
    """Ctrl-C, say: its traceback would begin with a WouldBlock that nobody has to know of."""
    hub, contexts = EventHub(), list[BaseException | None]()
    async with hub.subscribe(10) as events, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _() -> None:
            try:
                await events.receive()
            except trio.Cancelled as cancelled:
                contexts.append(cancelled.__context__)
                raise

        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert contexts == [None]


async def test_each_subscriber_gets_what_happens_while_it_is_open() -> None:
    hub = EventHub()
    async with hub.subscribe(9) as first:
        hub.publish(ROLE)
        async with hub.subscribe(9) as second:
            hub.publish(LEADER)
        hub.publish(ROLE)
        hub.close()
        assert [event async for event in first] == [ROLE, LEADER, ROLE]
        second.close()
        assert [event async for event in second] == [LEADER]


async def test_the_end_of_the_node_ends_those_who_wait_and_those_who_come_late() -> None:
    hub = EventHub()
    ended = trio.Event()
    async with hub.subscribe(9) as channel, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _() -> None:
            assert [event async for event in channel] == []
            ended.set()

        await wait_all_tasks_blocked()
        hub.close()
    assert ended.is_set()
    async with hub.subscribe(9) as late:
        assert [event async for event in late] == []
