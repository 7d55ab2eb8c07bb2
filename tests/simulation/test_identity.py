"""A node without its files: found out where somebody remembers it, and what comes of it where nobody does."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import trio

from raft_actors import ChangeFailed, ChangeRefused, NodeConfig, NotLeader, StoreReplaced
from raft_actors.testing import Plan, Simulation, simulate
from raft_actors.testing.lost_stores import take_in_again
from raft_actors.transports import Faults
from tests.cluster.support import CommandLog, seeds, snapshotting


async def test_a_node_without_its_files_is_found_out_by_those_who_have_met_it() -> None:
    async with simulate(CommandLog, seed=25) as cluster:
        await cluster.one(b"x", 3)
        leader = await cluster.wait_for_one_leader()
        wiped = next(name for name in cluster.node_ids if name != leader)
        cluster.crash(wiped)
        await cluster.wait_down(wiped)
        disk = cluster.disk(wiped)
        whole = disk.copy()
        disk.wipe()
        cluster.tolerated = (StoreReplaced,)
        node = await cluster.start(wiped)
        await cluster.wait_down(wiped)
        assert isinstance(node.crash, StoreReplaced)
        assert "knows 'n" in str(node.crash)
        refusing = cluster.node(leader).statistics().transport
        assert refusing.refused_by_reason["OTHER_INCARNATION"] >= 1
        await cluster.one(b"y", 2)
        disk.replace(whole, with_mark=True)
        await cluster.start(wiped)
        await cluster.one(b"z", 3)


async def test_nothing_finds_out_about_an_empty_folder_where_nobody_remembers() -> None:
    """What raft can't survive, said plainly: two of three forget a committed entry, and the cluster has lost it."""
    async with simulate(CommandLog, seed=19, invariants=()) as cluster:
        await cluster.one(b"x", 3)
        cluster.crash_all()
        for name in ("n1", "n2"):
            await cluster.wait_down(name)
            cluster.disk(name).wipe()
            await cluster.start(name)
        leader = await cluster.wait_for_one_leader()
        assert await cluster.node(leader).propose(b"y") == 1
        assert cluster.state_machine(leader).commands_applied == [b"y"]


async def test_a_voter_of_the_first_ones_without_its_files_is_found_out_though_nobody_has_met_it() -> None:
    """The members are bound to their stores in the log, once they have met, so it does not matter who was restarted."""
    async with simulate(CommandLog, seed=3) as cluster:
        await cluster.one(b"x", 3)
        await wait_until_bound(cluster)
        cluster.crash_all()
        for name in cluster.node_ids:
            await cluster.wait_down(name)
        cluster.disk("n3").wipe()
        cluster.tolerated = (StoreReplaced,)
        node = await cluster.start("n3")
        for name in ("n1", "n2"):
            await cluster.start(name)
        await cluster.wait_down("n3")
        assert isinstance(node.crash, StoreReplaced)
        assert "remove it and add it again" in str(node.crash)
        await cluster.one(b"y", 2)


async def test_an_older_copy_with_its_mark_is_found_out_by_those_who_have_met_its_node_since() -> None:
    """By whoever greets it first, though all were restarted; and it does no harm until then, nor do its own files."""
    async with simulate(CommandLog, seed=31) as cluster:
        await cluster.one(b"x", 3)
        cluster.crash("n3")
        await cluster.wait_down("n3")
        disk = cluster.disk("n3")
        older = disk.copy()
        await cluster.start("n3")
        for number in range(20):
            await cluster.one(b"%d" % number, 3)
        cluster.crash_all()
        for name in cluster.node_ids:
            await cluster.wait_down(name)
        whole = disk.copy()
        disk.replace(older, with_mark=True)
        cluster.tolerated = (StoreReplaced,)
        for name in ("n1", "n2"):
            await cluster.start(name)
        for _ in range(2):
            node = await cluster.start("n3")
            await cluster.wait_down("n3")
            assert isinstance(node.crash, StoreReplaced)
            assert "at start 2 of its store" in str(node.crash)
        await cluster.one(b"y", 2)
        disk.replace(whole, with_mark=True)
        await cluster.start("n3")
        await cluster.one(b"z", 3)


async def wait_until_bound(cluster: Simulation[bytes, int]) -> None:
    """Until the configuration names a store for every member, and all of them know that."""

    def is_bound() -> bool:
        found = [cluster.node(name).members() for name in cluster.initial_voters]
        return all(one.committed and all(known.incarnation for known in one.members.values()) for one in found)

    with trio.fail_after(30):  # noqa: ASYNC912 - what holds already need not be waited for
        while not is_bound():  # noqa: ASYNC110 - what a test waits for is no event
            await trio.sleep(0.05)


@seeds(4)
async def test_files_that_are_lost_again_and_again_are_found_out_each_time_and_each_store_is_another_member(
    seed: int,
) -> None:
    """Messages are lost and doubled meanwhile, and all invariants hold: of votes, and of stores that members keep."""
    async with simulate(CommandLog, seed=seed) as cluster:
        cluster.set_faults(Faults(drop=0.05, duplicate=0.05, reorder=0.1))
        await cluster.one(b"x", 3)
        await wait_until_bound(cluster)
        stores = {cluster.disk(name).incarnation for name in cluster.node_ids}
        cluster.tolerated = (StoreReplaced,)
        for number in range(3):
            wiped = cluster.rng.choice(cluster.node_ids)  # the leader, too
            others = {*cluster.node_ids} - {wiped}
            cluster.crash(wiped)
            await cluster.wait_down(wiped)
            cluster.disk(wiped).wipe()
            node = await cluster.start(wiped)
            with trio.fail_after(30):
                await cluster.wait_down(wiped)
            assert isinstance(node.crash, StoreReplaced)
            await change_at_last(cluster, others)
            committed = max(cluster.node(name).status().commit_index for name in others)
            await cluster.start(wiped)
            await change_at_last(cluster, cluster.node_ids)
            assert cluster.disk(wiped).state.last_index >= committed  # else it would have no vote yet
            await wait_until_bound(cluster)
            store = cluster.disk(wiped).incarnation
            assert store not in stores
            stores.add(store)
            leader = cluster.node(await cluster.wait_for_one_leader())
            assert leader.members().members[wiped].incarnation == store
            await cluster.one(b"%d" % number, 3)


@seeds(2)
async def test_a_wiped_voter_joins_again_by_itself_and_nothing_counts_that_its_old_store_held(seed: int) -> None:
    """It is back before the leader has taken leave of it; all invariants look at its new store from then on."""
    async with simulate(CommandLog, seed=seed, config=NodeConfig(rejoin_if_wiped=True)) as cluster:
        for number in range(5):
            await cluster.one(b"%d" % number, 3)
        await wait_until_bound(cluster)
        leader = await cluster.wait_for_one_leader()
        wiped = next(name for name in cluster.node_ids if name != leader)
        old = cluster.disk(wiped).incarnation
        cluster.crash(wiped)
        await cluster.wait_down(wiped)
        cluster.disk(wiped).wipe()
        assert wiped in cluster.facts.replaced
        cluster.without_store.add(wiped)
        await cluster.start(wiped)
        await take_in_again(cluster, wiped)
        assert cluster.facts.replaced == {}
        assert cluster.node(leader).members().members[wiped].incarnation not in ("", old)
        with trio.fail_after(30):  # noqa: ASYNC912 - likewise
            while wiped not in cluster.node(leader).members().voters:  # noqa: ASYNC110 - likewise
                await trio.sleep(0.05)
        cluster.crash(next(name for name in cluster.node_ids if name not in (leader, wiped)))
        await cluster.one(b"x", 2)  # so it counts again


@pytest.mark.parametrize("rejoins", [True, False])
async def test_stores_are_lost_by_plan_one_after_another_and_members_come_back_by_themselves_or_not(
    rejoins: bool,
) -> None:
    plan = Plan(config=NodeConfig(rejoin_if_wiped=rejoins), actions={"lose_store": 1.0}, gap_s=0.5)
    async with simulate(CommandLog, nodes=5, seed=3, config=plan.config) as cluster:
        await cluster.one(b"x", 5)
        await wait_until_bound(cluster)
        await cluster.inject_faults(20.0, plan)
        await cluster.check_liveness()
        stores = {name: len(found) for name, found in cluster.facts.stores.items()}
        assert sum(stores.values()) >= 5 + 3, stores
        assert not cluster.without_store
        assert not cluster.lost


async def change_at_last(
    cluster: Simulation[bytes, int], voters: Collection[str], learners: Collection[str] = ()
) -> None:
    """Ask for these voters until they are, as an operator would."""
    with trio.fail_after(120):
        while True:
            leader = await cluster.wait_for_one_leader()
            try:
                await cluster.node(leader).change_members(
                    {name: f"{name}.test:1" for name in voters},
                    {name: f"{name}.test:1" for name in learners},
                    promote=not learners,
                )
            except (NotLeader, ChangeFailed, ChangeRefused):
                await trio.sleep(0.5)
            else:
                return


# --- addresses ------------------------------------------------------------------------------------------------


async def test_a_member_that_has_moved_is_known_there_though_it_is_down_and_all_others_were_restarted() -> None:
    """Who was restarted goes by its log, who joins by the log or a snapshot, though all settings name the old place."""

    def places(member: str) -> dict[str, str | None]:
        return {name: node.members().members[member].address for name, node in cluster.nodes.items() if name != member}

    async with simulate(CommandLog, seed=5, joiners=1, config=snapshotting(4)) as cluster:
        await cluster.one(b"x", 3)
        await wait_until_bound(cluster)
        leader = await cluster.wait_for_one_leader()
        moved = "n2" if leader == "n3" else "n3"
        cluster.crash(moved)
        cluster.move(moved, "elsewhere.test:1")
        await cluster.start(moved)
        with trio.fail_after(30):  # noqa: ASYNC912 - likewise
            while {*places(moved).values()} != {"elsewhere.test:1", f"{moved}.test:1"}:  # noqa: ASYNC110 - likewise
                await trio.sleep(0.05)
        await trio.sleep(1)
        cluster.crash_all()
        for name in {"n1", "n2", "n3", "n4"} - {moved}:
            await cluster.wait_down(name)
            await cluster.start(name)
        leader = await cluster.wait_for_one_leader()
        assert cluster.node(leader).members().members[moved].incarnation == cluster.disk(moved).incarnation
        for number in range(9):
            await cluster.one(b"%d" % number, 2)
        await cluster.node(leader).change_members(learners={"n4": "n4.test:1"})
        await cluster.one(b"y", 3)
        assert places(moved) == dict.fromkeys({"n1", "n2", "n3", "n4"} - {moved}, "elsewhere.test:1")
        await cluster.start(moved)
        await cluster.one(b"z", 4)


async def test_a_leader_that_has_moved_has_it_written_where_all_settings_name_the_old_place() -> None:
    async with simulate(CommandLog, seed=5) as cluster:
        await cluster.one(b"x", 3)
        await wait_until_bound(cluster)
        leader = await cluster.wait_for_one_leader()
        moved = "n2" if leader == "n3" else "n3"

        def places() -> set[str | None]:
            return {node.members().members[moved].address for name, node in cluster.nodes.items() if name != moved}

        cluster.crash(moved)
        cluster.move(moved, "elsewhere.test:1")
        await cluster.start(moved)
        await cluster.one(b"y", 3)
        await cluster.node(leader).transfer_leadership(moved)
        assert places() == {f"{moved}.test:1"}  # the leader before had no time to write it
        with trio.fail_after(30):  # noqa: ASYNC912 - likewise
            while places() != {"elsewhere.test:1"}:  # noqa: ASYNC110 - what a node knows is no event
                await trio.sleep(0.05)
