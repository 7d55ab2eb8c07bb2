"""Leadership that is handed over, in whole clusters and simulated time."""

from __future__ import annotations

import pytest
import trio

from raft_actors import NotLeader, RaftError, TransferRefused
from tests.cluster.support import Commands, LogCluster, open_log, seeds


async def propose_on_and_on(cluster: LogCluster, command: bytes, done: list[bytes], failures: list[RaftError]) -> None:
    """Propose one command after another, at whoever leads; note those that are done."""
    number, name = 0, await cluster.wait_for_one_leader()
    while True:  # noqa: ASYNC913 - every way through the inner loop waits
        number += 1
        one = command + b" %d" % number
        while True:
            try:
                await cluster.node(name).propose(one, forward=False)
            except NotLeader as refusal:
                name = refusal.leader or await cluster.node(name).wait_leader_changed(refusal)
                continue
            except RaftError as error:
                failures.append(error)
            break
        done.append(one)


@seeds(5)
async def test_hands_leadership_to_whom_it_is_told(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        command = Commands()
        leader = await cluster.wait_for_one_leader()
        await cluster.one(command(), 3)
        for target in [name for name in cluster.node_ids if name != leader]:
            began = trio.current_time()
            assert await cluster.node(leader).transfer_leadership(target) == target
            assert await cluster.wait_for_one_leader() == target
            assert trio.current_time() - began < 1.0
            leader = target
        await cluster.one(command(), 3)


@seeds(5)
async def test_no_proposal_fails_or_doubles_while_leadership_goes_round(seed: int) -> None:
    done: list[bytes] = []
    failures: list[RaftError] = []
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(propose_on_and_on, cluster, b"client %d" % number, done, failures)
            for _ in range(20):
                await trio.sleep(0.05)
                leader = await cluster.node(leader).transfer_leadership()
            nursery.cancel_scope.cancel()
        await cluster.one(b"the last", 3)
        applied: list[bytes] = cluster.state_machine(leader).commands_applied
    assert failures == []
    assert len(applied) == len(set(applied))
    assert set(done) <= set(applied)
    assert len(done) > 20


@seeds(3)
async def test_a_leader_that_stops_hands_over_first(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        command = Commands()
        leader = await cluster.wait_for_one_leader()
        await cluster.one(command(), 3)
        term = cluster.agreed_term()
        await cluster.stop(leader)
        assert cluster.leader() in set(cluster.node_ids) - {leader}  # as soon as it has ended
        assert cluster.agreed_term() == term + 1
        await cluster.one(command(), 2, retry=False)


@seeds(3)
async def test_a_target_that_is_cut_off_costs_no_leadership(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        command = Commands()
        leader = await cluster.wait_for_one_leader()
        await cluster.one(command(), 3)
        target = next(name for name in cluster.node_ids if name != leader)
        cluster.disconnect(target)
        await trio.sleep(2.0)
        with pytest.raises(TransferRefused, match="has not answered"):
            await cluster.node(leader).transfer_leadership(target)
        await cluster.one(command(), 2, retry=False)
        assert cluster.leader() == leader


@seeds(3)
async def test_alone_there_is_nobody_to_hand_over_to(seed: int) -> None:
    async with open_log(1, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        with pytest.raises(TransferRefused, match="no follower"):
            await cluster.node(leader).transfer_leadership()


async def test_a_follower_hands_nothing_over() -> None:
    async with open_log(3, 1) as cluster:
        leader = await cluster.wait_for_one_leader()
        other = next(name for name in cluster.node_ids if name != leader)
        await cluster.node(other).wait_leader()
        with pytest.raises(NotLeader) as caught:
            await cluster.node(other).transfer_leadership(other)
        assert caught.value.leader == leader
