"""A network on which ids are proven: who speaks in another's name is not heard, and neither is who was removed."""

from __future__ import annotations

import trio

from raft_actors.raft.messages import AppendEntries, RequestVote
from raft_actors.testing import simulate
from tests.cluster.support import CommandLog


async def test_who_has_no_certificate_for_an_id_is_not_heard_by_it() -> None:
    async with simulate(CommandLog, seed=7) as cluster:
        await cluster.one(b"x", 3)
        leader = await cluster.wait_for_one_leader()
        victim, receiver = sorted({*cluster.node_ids} - {leader})
        term = cluster.node(leader).status().term
        for message in (
            RequestVote(term + 5, 99, term + 4, leadership_transfer=True),
            AppendEntries(term + 5, 0, 0, 0),
        ):
            cluster.facts.forged[id(message)] = message
            for name in (leader, receiver):
                cluster.network.pose("mallory", victim, name, message)
        await cluster.one(b"y", 3)
        assert {node.status().term for node in cluster.nodes.values()} == {term}
        for name in (leader, receiver):
            assert cluster.node(name).statistics().transport.refused_by_reason == {"OTHER_NODE": 2}


async def test_who_was_removed_is_refused_until_it_is_a_member_again() -> None:
    """It is started again, knows of nothing, and asks for votes: those who have a leader hear none of it."""
    async with simulate(CommandLog, seed=9, nodes=4) as cluster:
        await cluster.one(b"x", 4)
        leader = await cluster.wait_for_one_leader()
        staying = sorted({*cluster.node_ids} - {leader})
        gone = staying.pop()
        cluster.crash(gone)
        node = cluster.node(leader)
        await node.change_members({leader, *staying})
        await trio.sleep(10)  # its leave is over
        await cluster.start(gone)
        await trio.sleep(5)
        refusing = [cluster.node(name).statistics().transport for name in (leader, *staying)]
        assert all(one.refused_by_reason["UNKNOWN_NODE"] > 0 for one in refusing)
        assert all(gone not in one.peers for one in refusing)
        await node.change_members({name: f"{name}.test:1" for name in cluster.node_ids})
        await cluster.one(b"y", 4)
