"""Members that say what no honest member can: nobody ends by it, and nothing comes of it. The network is the test's."""

from __future__ import annotations

import pytest
import trio

from raft_actors.raft.impossible import MOST_TERMS_AHEAD, Impossible
from raft_actors.raft.messages import (
    AppendEntriesAccepted,
    ConfirmLeaderReply,
    InstallSnapshotReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.testing import SimulatedCluster, simulate
from tests.cluster.membership import newcomers
from tests.cluster.support import CommandLog


def say(cluster: SimulatedCluster[bytes, int], liar: str, receiver: str, message: Message) -> None:
    """Have a member say this, as if its node had."""
    endpoint = cluster.network.running[liar].endpoint
    assert endpoint is not None
    cluster.network.carry(liar, endpoint, receiver, message)


async def test_a_follower_that_claims_what_cannot_be_ends_no_leader(caplog: pytest.LogCaptureFixture) -> None:
    async with simulate(CommandLog, seed=7) as cluster:
        await cluster.one(b"x", 3)
        leader = await cluster.wait_for_one_leader()
        liar = min({*cluster.node_ids} - {leader})
        status = cluster.node(leader).status()
        term, last = status.term, status.last_index
        claims: list[Message] = [
            AppendEntriesAccepted(term, last + 1000),
            InstallSnapshotReply(term, SnapshotMetadata(last + 50, term), 0, installed=True),
            ConfirmLeaderReply(term, 999),
        ]
        for _ in range(3):
            for claim in claims:
                say(cluster, liar, leader, claim)
                await trio.sleep(1)
        await cluster.one(b"y", 3)
        assert cluster.node(leader).status().term == term
        counted = cluster.node(leader).statistics()
        assert counted.refused_messages == {Impossible.MATCH: 6, Impossible.ROUND: 3}
        assert counted.transport.refused_by_reason == {"REFUSED_MESSAGE": 9}
    drops = f"node {leader}: drops, as all such that follow, what peer {liar} said"
    assert [line for line in caplog.messages if "drops" in line] == [
        f"{drops}: it claims to hold the log up to {last + 1000}, which ends at {last}",
        f"{drops}: it answers read round 999, the last one was 0",
    ]


async def test_a_member_that_names_the_highest_term_uses_none_up_and_shuts_nobody_out() -> None:
    async with simulate(CommandLog, seed=7) as cluster:
        await cluster.one(b"x", 3)
        leader = await cluster.wait_for_one_leader()
        liar, other = sorted({*cluster.node_ids} - {leader})
        for _ in range(4):
            # One of them goes so far ahead that the rest have to follow step by step.
            say(cluster, liar, other, RequestVote(2**62, 9, 9, leadership_transfer=True))
        await cluster.one(b"y", 3)
        assert cluster.node(other).statistics().refused_messages == {Impossible.TERM: 4}
        assert cluster.node(leader).statistics().refused_messages[Impossible.TERM] > 1
        assert 4 * MOST_TERMS_AHEAD < cluster.agreed_term() < 5 * MOST_TERMS_AHEAD


async def test_a_cluster_in_a_high_term_is_started_again_and_takes_newcomers() -> None:
    async with simulate(CommandLog, seed=7, joiners=1) as cluster:
        await cluster.one(b"x", 3)
        *voters, newcomer = sorted(cluster.node_ids)
        liar = min({*voters} - {await cluster.wait_for_one_leader()})
        for name in voters:
            say(cluster, liar, name, RequestVoteReply(MOST_TERMS_AHEAD, granted=False))
        await trio.sleep(5)
        await cluster.restart(*voters)
        await cluster.one(b"y", 3)
        leader = await cluster.wait_for_one_leader()
        await cluster.node(leader).change_members(newcomers(*voters, newcomer))
        assert newcomer in cluster.node(leader).status().voters
        await cluster.one(b"z", 4)
        assert cluster.agreed_term() > MOST_TERMS_AHEAD
