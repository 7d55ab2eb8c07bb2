"""A node whose store somebody refuses: who is right, and what it does until that is known."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import trio

from raft_actors import Node, NodeConfig, RoleName, StoreReplaced
from raft_actors.testing import Simulation, simulate
from raft_actors.testing.lost_stores import take_in_again
from tests.cluster.support import CommandLog, seeds
from tests.simulation.test_identity import change_at_last, wait_until_bound


async def test_who_missed_a_removal_does_not_go_back_to_the_store_before() -> None:
    """It met the first store, and learns the second one from the log, without looking in between; and then at once that
    the member left and came back with no store named.
    """
    async with simulate(CommandLog, nodes=5, seed=7) as cluster:
        wiped, away = "n5", "n4"
        await cluster.one(b"x", 5)
        await lead(cluster, away)  # so it meets all others
        await wait_until_bound(cluster)
        cluster.isolate(away)
        await change_stores(cluster, wiped)
        cluster.heal()
        second = cluster.disk(wiped).incarnation
        await wait_until(lambda: cluster.node(away).members().members[wiped].incarnation == second)
        cluster.isolate(away)
        cluster.crash(wiped)
        await cluster.wait_down(wiped)
        await change_at_last(cluster, {*cluster.node_ids} - {wiped})
        await change_at_last(cluster, {*cluster.node_ids} - {wiped}, learners={wiped})
        cluster.heal()
        await wait_until(lambda: wiped in cluster.node(away).members().learners)
        assert not cluster.node(away).members().members[wiped].incarnation
        await lead(cluster, away)
        await cluster.start(wiped)
        await cluster.one(b"y", 5)
        await wait_until(lambda: cluster.node(away).members().members[wiped].incarnation == second)
        assert not cluster.node(away).statistics().transport.refused_by_reason


@seeds(3)
async def test_who_is_refused_stands_for_nobody_while_it_asks_whether_that_is_right(seed: int) -> None:
    """It has lost its files, and nobody will tell it soon: one that may know better is down. Others would elect it."""
    async with simulate(CommandLog, nodes=5, seed=seed) as cluster:
        node = await refuse_a_wiped_voter(cluster)
        await wait_until(lambda: bool(refusals(cluster, "n1")))
        cluster.mend_cut({"n3"}, {"n2", "n5"})
        cluster.mend_cut({"n2", "n5"}, {"n3"})
        await wait_until(lambda: node.crash is not None)
        assert isinstance(node.crash, StoreReplaced)
        assert [cluster.node(name).status().leader for name in ("n2", "n5")] == [None, None]


async def test_who_leads_and_is_refused_ends() -> None:
    """It would name its own store, and believe that. That it was elected is what nobody could find out."""
    async with simulate(CommandLog, nodes=5, seed=1, invariants=()) as cluster:
        node = await refuse_a_wiped_voter(cluster, tells=False)
        cluster.mend_cut({"n3"}, {"n2", "n5"})
        cluster.mend_cut({"n2", "n5"}, {"n3"})
        await wait_until(lambda: node.status().role is RoleName.LEADER)
        assert not node.members().members["n3"].incarnation
        cluster.mend_cut({"n1"}, {"n3"})
        cluster.mend_cut({"n3"}, {"n1"})
        await wait_until(lambda: node.crash is not None)
        assert isinstance(node.crash, StoreReplaced)


async def refuse_a_wiped_voter(cluster: Simulation[bytes, int], *, tells: bool = True) -> Node[Any]:
    """Have n1, of three voters that know each other and an entry, be the only one to know that n3 has lost its files.

    n4 knows it and is down; n2 and n5 have missed everything, and are not reached by anybody yet. `tells`: n3 can hear
    n1, and is told.
    """
    cluster.partition({"n1", "n3", "n4"}, {"n2"}, {"n5"})
    await cluster.one(b"x", 3)
    met = ("n1", "n3", "n4")
    found = [cluster.node(name) for name in met]
    await wait_until(lambda: all(one.members().committed and names(one, met) for one in found))
    for name in ("n2", "n5"):
        await cluster.restart(name)  # it has met nobody
    for name in ("n3", "n4"):
        cluster.crash(name)
        await cluster.wait_down(name)
    cluster.disk("n3").wipe()
    cluster.tolerated = (StoreReplaced,)
    cluster.heal()
    for one in ("n1", "n3"):
        cluster.cut({one}, {"n2", "n5"})
        cluster.cut({"n2", "n5"}, {one})
    cluster.cut({"n1"}, {"n3"})
    if not tells:
        cluster.cut({"n3"}, {"n1"})
    return await cluster.start("n3")


def names(node: Node[Any], members: Collection[str]) -> bool:
    """Whether its configuration names the stores of these."""
    return all(node.members().members[member].incarnation for member in members)


def refusals(cluster: Simulation[bytes, int], name: str) -> int:
    """How often a node has refused one for its store."""
    return cluster.node(name).statistics().transport.refused_by_reason["OTHER_INCARNATION"]


@seeds(3)
async def test_who_was_removed_can_not_end_a_node_that_was_admitted_since(seed: int) -> None:
    """Not though that one starts anew before its log tells: what it has of it names the store before."""

    def stored_name() -> str:
        known = cluster.stored_configuration_of(wiped)
        return "" if known is None else known.configuration.members[wiped].incarnation

    async with simulate(CommandLog, nodes=5, seed=seed, config=NodeConfig(max_append_bytes=500)) as cluster:
        leader = await cluster.wait_for_one_leader()
        removed, wiped = [name for name in cluster.node_ids if name != leader][:2]
        await cluster.one(b"x", 5)
        await wait_until_bound(cluster)
        first = cluster.disk(wiped).incarnation
        cluster.isolate(removed)
        for number in range(50):
            await cluster.one(b"%d" % number * 100, 4)
        rest = {*cluster.node_ids} - {removed, wiped}
        await change_at_last(cluster, rest)
        cluster.crash(wiped)
        await cluster.wait_down(wiped)
        cluster.disk(wiped).wipe()
        cluster.without_store.add(wiped)
        for other in cluster.node_ids:
            cluster.slow_link(wiped, other, 3_000.0)
        await cluster.start(wiped)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_in_again, cluster, wiped)
            await wait_until(lambda: bool(stored_name()))
            cluster.crash(wiped)
            await cluster.wait_down(wiped)
            cluster.without_store.clear()  # nothing may end it now
            assert stored_name() == first
            cluster.heal()
            cluster.cut({removed}, rest)
            cluster.cut(rest, {removed})
            await cluster.start(wiped)
            await wait_until(lambda: bool(refusals(cluster, removed)))
        await cluster.one(b"y", 4)
        assert stored_name() == cluster.disk(wiped).incarnation != first


async def change_stores(cluster: Simulation[bytes, int], name: str) -> None:
    """Have a member lose its files, leave, and be a member again with the store that it has then."""
    cluster.crash(name)
    await cluster.wait_down(name)
    cluster.disk(name).wipe()
    cluster.without_store.add(name)
    await change_at_last(cluster, {*cluster.node_ids} - {name})
    await cluster.start(name)
    await take_in_again(cluster, name)


async def lead(cluster: Simulation[bytes, int], name: str) -> None:
    """Have a node lead."""
    leader = await cluster.wait_for_one_leader()
    if leader != name:
        await cluster.node(leader).transfer_leadership(name)


async def wait_until(holds: Callable[[], bool]) -> None:
    """Until it does."""
    with trio.fail_after(30):  # noqa: ASYNC912 - what holds already need not be waited for
        while not holds():  # noqa: ASYNC110 - what a test waits for is no event
            await trio.sleep(0.05)
