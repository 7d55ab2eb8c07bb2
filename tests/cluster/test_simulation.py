"""The simulation itself: it repeats, it sees what is wrong, and its errors come out as they are."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from raft_actors import ConfigurationError, StateMachine, StorageFailed
from raft_actors.entries import EntryBatch, EntryKind
from raft_actors.events import CommitAdvanced, RoleChanged
from raft_actors.testing import CheckFailed, ClusterChecks, open_cluster
from raft_actors.testing.checks import Life
from raft_actors.transitions import RoleName
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
        return cluster.checks.history, cluster.checks.leaders, statistics, statuses, trio.current_time()


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


class Diverging(StateMachine[bytes, None]):
    """Commands are one of two; which one, it can't tell when it reads it."""

    class _Codec:
        flip = 0

        def encode(self, command: bytes) -> bytes:
            return command

        def decode(self, data: bytes) -> bytes:
            self.flip += 1
            return data + b"%d" % self.flip

    commands = _Codec()

    def apply(self, command: bytes) -> None: ...

    def snapshot(self) -> Iterable[bytes]:
        return ()

    async def restore(self, chunks: AsyncIterable[bytes]) -> None: ...


async def test_nodes_that_apply_different_commands_fail_the_test() -> None:
    async def scenario() -> None:
        async with open_cluster(Diverging, seed=5) as cluster:
            leader = await cluster.wait_for_one_leader()
            await cluster.start_command(leader, b"x")
            await trio.sleep_forever()

    with pytest.raises(CheckFailed, match=r"seed 5.* where others applied"):
        await scenario()


# --- the checks, by hand -----------------------------------------------------------------------------------------


class Checked:
    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.checks = ClusterChecks(self.wrong.append)
        self.a, self.b = Life("a", 1), Life("b", 1)
        for index, command in ((2, b"x"), (3, b"y"), (5, b"z")):
            self.checks.applied(self.a, index, command)
        assert not self.wrong


def test_checks_of_applied_commands() -> None:
    for index, command in ((3, b"x"), (2, b"y"), (3, b"y")):  # another index, another command, one skipped
        checked = Checked()
        checked.checks.applied(checked.b, index, command)
        assert len(checked.wrong) == 1, (index, command)
    checked = Checked()
    checked.checks.applied(checked.a, 5, b"z")
    assert "after entry 5" in checked.wrong[0]


def test_checks_of_snapshots() -> None:
    checked = Checked()
    checked.checks.restored(checked.b, 4, 2)
    checked.checks.applied(checked.b, 5, b"z")
    assert not checked.wrong
    checked.checks.restored(checked.a, 4, 2)
    assert "went back" in checked.wrong[0]
    checked = Checked()
    checked.checks.restored(checked.b, 4, 3)
    assert "2 were committed" in checked.wrong[0]


def test_checks_of_events() -> None:
    checked = Checked()
    checked.checks.saw(checked.a, RoleChanged(3, RoleName.LEADER))
    checked.checks.saw(checked.a, RoleChanged(4, RoleName.LEADER))
    checked.checks.saw(checked.b, RoleChanged(4, RoleName.FOLLOWER))
    checked.checks.saw(checked.b, CommitAdvanced(7))
    assert not checked.wrong
    checked.checks.saw(checked.b, CommitAdvanced(6))
    checked.checks.saw(checked.b, RoleChanged(3, RoleName.LEADER))
    assert len(checked.wrong) == 2


def test_checks_of_logs() -> None:
    def batch(first: int, term: int, *commands: bytes) -> EntryBatch:
        return EntryBatch.encode(first, term, EntryKind.COMMAND, commands)

    one = [batch(1, 1, b"a", b"b"), batch(3, 2, b"c")]
    for other, wrong in (
        (one, 0),
        ([batch(2, 1, b"b"), batch(3, 2, b"c")], 0),
        ([batch(1, 1, b"a"), batch(2, 3, b"x", b"y")], 0),
        ([batch(1, 1, b"a", b"x"), batch(3, 2, b"c")], 1),
        ([batch(1, 2, b"a", b"b"), batch(3, 2, b"c")], 2),
    ):
        checked = Checked()
        checked.checks.match_logs({"a": one, "b": other})
        assert len(checked.wrong) == wrong, other


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
