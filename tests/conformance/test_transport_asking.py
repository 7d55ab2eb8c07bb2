"""Operators and nodes that want to join: `Transport.ask` and `Endpoint.operate`."""

from __future__ import annotations

import pytest
import trio

from raft_actors.errors import Unreachable
from raft_actors.transports.conversation import Caller
from tests.conformance.worlds import World
from tests.transports.support import numbered


def where(world: World, node_id: str) -> str:
    return world.addresses[node_id] if world.network is None else node_id


async def echo(request: bytes, caller: Caller) -> bytes:
    await trio.lowlevel.checkpoint()
    return b"did " + request + (b" for somebody" if caller.name else b" for nobody")


async def test_a_node_does_what_it_is_asked_for(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b", operate=echo)
    await a.start(nursery)
    await b.start(nursery)
    assert await a.transport.ask(where(world, "b"), b"this") == b"did this for somebody"
    large = bytes(4_000)
    assert large in await a.transport.ask(where(world, "b"), large)
    await a.exchange(b, numbered(1))  # and messages go on


async def test_who_is_no_peer_may_ask_too(world: World, nursery: trio.Nursery) -> None:
    b, stranger = world.member("b", peers="ab", operate=echo), world.member("c", cluster_id="another", peers="c")
    await b.start(nursery)
    assert await stranger.transport.ask(where(world, "b"), b"this") == b"did this for somebody"


async def test_nobody_answers(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a"), world.member("b")
    await a.start(nursery)
    with pytest.raises(Unreachable):
        await a.transport.ask(where(world, "b"), b"nobody is there")
    await b.start(nursery)
    with pytest.raises(Unreachable):
        await a.transport.ask(where(world, "b"), b"one that does nothing for operators")


async def test_who_asks_may_give_up(world: World, nursery: trio.Nursery) -> None:
    asked, gave_up = trio.Event(), trio.Event()

    async def never(_request: bytes, _caller: Caller) -> bytes:
        asked.set()
        try:
            await trio.sleep_forever()
        finally:
            gave_up.set()

    a, b = world.member("a"), world.member("b", operate=never)
    await a.start(nursery)
    await b.start(nursery)
    with trio.fail_after(60):
        async with trio.open_nursery() as asking:
            asking.start_soon(a.transport.ask, where(world, "b"), b"this")
            await asked.wait()
            asking.cancel_scope.cancel()
        await gave_up.wait()
