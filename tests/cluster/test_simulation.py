"""The simulation itself: it repeats, it sees what is wrong, and its errors come out as they are."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterable, Iterable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from raft_actors import ConfigurationError, StateMachine, StorageFailed
from raft_actors.testing import CheckFailed, open_cluster
from tests.cluster.support import CommandLog, Commands, LogCluster, open_log, seeds, snapshotting


async def eventful_run(seed: int) -> tuple[Any, ...]:
    """Some of everything; what can be seen of it from outside."""
    async with open_log(5, seed, config=snapshotting(20)) as cluster:
        cluster.unreliable()
        rng, commands = cluster.rng, Commands()
        for _ in range(15):
            await cluster.one(commands(), 2)
            name = rng.choice(cluster.node_ids)
            match rng.randrange(4):
                case 0:
                    await cluster.restart(name)
                case 1:
                    cluster.heal()
                    cluster.disconnect(name)
                case 2:
                    cluster.heal()
                    cluster.partition(cluster.node_ids[:2], cluster.node_ids[2:])
                case _:
                    cluster.unreliable(late_replies=True)
                    await trio.sleep(1)
                    cluster.unreliable()
        cluster.heal()
        await cluster.one(commands(), 5)
        statistics = cluster.network.statistics()
        statuses = [node.status() for node in cluster.nodes.values()]
        return cluster.facts.history, cluster.facts.leaders, statistics, statuses, trio.current_time()


def simulate(seed: int) -> tuple[Any, ...]:
    """A Trio run of its own: times begin with 0, and so are rounded alike."""
    return trio.run(eventful_run, seed, clock=MockClock(autojump_threshold=0))


@seeds(10)
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    assert simulate(seed) == simulate(seed)


def test_another_seed_gives_another_run() -> None:
    assert simulate(1)[2] != simulate(2)[2]


def test_real_time_does_not_repeat() -> None:
    async def repeatable() -> None:
        with pytest.raises(ConfigurationError, match="MockClock"):
            await open_log(1, 1).__aenter__()

    async def not_repeatable() -> None:
        async with open_cluster(CommandLog, nodes=1, deterministic=False) as cluster:
            assert list(cluster.nodes) == ["n1"]

    trio.run(repeatable)
    trio.run(not_repeatable)


def refuse_writes(_writes: object) -> None:
    raise StorageFailed("no")


async def test_a_node_that_crashes_fails_the_test() -> None:
    async def scenario() -> None:
        async with open_log(3, 3) as cluster:
            await cluster.one(b"fine", 3)
            cluster.disk("n2").before_write = refuse_writes
            await cluster.one(b"not fine", 3)
            await trio.sleep_forever()

    text = r"seed 3, at .* s: node 'n2' \(start 1\) crashed: StorageFailed: no"
    with pytest.raises(CheckFailed, match=text) as caught:
        await scenario()
    assert type(caught.value.__cause__) is StorageFailed


async def test_a_failure_comes_through_the_nurseries_of_the_block() -> None:
    """Else it would be a group of cancellations, which test runners take for nothing."""

    async def scenario() -> None:
        async with open_log(3, 3) as cluster, trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)
            cluster.disk("n2").before_write = refuse_writes
            await trio.sleep_forever()

    with pytest.raises(CheckFailed, match="StorageFailed: no"):
        await scenario()


async def test_a_crash_that_is_tolerated() -> None:
    async with open_log(3, 3) as cluster:
        cluster.tolerated = (StorageFailed,)
        await cluster.one(b"fine", 3)
        cluster.disk("n2").before_write = refuse_writes
        await cluster.one(b"fine without it", 2)
        await trio.sleep(2)
        assert sorted(cluster.nodes) == ["n1", "n3"]
        cluster.disk("n2").before_write = None
        await cluster.start("n2")
        await cluster.one(b"fine again", 3)


async def test_what_keeps_a_node_from_starting_comes_out_as_itself() -> None:
    async with open_log(3, 3) as cluster:
        cluster.crash("n1")
        cluster.disk("n1").identity = cluster.disk("n2").identity
        with pytest.raises(Exception, match="belongs to node 'n2'"):
            await cluster.start("n1")
        assert sorted(cluster.nodes) == ["n2", "n3"]


async def test_errors_of_the_block_come_out_as_themselves() -> None:
    for error in (ValueError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            async with open_log(3, 9):
                raise error
        assert caught.value is error
        assert caught.value.__notes__ == ["in a simulated cluster with seed 9"]


async def test_an_outer_cancellation_passes() -> None:
    with trio.move_on_after(1) as scope:
        async with open_log(3, 9):
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_what_takes_too_long_names_the_seed() -> None:
    async with open_log(3, 4) as cluster:
        cluster.disconnect(*cluster.node_ids)
        with pytest.raises(CheckFailed, match=r"seed 4, at .*no leader was elected"):
            await cluster.wait_for_one_leader()
        with pytest.raises(CheckFailed, match="was not applied by 3 nodes"):
            await cluster.one(b"x", 3)
        with pytest.raises(CheckFailed, match="entry 1 was applied by 0 nodes, not 3"):
            await cluster.wait_applied(1, 3)


class Diverging(StateMachine[bytes, int]):
    """Counts with what all replicas share, as no state machine may."""

    counter = itertools.count()

    def apply(self, command: bytes) -> int:
        return next(self.counter)

    def snapshot(self) -> Iterable[bytes]:
        return ()

    async def restore(self, chunks: AsyncIterable[bytes]) -> None: ...


async def test_replicas_that_differ_fail_the_test() -> None:
    async def scenario() -> None:
        async with open_cluster(Diverging, seed=5) as cluster:
            leader = await cluster.wait_for_one_leader()
            await cluster.start_command(leader, b"x")
            await trio.sleep_forever()

    with pytest.raises(CheckFailed, match=r"seed 5.* equal results .* where others got"):
        await scenario()


async def test_names_of_a_cluster() -> None:
    async with open_log(3, 1) as cluster:
        await cluster.one(b"x", 3)
        assert cluster.majority == 2
        assert cluster.connected == ["n1", "n2", "n3"]
        cluster.crash("n1")
        cluster.disconnect("n2")
        assert cluster.connected == ["n3"]
        for call in (lambda: cluster.node("n1"), lambda: cluster.crash("n1"), lambda: cluster.state_machine("n1")):
            with pytest.raises(ConfigurationError, match="does not run"):
                call()
        with pytest.raises(ConfigurationError, match="runs already"):
            await cluster.start("n2")
        assert await cluster.start_command("n1", b"y") is None
        cluster.heal()
        await cluster.stop("n2")
        assert list(cluster.nodes) == ["n3"]
        await check_down(cluster)


async def check_down(cluster: LogCluster) -> None:
    assert cluster.applied_index("n1") == 0
    await cluster.restart()
    await cluster.one(b"z", 3)
