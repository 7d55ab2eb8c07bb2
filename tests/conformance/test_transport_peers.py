"""Peers that come, go and move while a transport runs: the contract of `Transport.set_peers`."""

from __future__ import annotations

import trio

from tests.conformance.worlds import World
from tests.transports.support import Member, numbered, wait_until


async def started(world: World, nursery: trio.Nursery, *members: tuple[str, str]) -> list[Member]:
    """Members that run; each is its id and its peers'."""
    made = [world.member(node_id, peers=peers) for node_id, peers in members]
    for member in made:
        await member.start(nursery)
    return made


async def test_a_new_peer_is_reached(world: World, nursery: trio.Nursery) -> None:
    a, c = await started(world, nursery, ("a", "ab"), ("c", "ca"))
    assert not a.transport.send_nowait("c", numbered(1))
    a.set_peers(b=world.addresses["b"], c=world.addresses["c"])
    await a.exchange(c, numbered(2))
    await c.exchange(a, numbered(3))
    assert (a.peer("c").sent_messages, a.peer("c").received_messages) == (1, 1)


async def test_a_peer_that_is_one_no_more_is_parted_from(world: World, nursery: trio.Nursery) -> None:
    a, b, c = await started(world, nursery, ("a", "abc"), ("b", "abc"), ("c", "abc"))
    await a.exchange(b, numbered(1))
    await b.exchange(a, numbered(2))
    a.set_peers(c=world.addresses["c"])
    assert set(a.transport.statistics().peers) == {"c"}
    assert not a.transport.send_nowait("b", numbered(3))

    def refused() -> bool:
        b.transport.send_nowait("a", numbered(4))
        return a.transport.statistics().refused_handshakes > 0

    await wait_until(refused)
    await a.exchange(c, numbered(5))
    assert a.received == [("b", numbered(2))]
    assert b.received == [("a", numbered(1))]


async def test_who_stays_notices_nothing(world: World, nursery: trio.Nursery) -> None:
    a, b, _c = await started(world, nursery, ("a", "abc"), ("b", "abc"), ("c", "abc"))
    await a.exchange(b, numbered(1))
    await b.exchange(a, numbered(2))
    before = a.peer("b")
    a.set_peers(b=world.addresses["b"])
    assert a.peer("b") == before
    assert a.transport.send_nowait("b", numbered(3))  # at once: the connection stands
    assert await b.inbox.receive() == ("a", numbered(3))
    assert b.transport.send_nowait("a", numbered(4))
    while ("b", numbered(4)) not in a.received:
        await a.inbox.receive()
    assert a.peer("b").connects == before.connects


async def test_who_was_parted_from_may_come_back(world: World, nursery: trio.Nursery) -> None:
    a, b = await started(world, nursery, ("a", "ab"), ("b", "ab"))
    await a.exchange(b, numbered(1))
    a.set_peers()
    a.set_peers(b=world.addresses["b"])
    assert a.peer("b").sent_messages == 0  # counted anew
    await a.reach(b, numbered(2))
    await b.reach(a, numbered(3))


async def test_nobody_is_told_that_a_peer_was_lost_which_is_one_no_more(world: World, nursery: trio.Nursery) -> None:
    lost: list[str] = []
    a, b = world.member("a", peers="ab", lost=lost.append), world.member("b", peers="ab")
    await a.start(nursery)
    await b.start(nursery)
    await a.exchange(b, numbered(1))
    await b.exchange(a, numbered(2))
    a.set_peers()
    await b.stop()
    for _ in range(100):
        await trio.lowlevel.checkpoint()
    assert lost == []


async def test_peers_that_are_set_while_it_does_not_run_change_nothing(world: World, nursery: trio.Nursery) -> None:
    a, b = world.member("a", peers="ab"), world.member("b", peers="ab")
    await b.start(nursery)
    a.transport.set_peers({"c": world.addresses["c"]})
    await a.start(nursery)
    await a.exchange(b, numbered(1))
    await a.stop()
    a.transport.set_peers({})
    assert set(a.transport.statistics().peers) == {"b"}
