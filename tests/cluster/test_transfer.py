"""Leadership that is handed over, in whole clusters and simulated time."""

from __future__ import annotations

from itertools import count

import pytest
import trio

from raft_actors import NotLeader, RaftError, TransferFailed, TransferRefused
from tests.cluster.support import Commands, LogCluster, open_log, seeds, snapshotting


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


@seeds(2)
async def test_a_new_leader_hands_over_to_whom_it_has_yet_to_hear_of(seed: int) -> None:
    """It knows of nobody what it holds, and its log does not go back to the first entry."""
    async with open_log(3, seed, config=snapshotting()) as cluster:
        command = Commands()
        leader = await cluster.wait_for_one_leader()
        for _ in range(20):
            await cluster.one(command(), 3)
        for target in [name for name in cluster.node_ids if name != leader] * 3:
            if target != leader:
                leader = await cluster.node(leader).transfer_leadership(target)
                assert leader == target
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


@seeds(2)
async def test_what_waits_while_leadership_is_handed_over_is_done_by_who_leads_then(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(leader)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.transfer_leadership)
            await trio.lowlevel.checkpoint()
            with trio.fail_after(2.0):
                async with trio.open_nursery() as proposals:
                    for number in range(4):
                        proposals.start_soon(node.propose, b"held %d" % number)
        assert await cluster.wait_for_one_leader() != leader


@seeds(2)
async def test_a_target_that_falls_silent_holds_nothing_up_for_long(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.one(b"the first", 3)
        node, target = cluster.node(leader), next(name for name in cluster.node_ids if name != leader)
        cluster.disconnect(target)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.propose, b"before")  # so that it can't be told at once
            await trio.lowlevel.checkpoint()
            nursery.start_soon(_fail_to_hand_over, cluster, leader, target)
            await trio.lowlevel.checkpoint()
            with trio.fail_after(3.0):
                await node.propose(b"held")
        assert cluster.leader() == leader


async def _fail_to_hand_over(cluster: LogCluster, leader: str, target: str) -> None:
    with pytest.raises(TransferFailed, match="in time"):
        await cluster.node(leader).transfer_leadership(target)


@seeds(2)
async def test_what_others_hand_on_does_not_keep_a_leader_from_handing_over(seed: int) -> None:
    async with open_log(3, seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        target, other = [name for name in cluster.node_ids if name != leader]
        await cluster.one(b"the first", 3)
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(_hand_on, cluster, other, b"client %d" % number)
            await trio.sleep(0.1)
            assert await cluster.node(leader).transfer_leadership(target) == target
            nursery.cancel_scope.cancel()


async def _hand_on(cluster: LogCluster, name: str, command: bytes) -> None:
    for number in count():
        await cluster.node(name).propose(command + b" %d" % number)


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
