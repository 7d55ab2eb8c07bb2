"""What a new leader answers, with leases, before it knows what of its inheritance is committed."""

from __future__ import annotations

import pytest
import trio
from typing_extensions import override

from raft_actors import BoundedStale, Lease, Leases, Local, ReadNotReady, RoleName
from raft_actors.testing import simulate
from raft_actors.testing.simulation import Simulation
from tests.cluster.support import CommandLog, seeds

LEASES = Leases(2.0, clock_error=0.05)


class Initials(CommandLog):
    """Each command touches what its last byte names."""

    @override
    def touches(self, command: bytes) -> tuple[bytes, ...]:
        return (command[-1:],)


class Expiring(Initials):
    """What a command puts there is gone after half a second of log time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.until_ms: dict[bytes, int] = {}

    @override
    def apply(self, command: bytes) -> int:
        self.until_ms[command] = self.now_ms + 500
        return super().apply(command)

    @override
    def pass_time(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.until_ms = {key: until for key, until in self.until_ms.items() if until > now_ms}


async def let_time_pass_between(cluster: Simulation[bytes, int], name: str, one: bytes, other: bytes) -> None:
    """Two commands of a session, a second of log time apart, which an entry before the second one counts."""
    async with cluster.node(name).session(end=False) as session:
        await session.propose(one)
        await trio.sleep(1)
        await session.propose(other)


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


@seeds(3)
async def test_what_time_removes_is_not_read_while_an_inherited_entry_may_let_time_pass(seed: int) -> None:
    async with simulate(Expiring, nodes=3, seed=seed, leases=LEASES) as cluster:
        old = await cluster.wait_for_one_leader()
        await trio.sleep(6)  # the members have been written down by then
        await let_time_pass_between(cluster, old, b"a", b"b")
        assert await cluster.node(old).read(lambda log: sorted(log.inner.until_ms)) == [b"b"]
        heir = cluster.node(await heir_of(cluster, old))
        with pytest.raises(ReadNotReady, match="name keys, or wait"):
            heir.read_nowait(lambda _: None, Lease(), keys=[b"a"])
        for level in (Lease(), None):
            found = heir.read(lambda log: b"a" in log.inner.until_ms, *([level] if level else []), keys=[b"a"])
            assert not await found


@seeds(2)
async def test_where_time_changes_nothing_a_read_by_keys_need_not_wait_for_it(seed: int) -> None:
    async with simulate(Initials, nodes=3, seed=seed, leases=LEASES) as cluster:
        old = await cluster.wait_for_one_leader()
        await trio.sleep(6)  # the members have been written down by then
        await let_time_pass_between(cluster, old, b"a", b"b")
        heir = cluster.node(await heir_of(cluster, old))
        assert await heir.read(lambda log: list(log.inner.commands_applied), keys=[b"a"]) == [b"a"]
        with pytest.raises(ReadNotReady, match="name keys, or wait"):
            heir.read_nowait(lambda _: None, Lease(), keys=[b"b"])
