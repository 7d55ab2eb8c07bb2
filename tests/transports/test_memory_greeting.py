"""How nodes of one process greet each other: as over TCP, where only that can be."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from raft_actors.transports import Faults, MemoryNetwork
from raft_actors.transports.greeting import Refusal
from tests.transports.test_memory import REQUEST, settle, start


@pytest.mark.parametrize("store", ["first", "second"])
async def test_who_is_gone_with_its_store_greets_nobody_any_more(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, store: str
) -> None:
    """Over TCP only who lives does. What was sent before a restart on the same store is taken all the same."""
    a, b = await start(MemoryNetwork(requests=Faults(delay_s=(1, 1))), nursery)
    await a.stop()
    a.endpoint = attrs.evolve(a.endpoint, incarnation="first")
    await a.start(nursery)
    a.transport.send_nowait("b", REQUEST)
    await a.stop()
    a.endpoint = attrs.evolve(a.endpoint, incarnation=store)
    await a.start(nursery)
    await settle()
    assert b.received == ([("a", REQUEST)] if store == "first" else [])


@pytest.mark.parametrize("back", [True, False])
async def test_who_is_called_is_seen_where_its_answer_gets_back(nursery: trio.Nursery, back: bool) -> None:
    """As over TCP; and who is refused hears so, for it calls, too. Where the way back is cut, nobody knows."""
    network, refusals = MemoryNetwork(), list[tuple[str, Refusal]]()
    a, b = await start(network, nursery)
    for one in (a, b):
        await one.stop()
    a.endpoint = attrs.evolve(
        a.endpoint,
        admit=lambda greeting: Refusal("OTHER_INCARNATION") if greeting.incarnation == "wrong" else None,
        configuration_index=lambda: 7,
        configuration_term=lambda: 3,
    )
    b.endpoint = attrs.evolve(
        b.endpoint, incarnation="wrong", refused=lambda peer, refusal: refusals.append((peer, refusal))
    )
    for one in (a, b):
        await one.start(nursery)
    if not back:
        network.cut("b", "a")
    a.transport.send_nowait("b", REQUEST)
    await trio.testing.wait_all_tasks_blocked()
    assert b.received == ([] if back else [("a", REQUEST)])
    assert refusals == ([("a", Refusal("OTHER_INCARNATION", "", 7, 3))] if back else [])
    assert a.transport.statistics().refused_by_reason["OTHER_INCARNATION"] == back
