"""What a new leader answers, with leases, before it knows what of its inheritance is committed."""

from __future__ import annotations

import trio
from typing_extensions import override

from raft_actors import BoundedStale, Leases, Local, RoleName
from raft_actors.testing import simulate
from raft_actors.testing.simulation import Simulation
from tests.cluster.support import CommandLog, seeds

LEASES = Leases(2.0, clock_error=0.05)


class Initials(CommandLog):
    """Each command touches what its last byte names."""

    @override
    def touches(self, command: bytes) -> tuple[bytes, ...]:
        return (command[-1:],)


async def heir_of(cluster: Simulation[bytes, int], old: str) -> str:
    """Who leads instead of one that is cut off at once: before the others hear what it has just committed."""
    cluster.isolate(old)
    while True:
        await trio.sleep(0.01)
        for name in cluster.node_ids:
            if name != old and cluster.node(name).status().role is RoleName.LEADER:
                await trio.sleep(0.05)
                status = cluster.node(name).status()
                assert status.commit_index < status.last_index - 1, "it knows all that it has inherited"
                return name


@seeds(3)
async def test_a_read_by_keys_says_nothing_of_the_age_of_all_else(seed: int) -> None:
    async with simulate(Initials, nodes=3, seed=seed, leases=LEASES) as cluster:
        old = await cluster.wait_for_one_leader()
        await trio.sleep(6)  # the members have been written down by then
        await cluster.node(old).propose(b"x")
        heir = cluster.node(await heir_of(cluster, old))
        assert await heir.read(lambda log: list(log.inner.commands_applied), keys=[b"q"]) == []
        age_s = (await heir.read_result(lambda _: None, Local())).age_s
        assert age_s is None or age_s > 0.5, "x was committed half a second ago, and is not in it"
        assert await heir.read(lambda log: list(log.inner.commands_applied), BoundedStale(seconds=0.1)) == [b"x"]
