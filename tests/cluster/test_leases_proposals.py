"""What becomes of proposals, and of members, where leaders hold leases, in a simulated cluster."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from raft_actors import LeadershipEnded, Lease, NotCommitted, NotLeader, ReadNotReady
from raft_actors.raft.roles import Leader
from raft_actors.testing import simulate
from raft_actors.testing.simulation import Simulation
from tests.cluster.membership import change, newcomers
from tests.cluster.support import CommandLog, follower, open_log, seeds
from tests.cluster.test_leases import LEASES, first_commit, next_leader, open_leased, renew


def applied(cluster: Simulation[bytes, int], name: str) -> list[bytes]:
    commands: list[bytes] = cluster.state_machine(name).commands_applied
    return commands


@seeds(5)
async def test_what_is_handed_on_to_a_new_leader_is_committed_once_after_the_wait(seed: int) -> None:
    async with open_leased(seed) as cluster:
        old = await cluster.wait_for_one_leader()
        await cluster.node(old).propose(b"x")
        cluster.isolate(old)
        new = await next_leader(cluster, old)
        elected = trio.current_time()
        [third] = set(cluster.node_ids) - {old, new}
        async with cluster.node(third).session() as session, trio.open_nursery() as nursery:
            nursery.start_soon(session.propose, b"of a session")
            assert await cluster.node(third).propose(b"handed on") in {2, 3}
            assert trio.current_time() - elected > LEASES.wait_s - 0.05
        assert sorted(applied(cluster, third)) == [b"handed on", b"of a session", b"x"]


@seeds(5)
async def test_a_deposed_leader_hears_what_became_of_it_once_its_successor_commits(seed: int) -> None:
    async with open_leased(seed) as cluster:
        old = await cluster.wait_for_one_leader()
        await cluster.node(old).propose(b"x")
        await renew(cluster, old)
        cluster.isolate(old)
        async with trio.open_nursery() as nursery:

            async def lose() -> None:
                with pytest.raises(NotCommitted):
                    await cluster.node(old).propose(b"lost")
                assert applied(cluster, old) == [b"x", b"y"]

            nursery.start_soon(lose)
            new = await next_leader(cluster, old)
            cluster.partition()
            await cluster.node(new).propose(b"y")


@seeds(5)
async def test_a_leader_that_is_removed_gives_its_lease_up_and_nobody_waits(seed: int) -> None:
    async with simulate(CommandLog, nodes=3, joiners=1, seed=seed, leases=LEASES) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).propose(b"x")
        await renew(cluster, leader)
        stay = sorted({"n1", "n2", "n3"} - {leader})
        await cluster.node(leader).change_members(newcomers(*stay, "n4"))
        new = await next_leader(cluster, leader)
        assert await first_commit(cluster, new) < 0.3
        with pytest.raises((NotLeader, ReadNotReady)):
            cluster.node(leader).read_nowait(lambda _: None, Lease())


@seeds(5)
async def test_lease_reads_go_on_while_members_change(seed: int) -> None:
    async with simulate(CommandLog, nodes=3, joiners=2, seed=seed, leases=LEASES) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).propose(b"x")
        await renew(cluster, leader)
        async with trio.open_nursery() as nursery:

            async def read_on() -> None:
                while True:
                    await cluster.node(leader).read(lambda _: None, Lease())
                    await trio.sleep(0.01)

            nursery.start_soon(read_on)
            members = await change(cluster, {leader, "n4", "n5"})
            assert members.voters == {leader, "n4", "n5"}
            await renew(cluster, leader)
            nursery.cancel_scope.cancel()
        # From now on it takes a majority of the new ones.
        cluster.isolate(leader)
        await trio.sleep(LEASES.duration_s)
        with pytest.raises((NotLeader, ReadNotReady)):
            cluster.node(leader).read_nowait(lambda _: None, Lease())


@seeds(5)
async def test_what_is_proposed_in_one_leadership_is_handed_on_to_no_other(seed: int) -> None:
    """Neither where it was held while leadership was handed over, nor where it came too late."""
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        node, other = cluster.node(leader), follower(cluster, leader)
        async with trio.open_nursery() as nursery, node.while_leading() as leadership:
            role = leadership.leader
            assert isinstance(role, Leader)

            async def propose_late() -> None:
                while role.transfer is None:  # noqa: ASYNC110 - it is no event
                    await trio.sleep(0.0002)
                with pytest.raises((NotLeader, LeadershipEnded)):
                    await leadership.propose(b"late")

            async def propose_first() -> None:
                with suppress(NotLeader):  # it is of this term, too
                    await node.propose(b"x")

            nursery.start_soon(propose_late)
            nursery.start_soon(propose_first)
            nursery.start_soon(node.transfer_leadership, other)
            await trio.sleep(3600)
        await cluster.one(b"y", 3)
        assert b"late" not in [entry.command for entry in cluster.facts.history]
