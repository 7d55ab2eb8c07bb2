"""Leases of leaders, and what goes on only while a node leads, in a simulated cluster."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractAsyncContextManager, suppress

import pytest
import trio

from raft_actors import (
    ConfigurationError,
    LeadershipEnded,
    Lease,
    Leases,
    Local,
    NodeConfig,
    NotLeader,
    ReadNotReady,
    RoleName,
    TransferError,
    TransferFailed,
)
from raft_actors.node.leadership import Leadership
from raft_actors.testing import simulate
from raft_actors.testing.simulation import Simulation
from tests.cluster.support import CommandLog, follower, open_log, seeds

DURATION_S = 1.0
LEASES = Leases(DURATION_S, clock_error=0.05)

Cluster = Simulation[bytes, int]


def open_leased(seed: int, *, nodes: int = 3, config: NodeConfig | None = None) -> AbstractAsyncContextManager[Cluster]:
    return simulate(CommandLog, nodes=nodes, seed=seed, config=config, leases=LEASES)


def questions(cluster: Cluster) -> int:
    return cluster.network.statistics().sent["ConfirmLeader"]


async def renew(cluster: Cluster, leader: str) -> None:
    """Have the leader hold a lease."""
    assert await cluster.node(leader).read(lambda _: "read", Lease()) == "read"
    await trio.sleep(0.05)


async def next_leader(cluster: Cluster, old: str) -> str:
    """Who leads instead, as soon as it does."""
    while True:
        for name, node in cluster.nodes.items():
            if name != old and node.status().role is RoleName.LEADER:
                return name
        await trio.sleep(0.01)


async def first_commit(cluster: Cluster, leader: str) -> float:
    """How long this new leader takes to commit something."""
    began = trio.current_time()
    await cluster.node(leader).propose(b"first")
    return trio.current_time() - began


@seeds(3)
async def test_under_a_lease_nobody_is_asked(seed: int) -> None:
    async with open_leased(seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).propose(b"x")
        await renew(cluster, leader)
        before = questions(cluster)
        for _ in range(100):
            assert await cluster.node(leader).read(lambda log: log.inner.commands_applied, Lease()) == [b"x"]
            assert cluster.node(leader).read_nowait(lambda log: log.inner.commands_applied, Lease()) == [b"x"]
        assert questions(cluster) == before


@seeds(3)
async def test_an_idle_lease_that_is_used_is_renewed_and_one_that_is_not_runs_out(seed: int) -> None:
    async with open_leased(seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await renew(cluster, leader)
        for _ in range(50):
            cluster.node(leader).read_nowait(lambda _: None, Lease())
            await trio.sleep(0.1)
        await trio.sleep(2 * DURATION_S)
        with pytest.raises(ReadNotReady, match="no lease"):
            cluster.node(leader).read_nowait(lambda _: None, Lease())


@seeds(5)
async def test_a_new_leader_commits_nothing_while_the_old_lease_may_run_and_reads_at_once(seed: int) -> None:
    async with open_leased(seed) as cluster:
        old = await cluster.wait_for_one_leader()
        await cluster.node(old).propose(b"x")
        await renew(cluster, old)
        await trio.sleep(0.5)
        cluster.isolate(old)
        await trio.sleep(0.02)
        assert cluster.node(old).read_nowait(lambda log: len(log.inner.commands_applied), Lease()) == 1
        cut_at = trio.current_time()
        new = await next_leader(cluster, old)
        elected = trio.current_time()
        await trio.sleep(0.02)
        status = cluster.node(new).status()
        assert status.commit_index == status.last_index - 1  # all that it inherited is known to be committed
        assert await cluster.node(new).read(lambda log: log.inner.commands_applied, Lease()) == [b"x"]
        assert cluster.node(new).read_nowait(lambda log: log.inner.commands_applied, Lease()) == [b"x"]
        assert await cluster.node(new).read(lambda log: log.inner.commands_applied) == [b"x"]
        assert trio.current_time() - elected < 0.2
        await cluster.node(new).propose(b"y")
        assert trio.current_time() - elected > LEASES.wait_s - 0.05
        assert trio.current_time() - cut_at > DURATION_S
        with pytest.raises((ReadNotReady, NotLeader)):
            cluster.node(old).read_nowait(lambda _: None, Lease())


@seeds(3)
async def test_a_paused_leader_answers_nothing_by_a_lease_that_ran_out(seed: int) -> None:
    """Its timers have not fired yet when it goes on, and its clock stood still as in suspend; the other one did not."""
    async with open_leased(seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).propose(b"x")
        await renew(cluster, leader)
        cluster.pause(leader, clock_stands=True)
        assert cluster.node(leader).read_nowait(lambda _: "held", Lease()) == "held"
        await trio.sleep(DURATION_S + 0.1)
        with pytest.raises(ReadNotReady, match="no lease"):
            cluster.node(leader).read_nowait(lambda _: None, Lease())
        cluster.resume(leader)


@seeds(3)
async def test_a_lease_that_runs_out_while_it_is_read_gives_no_answer(seed: int) -> None:
    async with open_leased(seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await renew(cluster, leader)
        clock = cluster.clock(leader)
        with pytest.raises(ReadNotReady, match="while it was read"):
            cluster.node(leader).read_nowait(lambda _: clock.jump(DURATION_S), Lease())


@seeds(3)
async def test_after_a_transfer_nobody_waits_and_the_old_leader_has_no_lease(seed: int) -> None:
    async with open_leased(seed) as cluster:
        old = await cluster.wait_for_one_leader()
        await cluster.node(old).propose(b"x")
        await renew(cluster, old)
        new = await cluster.node(old).transfer_leadership()
        assert await first_commit(cluster, new) < 0.2
        with pytest.raises(NotLeader):
            cluster.node(old).read_nowait(lambda _: None, Lease())


@seeds(3)
async def test_who_has_told_another_to_lead_has_no_lease_though_it_hears_nothing_of_it(seed: int) -> None:
    """The other one did not wait, so what it commits would be missing in what is read here."""
    async with open_leased(seed) as cluster:
        old = await cluster.wait_for_one_leader()
        await cluster.node(old).propose(b"x")
        await trio.sleep(1)
        await renew(cluster, old)
        for name in cluster.node_ids:
            cluster.network.cut(name, old)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.node(old).transfer_leadership)
            new = await next_leader(cluster, old)
            assert await first_commit(cluster, new) < 0.2
            assert cluster.node(old).status().role is RoleName.LEADER
            with pytest.raises(ReadNotReady):
                cluster.node(old).read_nowait(lambda _: None, Lease())
            nursery.cancel_scope.cancel()


@seeds(2)
async def test_leases_must_be_wanted_and_the_same(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        with pytest.raises(ConfigurationError, match="no leases"):
            await cluster.node(leader).read(lambda _: None, Lease())
        with pytest.raises(ReadNotReady, match="no leases"):
            cluster.node(leader).read_nowait(lambda _: None, Lease())
    with pytest.raises(ConfigurationError, match="between two heartbeats"):
        async with simulate(CommandLog, seed=seed, leases=Leases(0.3)):
            pass


# --- while it leads --------------------------------------------------------------------------------------------


@seeds(3)
async def test_a_block_begins_with_leadership_and_is_cancelled_with_it(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).propose(b"x")
        other = cluster.node(follower(cluster, leader))
        seen: list[Leadership] = []

        async def lead() -> None:
            async with other.while_leading() as leadership:
                seen.append(leadership)
                assert other.read_nowait(lambda log: log.inner.commands_applied, Local()) == [b"x"]
                await trio.sleep(3600)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead)
            await trio.sleep(1)
            assert seen == []
            await cluster.node(leader).transfer_leadership(other.node_id)
            await trio.sleep(1)
            [leadership] = seen
            assert leadership.holds
            assert leadership.term == other.status().term
            assert await leadership.propose(b"y") == 2
            await other.transfer_leadership(leader)
        assert not seen[0].holds
        assert leadership.ended == "leadership is handed to another node"
        with pytest.raises(LeadershipEnded):
            await leadership.propose(b"z")


@seeds(3)
async def test_a_block_that_comes_to_its_own_end_was_not_cancelled(seed: int) -> None:
    async with open_leased(seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        async with cluster.node(leader).while_leading() as leadership:
            await trio.sleep(5)  # the lease is renewed as long as it lasts
            assert leadership.holds
        assert leadership.ended is None


@pytest.mark.parametrize("check_quorum", [True, False])
@seeds(3)
async def test_a_leader_that_is_cut_off_ends_its_block_before_another_one_commits(
    seed: int, check_quorum: bool
) -> None:
    """Where it steps down, too, and where the lease alone tells it to."""
    async with open_leased(seed, config=NodeConfig(check_quorum=check_quorum)) as cluster:
        leader = await cluster.wait_for_one_leader()
        entered = trio.Event()
        ended: list[tuple[float, str | None]] = []

        async def lead() -> None:
            async with cluster.node(leader).while_leading() as leadership:
                entered.set()
                await trio.sleep(3600)
            ended.append((trio.current_time(), leadership.ended))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead)
            await entered.wait()
            await trio.sleep(1)
            cluster.isolate(leader)
            cut_at = trio.current_time()
            new = await next_leader(cluster, leader)
            await cluster.node(new).propose(b"x")
            [(at, why)] = ended
            assert at <= cut_at + DURATION_S
            assert why is not None
            assert check_quorum or "the lease ran out" in why


@seeds(3)
async def test_a_block_ends_soon_after_suspend_in_which_its_alarm_stood_still(seed: int) -> None:
    """Others have led meanwhile. It is cut off, so nobody tells it, and the time to step down has yet to pass."""
    async with open_leased(seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        woken_at, went_on_at = float("inf"), list[float]()

        async def lead() -> None:
            async with cluster.node(leader).while_leading() as leadership:
                while True:
                    await trio.sleep(0.001)
                    if trio.current_time() > woken_at:
                        assert not leadership.holds
                        went_on_at.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lead)
            await trio.sleep(cluster.rng.uniform(1, 1.3))
            cluster.isolate(leader)
            cluster.pause(leader, clock_stands=True)
            await cluster.node(await next_leader(cluster, leader)).propose(b"x")
            woken_at = trio.current_time()
            cluster.resume(leader)
            await trio.sleep(0.3)
            assert cluster.node(leader).status().role is RoleName.LEADER
            assert max(went_on_at) <= woken_at + NodeConfig().heartbeat_interval_s
            nursery.cancel_scope.cancel()


@seeds(5)
async def test_blocks_never_overlap(seed: int) -> None:
    """All nodes want to lead, and leaders are cut off, paused with or without their clocks, and told to hand over."""
    async with open_leased(seed, nodes=5) as cluster:
        holding: dict[str, Leadership] = {}
        stays: Counter[str] = Counter()

        async def lead(name: str) -> None:
            while True:
                async with cluster.node(name).while_leading() as leadership:
                    stays[name] += 1
                    for other, held in holding.items():
                        assert not held.holds, f"{other} leads term {held.term}, {name} {leadership.term}"
                    holding[name] = leadership
                    await trio.sleep(3600)

        async with trio.open_nursery() as nursery:
            for number, name in enumerate(cluster.node_ids):
                cluster.clock(name).boottime_rate = (0.95, 1.05, 1.0)[number % 3]
                nursery.start_soon(lead, name)
            for _ in range(8):
                leader = await cluster.wait_for_one_leader()
                match cluster.rng.randrange(4):
                    case 0:
                        cluster.isolate(leader)
                        await trio.sleep(3)
                        cluster.partition()
                    case 1:
                        cluster.pause(leader, clock_stands=cluster.rng.random() < 0.5)
                        await trio.sleep(3)
                        cluster.resume(leader)
                    case 2:
                        cluster.clock(leader).set_rate(cluster.rng.choice((0.3, 3.0)))
                        cluster.isolate(leader)
                        await trio.sleep(4)
                        cluster.partition()
                        cluster.clock(leader).set_rate(1.0)
                    case _:
                        with suppress(TransferError):
                            await cluster.node(leader).transfer_leadership()
                await trio.sleep(3)
            assert stays.total() >= 5
            nursery.cancel_scope.cancel()


@seeds(3)
async def test_after_a_transfer_that_failed_there_are_leases_again(seed: int) -> None:
    """Whoever was told may be elected late, and would not wait: so another one leads, in a term of its own."""
    async with open_leased(seed) as cluster:
        old = await cluster.wait_for_one_leader()
        await cluster.node(old).propose(b"x")
        await trio.sleep(1)  # what else the leader writes has arrived, too
        target = follower(cluster, old)
        [third] = {*cluster.node_ids} - {old, target}
        cluster.network.cut(old, target)  # it is caught up, and is never told
        with pytest.raises(TransferFailed, match=f"'{target}' did not take .* it is handed to '{third}' instead"):
            await cluster.node(old).transfer_leadership(target)
        async with cluster.node(third).while_leading() as leadership:
            assert leadership.term > 1
            await renew(cluster, third)
            assert cluster.node(third).read_nowait(lambda log: list(log.inner.commands_applied), Lease()) == [b"x"]
        cluster.partition()
        assert await cluster.node(third).propose(b"y") == 2


@seeds(2)
async def test_what_is_proposed_in_a_block_is_for_its_term_alone_however_it_is_proposed(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        name = await cluster.wait_for_one_leader()
        node, late = cluster.node(name), trio.Event()
        refused: list[str] = []

        async def outlive() -> None:
            await late.wait()
            for propose in (node.propose, lambda command: node.propose_many([command])):
                with pytest.raises(LeadershipEnded) as error:
                    await propose(b"late")
                refused.append(str(error.value))
            with pytest.raises(LeadershipEnded):
                node.propose_nowait(b"late")

        async with trio.open_nursery() as nursery:
            async with node.while_leading():
                assert await node.propose(b"a") == 1
                assert await node.propose_many([b"b", b"c"]) == [2, 3]
                assert await node.propose_nowait(b"d").wait() == 4
                nursery.start_soon(outlive)  # of the block, though its nursery is not
                other = cluster.node(follower(cluster, name))
                assert await other.propose(b"e") == 5  # another node's is no affair of the block
            assert await node.propose(b"f") == 6  # outside of it nothing is bound
            await node.transfer_leadership()
            late.set()
        left = "the leadership of term 1 is over: the block that this belongs to was left; nothing was proposed"
        assert refused == [left, left]
        assert await node.propose(b"g") == 7  # handed on, as ever
