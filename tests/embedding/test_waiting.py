"""Waiting for a leader that a retry may succeed at."""

from __future__ import annotations

import pytest
import trio

from raft_actors import NotLeader
from tests.cluster.support import follower, open_log


async def test_a_loop_that_can_propose_at_one_node_alone_tries_once_for_each_leader(autojump_clock: object) -> None:
    async with open_log(3, seed=1) as cluster:
        leader = await cluster.wait_for_one_leader()
        other = cluster.node(follower(cluster, leader))
        attempts: list[tuple[int, str | None]] = []
        done = trio.Event()

        async def persist() -> None:
            while not done.is_set():
                try:
                    await other.propose(b"x", forward=False)
                    done.set()
                except NotLeader as refusal:
                    attempts.append((refusal.term, refusal.leader))
                    await other.wait_leader_changed(refusal)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(persist)
            await trio.sleep(5)
            assert attempts == [(other.status().term, leader)]
            while not done.is_set():  # until it is this node's turn to lead
                leader = await cluster.wait_for_one_leader()
                if leader != other.node_id:
                    cluster.disconnect(leader)
                    await cluster.wait_for_one_leader()
                    cluster.connect(leader)
        assert len(set(attempts)) == len(attempts)


async def test_the_leader_of_a_refusals_own_term_is_news_only_where_it_named_none(
    autojump_clock: object,
) -> None:
    async with open_log(3, seed=2) as cluster:
        leader = await cluster.wait_for_one_leader()
        node = cluster.node(follower(cluster, leader))
        term = node.status().term
        assert await node.wait_leader_changed(NotLeader(None, None, term)) == leader
        assert await node.wait_leader_changed(NotLeader("n9", None, term - 1)) == leader
        with pytest.raises(NotLeader) as refused:
            await node.propose(b"x", forward=False)
        assert (refused.value.leader, refused.value.term) == (leader, term)
        for stale in (refused.value, NotLeader(None, None, term + 1)):
            with trio.move_on_after(5) as patience:
                await node.wait_leader_changed(stale)
            assert patience.cancelled_caught
