"""A member that was removed, and added again with another store, while its old files or connections are still about."""

from __future__ import annotations

from contextlib import suppress

import trio

from raft_actors import Member, RaftError
from raft_actors.testing import Simulation, simulate
from tests.cluster.support import CommandLog
from tests.simulation.test_identity import wait_until_bound


async def append_alone(cluster: Simulation[bytes, int], leader: str, entries: int) -> int:
    """Have a leader that is cut off append so many entries, and a configuration then; return the index of that."""
    node = cluster.node(leader)
    for _ in range(entries):
        with suppress(RaftError):
            node.propose_nowait(b"never committed")
    with trio.move_on_after(0.05):
        await node.change_members(learners={"n4": "n4.test:1"})
    return node.members().config


async def replace(cluster: Simulation[bytes, int], replaced: str) -> None:
    """Remove a node that is down, and take it in again with an empty store."""
    cluster.disk(replaced).wipe()
    others = {*cluster.initial_voters} - {replaced}
    leader = cluster.node(await cluster.wait_for_one_leader())
    await leader.change_members(others)
    cluster.connect(replaced)
    await cluster.start(replaced)
    new = Member(f"{replaced}.test:1", incarnation=cluster.disk(replaced).incarnation)
    await leader.change_members({**{one: f"{one}.test:1" for one in others}, replaced: new})


async def test_old_files_whose_log_ends_with_a_configuration_that_nobody_else_has_are_no_news() -> None:
    """It is of a later index than all that the others have agreed on since, and of an earlier term."""
    async with simulate(CommandLog, seed=5, joiners=1) as cluster:
        await cluster.one(b"x", 3)
        await wait_until_bound(cluster)
        replaced = await cluster.wait_for_one_leader()
        first, last = sorted({*cluster.initial_voters} - {replaced})
        cluster.disconnect(replaced)
        far = await append_alone(cluster, replaced, 200)
        await cluster.stop(replaced)
        files = cluster.disk(replaced).copy()
        await replace(cluster, replaced)
        await cluster.one(b"y", 3)
        named = cluster.node(last).members()
        assert named.members[replaced].incarnation == cluster.disk(replaced).incarnation
        assert named.config < far

        # The new store votes in a term of which the last one does not hear.
        leader = await cluster.wait_for_one_leader()
        if leader != replaced:
            await cluster.node(leader).transfer_leadership(replaced)
        await trio.sleep(1)
        cluster.disconnect(last)
        await cluster.node(replaced).transfer_leadership(first)
        await cluster.one(b"committed by the first one and the new store", 2)
        assert cluster.node(replaced).status().voted_for == first
        await cluster.stop(replaced)

        cluster.disk(replaced).replace(files, with_mark=True)
        cluster.disconnect(first)
        cluster.connect(last)
        await cluster.start(replaced)
        await trio.sleep(6)  # of simulated time: some elections
        refused = cluster.node(last).statistics().transport.refused_by_reason
        assert cluster.node(last).status().role != "leader"
        assert refused["OTHER_INCARNATION"] >= 1
