"""What nodes say of themselves, and what they are refused for: `Endpoint.admit` and `Endpoint.refused`."""

from __future__ import annotations

import trio

from raft_actors.raft.features import FEATURES
from raft_actors.raft.newest import Newest
from raft_actors.raft.starts import Met, Start
from raft_actors.transports.greeting import Greeting, Refusal
from tests.conformance.worlds import World
from tests.transports.support import numbered, wait_until

REFUSAL = Refusal("OTHER_INCARNATION", "nobody knows that store")


async def test_a_node_is_told_who_greets_it(world: World, nursery: trio.Nursery) -> None:
    greetings: list[Greeting] = []
    place = world.addresses["a"]
    a = world.member(
        "a", incarnation="aaaa", address=place, configuration_index=lambda: 7, configuration_term=lambda: 3
    )
    b = world.member("b", admit=greetings.append)
    await a.start(nursery)
    await b.start(nursery)
    await a.exchange(b, numbered(1))
    assert Greeting("a", "aaaa", place, 7, FEATURES, configuration_term=3) in greetings
    await b.exchange(a, numbered(2))
    assert (
        Greeting("a", "aaaa", "", 7, FEATURES, dialled=place, configuration_term=3) in greetings
    )  # and where it was reached
    assert b.peer("a").incarnation == "aaaa"


async def test_who_hears_that_it_is_an_older_copy_hears_it_before_anything_else(
    world: World, nursery: trio.Nursery
) -> None:
    """Whichever side calls; and the one that says so, to which it is no fault, is not told that it is refused."""
    met, heard, refusals = Met("bbbb", Start(9, "00000000000000aa")), list[Met](), list[str]()

    def admit(greeting: Greeting) -> Refusal | None:
        if greeting.met is None:
            return None
        heard.append(greeting.met)
        return Refusal("OLDER_STORE", "it ends")

    a = world.member("a", met={"b": met}.get, refused=lambda peer, _refusal: refusals.append(peer))
    b = world.member("b", incarnation="bbbb", admit=admit)
    await a.start(nursery)
    await b.start(nursery)

    def told() -> bool:
        a.transport.send_nowait("b", numbered(1))
        b.transport.send_nowait("a", numbered(2))
        counted = a.transport.statistics().refused_by_reason + b.transport.statistics().refused_by_reason
        return len(heard) >= 2 and counted["OLDER_STORE"] >= 2

    await wait_until(told)
    assert {*heard} == {met}
    assert (a.received, b.received, refusals) == ([], [], [])


async def test_who_is_not_admitted_reaches_nobody_and_is_told(world: World, nursery: trio.Nursery) -> None:
    refusals: list[tuple[str, Refusal]] = []

    def admit(greeting: Greeting) -> Refusal | None:
        return REFUSAL if greeting.incarnation == "other" else None

    a = world.member("a", incarnation="other", refused=lambda peer, refusal: refusals.append((peer, refusal)))
    b = world.member("b", admit=admit, configuration_index=lambda: 12, configuration_term=lambda: 4)
    c = world.member("c", incarnation="cccc")
    for member in (a, b, c):
        await member.start(nursery)

    def told() -> bool:
        a.transport.send_nowait("b", numbered(1))
        return bool(refusals)

    await wait_until(told)
    assert refusals[0][0] == "b"
    assert (refusals[0][1].reason, refusals[0][1].newest) == ("OTHER_INCARNATION", Newest(12, 4))
    assert "nobody knows that store" in refusals[0][1].detail
    refusing = b.transport.statistics()
    assert refusing.refused_by_reason["OTHER_INCARNATION"] >= 1
    assert refusing.refused_handshakes >= 1
    await c.exchange(b, numbered(2))
    assert b.received == [("c", numbered(2))]


async def test_nodes_that_leave_out_other_commands_hear_nothing_of_each_other(
    world: World, nursery: trio.Nursery
) -> None:
    a = world.member("a", skipped_commands="7: 0123456789abcdef")
    b = world.member("b", skipped_commands="7: 0123456789abcdef")
    c = world.member("c")
    for member in (a, b, c):
        await member.start(nursery)
    await a.exchange(b, numbered(1))

    def both_refused() -> bool:
        a.transport.send_nowait("c", numbered(2))
        c.transport.send_nowait("a", numbered(3))
        return all(one.transport.statistics().refused_handshakes for one in (a, c))

    await wait_until(both_refused)
    assert (a.received, c.received) == ([], [])


async def test_what_a_node_says_may_change_while_it_runs(world: World, nursery: trio.Nursery) -> None:
    index = 3
    greetings: list[Greeting] = []
    a = world.member("a", configuration_index=lambda: index)
    b = world.member("b", admit=greetings.append)
    await a.start(nursery)
    await b.start(nursery)
    await a.exchange(b, numbered(1))
    index = 4
    a.set_peers()
    a.set_peers(b=world.addresses["b"])
    await a.exchange(b, numbered(2))
    assert {3, 4} <= {greeting.configuration_index for greeting in greetings if greeting.sender == "a"}
