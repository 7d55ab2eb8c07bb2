"""Leader election, as the MIT 6.5840 Raft lab examines it, at its thresholds (in simulated time)."""

from __future__ import annotations

import trio

from raft_actors import LeaderChanged, RoleChanged, RoleName
from raft_actors.testing import simulate
from tests.cluster.support import CommandLog, Commands, open_log, seeds

SETTLE_S = 2.0


@seeds(10)
async def test_initial_election(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        await cluster.wait_for_one_leader()
        await trio.sleep(0.05)
        term = cluster.agreed_term()
        assert term >= 1
        await trio.sleep(SETTLE_S)
        assert cluster.agreed_term() == term, "an election took place though nothing failed"
        await cluster.wait_for_one_leader()


@seeds(10)
async def test_reelection(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        first = await cluster.wait_for_one_leader()
        cluster.disconnect(first)
        second = await cluster.wait_for_one_leader()
        assert second != first
        # The old leader's return disturbs nothing.
        cluster.connect(first)
        leader = await cluster.wait_for_one_leader()
        # Without a quorum nobody leads ...
        other = next(name for name in cluster.node_ids if name != leader)
        cluster.disconnect(leader, other)
        await trio.sleep(SETTLE_S)
        cluster.expect_no_leader()
        # ... until there is one again,
        cluster.connect(other)
        await cluster.wait_for_one_leader()
        # and the last one's return is harmless too.
        cluster.connect(leader)
        await cluster.wait_for_one_leader()


@seeds(5)
async def test_a_node_asks_soon_after_its_start_and_deposes_nobody(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.agreed_term()
        others = [name for name in cluster.node_ids if name != leader]
        for name in others * 3:
            await cluster.restart(name)
            await trio.sleep(0.45)
            assert cluster.agreed_term() == term
        await cluster.restart(*cluster.node_ids)
        with trio.fail_after(0.4):  # the shortest election timeout
            await cluster.node("n1").wait_leader()


@seeds(5)
async def test_many_elections(seed: int) -> None:
    async with open_log(7, seed) as cluster:
        await cluster.wait_for_one_leader()
        for _ in range(10):
            cut = cluster.rng.sample(cluster.node_ids, 3)
            cluster.disconnect(*cut)
            await cluster.wait_for_one_leader()
            cluster.connect(*cut)
        await cluster.wait_for_one_leader()


@seeds(5)
async def test_sizes(seed: int) -> None:
    for size in (1, 2, 3, 5, 7):
        async with open_log(size, seed) as cluster:
            command = Commands()
            await cluster.wait_for_one_leader()
            for _ in range(3):
                await cluster.one(command(), size, retry=False)


@seeds(5)
async def test_a_bridge_node_does_not_keep_a_quorum_from_leading(seed: int) -> None:
    """Two groups that can't reach each other, and a node that reaches both: progress where a quorum is connected."""
    async with open_log(5, seed) as cluster:
        await cluster.wait_for_one_leader()
        cluster.partition({"n1", "n2"}, {"n4", "n5"})
        await cluster.one(b"across a bridge", 3)
        cluster.heal()
        await cluster.one(b"healed", 5)


@seeds(5)
async def test_a_leader_that_hears_nobody_steps_down(seed: int) -> None:
    """One-way cuts: its messages arrive, so no election would depose it; but it can't commit anything."""
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        others = [name for name in cluster.node_ids if name != leader]
        for other in others:
            cluster.network.cut(other, leader)
        await trio.sleep(SETTLE_S)
        assert cluster.node(leader).status().role is not RoleName.LEADER
        await cluster.one(b"without it", 2)


@seeds(3)
async def test_no_change_of_role_or_leader_goes_unseen(seed: int) -> None:
    """A subscriber that looks only at the end finds every change, with its term, in order."""
    async with open_log(3, seed) as cluster:
        watched = cluster.node("n1")
        async with watched.events() as events:
            for _ in range(8):
                leader = await cluster.wait_for_one_leader()
                cluster.disconnect(leader)
                await cluster.wait_for_one_leader()
                cluster.connect(leader)
            await cluster.wait_for_one_leader()
            await trio.sleep(1)
            seen = []
            while True:
                try:
                    seen.append(events.receive_nowait())
                except trio.WouldBlock:
                    break
        changes = [event for event in seen if isinstance(event, LeaderChanged)]
        terms = [event.term for event in changes]
        assert terms == sorted(terms)
        status = watched.status()
        assert changes[-1] == LeaderChanged(status.term, status.leader)
        for term, leader in cluster.facts.leaders.items():
            led_here = RoleChanged(term, RoleName.LEADER) in seen
            assert led_here == (leader == "n1")
            assert {event.leader for event in changes if event.term == term} <= {None, leader}


@seeds(3)
async def test_a_node_that_was_cut_off_for_long_changes_nothing_when_it_is_back(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.agreed_term()
        away = next(name for name in cluster.node_ids if name != leader)
        cluster.disconnect(away)
        await trio.sleep(60.0)
        assert cluster.node(away).status().role is RoleName.PRE_CANDIDATE
        cluster.connect(away)
        await trio.sleep(5.0)
        assert (cluster.leader(), cluster.agreed_term()) == (leader, term)


@seeds(5)
async def test_another_leads_at_once_when_the_leaders_process_ends(seed: int) -> None:
    async with simulate(CommandLog, seed=seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.one(b"x", 3)
        cluster.kill(leader)
        await trio.sleep(0.15)
        assert cluster.leader() not in (leader, None)


@seeds(5)
async def test_broken_connections_alone_depose_nobody(seed: int) -> None:
    async with simulate(CommandLog, seed=seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        term = cluster.agreed_term()
        for _ in range(50):
            one, other = cluster.rng.sample(cluster.node_ids, 2)
            cluster.reset_connection(one, other)
            await trio.sleep(cluster.rng.uniform(0.25, 0.5))
        assert (cluster.leader(), cluster.agreed_term()) == (leader, term)


@seeds(3)
async def test_a_voter_whose_disk_hangs_lets_nobody_stand_in_vain(seed: int) -> None:
    """It can follow a pre-vote with no vote: each election would end a term for nothing."""
    async with open_log(3, seed) as cluster:
        command = Commands()
        await cluster.one(command(), 3)
        leader = await cluster.wait_for_one_leader()
        first, second = (name for name in cluster.node_ids if name != leader)
        term = cluster.agreed_term()
        cluster.disk(first).hang()
        await cluster.one(command(), 2)
        cluster.crash(leader)
        await trio.sleep(20)
        assert cluster.node(second).status().term == term
        cluster.disk(first).mend()
        await cluster.one(command(), 2)


@seeds(3)
async def test_a_voter_whose_disk_hangs_unseen_costs_one_term(seed: int) -> None:
    """Nothing has waited for the disk: that it hangs is only seen by a vote that can't be written."""
    async with open_log(3, seed) as cluster:
        command = Commands()
        await cluster.one(command(), 3)
        leader = await cluster.wait_for_one_leader()
        first, second = (name for name in cluster.node_ids if name != leader)
        await trio.sleep(1)
        term = cluster.agreed_term()
        cluster.disk(first).hang()
        cluster.crash(leader)
        await trio.sleep(20)
        assert cluster.node(second).status().term <= term + 1
        cluster.disk(first).mend()
        await cluster.one(command(), 2)
