"""A store that learns the log from its beginning, in which its node was much that this store is not."""

from __future__ import annotations

import trio

from raft_actors import NodeConfig, RoleName, StoreReplaced
from raft_actors.testing import simulate
from raft_actors.testing.lost_stores import take_in_again
from tests.cluster.support import CommandLog, seeds
from tests.simulation.test_identity import change_at_last, wait_until_bound
from tests.simulation.test_refusals import wait_until


@seeds(2)
async def test_a_store_that_learns_the_log_anew_is_not_the_only_voter_that_its_node_once_was(seed: int) -> None:
    """That one was added by its address alone, and has lost its files since; this one is a learner."""
    config = NodeConfig(max_append_bytes=1, max_inflight_appends=1)
    async with simulate(CommandLog, nodes=3, seed=seed, config=config) as cluster:
        await cluster.one(b"x", 3)
        await wait_until_bound(cluster)
        await change_at_last(cluster, {"n1", "n2"})
        await change_at_last(cluster, {"n3"})
        for number in range(30):
            await cluster.one(b"%d" % number, 1)
        await change_at_last(cluster, {"n1"})
        cluster.crash("n3")
        await cluster.wait_down("n3")
        cluster.disk("n3").wipe()
        cluster.without_store.add("n3")
        cluster.isolate("n2")  # it was removed, and would tell n3 that it was another store
        cluster.slow_link("n1", "n3", 3_000.0)
        await change_at_last(cluster, {"n1"}, learners={"n3"})
        node = await cluster.start("n3")
        await wait_until(lambda: node.members().voters == frozenset({"n3"}))
        cluster.isolate("n3")
        await trio.sleep(10)
        assert node.status().role is RoleName.FOLLOWER
        assert node.members().members["n3"].incarnation not in ("", cluster.disk("n3").incarnation)
        cluster.without_store.clear()


@seeds(2)
async def test_who_was_the_only_voter_and_lost_its_store_is_not_again_by_the_log_that_it_learns(
    seed: int,
) -> None:
    """The members changed before any store was named, and the node is started by its settings, as at the beginning."""
    config = NodeConfig(max_append_bytes=1, max_inflight_appends=1)
    async with simulate(CommandLog, nodes=3, seed=seed, config=config) as cluster:
        await cluster.wait_for_one_leader()
        await change_at_last(cluster, {"n1"})
        assert cluster.node("n1").members().members["n1"].incarnation == ""
        for number in range(30):
            await cluster.one(b"%d" % number, 1)
        await change_at_last(cluster, {"n1", "n2"})
        await change_at_last(cluster, {"n2"})
        cluster.crash("n1")
        await cluster.wait_down("n1")
        cluster.disk("n1").wipe()
        cluster.without_store.add("n1")
        cluster.isolate("n3")
        cluster.slow_link("n2", "n1", 3_000.0)
        await change_at_last(cluster, {"n2"}, learners={"n1"})
        node = await cluster.start("n1")
        await wait_until(lambda: node.members().voters == frozenset({"n1"}) and not node.members().outgoing)
        cluster.isolate("n1")
        await cluster.wait_down("n1")  # it can ask nobody whether the members have agreed on the store that it has now
        assert isinstance(node.crash, StoreReplaced)
        node = await cluster.start("n1")
        await trio.sleep(10)
        assert (node.status().role, node.members().voters) == (RoleName.FOLLOWER, frozenset({"n1"}))
        cluster.heal()
        await take_in_again(cluster, "n1")
        await change_at_last(cluster, {"n1", "n2"})
        await cluster.one(b"x", 2)
