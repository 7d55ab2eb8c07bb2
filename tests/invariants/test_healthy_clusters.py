"""Real clusters in which nothing is wrong: no invariant says so, and they see all there is to see."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Hashable, Iterable, Sequence
from typing import ClassVar

import pytest
import trio

from raft_actors import CommandFailed, NodeConfig, StateMachine
from raft_actors.raft.messages import Message
from raft_actors.raft.persistent_state import Write
from raft_actors.testing import STANDARD_INVARIANTS, CheckFailed, Invariant, Life, simulate
from tests.cluster.support import CommandLog
from tests.invariants.support import run_simulated


class Seen(Invariant):
    """Counts what it is told."""

    name = "seen"
    source = "this test"
    counts: ClassVar[Counter[str]] = Counter()

    def started(self, life: Life) -> None:
        assert life.log.last_index >= 0
        self.counts["started"] += 1

    def changed(self, life: Life) -> None:
        self.counts["changed"] += 1

    def became(self, life: Life) -> None:
        self.counts[f"became {life.role and life.role.name}"] += 1

    def sent(self, life: Life, to: str, message: Message) -> None:
        self.counts[f"sent {type(message).__name__}"] += 1

    def written(self, node_id: str, writes: Sequence[Write]) -> None:
        self.counts["written"] += len(writes)

    def applied(self, life: Life, index: int, command: bytes, result: Hashable) -> None:
        self.counts["applied"] += 1

    def restored(self, life: Life, index: int, count: int) -> None:
        self.counts["restored"] += 1

    def digested(self, life: Life, index: int, digest: int) -> None:
        self.counts["digested"] += 1

    def ended(self, life: Life) -> None:
        self.counts["ended"] += 1

    def finished(self) -> None:
        self.counts["finished"] += 1


def test_an_invariant_of_ones_own_sees_everything() -> None:
    Seen.counts.clear()

    async def scenario() -> None:
        config = NodeConfig(snapshot_entries=5, trailing_entries=0, max_catch_up_bytes=0)
        invariants = (*STANDARD_INVARIANTS, Seen)
        async with simulate(CommandLog, seed=2, invariants=invariants, config=config) as cluster:
            await cluster.one(b"first", 3)
            cluster.crash("n3")
            for number in range(12):
                await cluster.one(b"%d" % number, 2)
            await cluster.start("n3")
            await cluster.one(b"last", 3)
            assert cluster.facts.committed.last_index >= 14
            assert cluster.facts.committed.term_at(10**6) is None

    run_simulated(scenario)
    counts = Seen.counts
    assert counts["started"] == 4
    assert counts["ended"] == 4
    assert counts["finished"] == 1
    assert counts["became leader"] >= 1
    assert counts["became follower"] >= 4
    assert counts["applied"] >= 14 * 2
    assert counts["restored"] >= 1
    assert counts["digested"] >= 4
    assert counts["written"] >= 14 * 2
    assert counts["changed"] > counts["became leader"] + counts["became follower"]
    for message in ("RequestVote", "RequestVoteReply", "AppendEntries", "AppendEntriesAccepted", "InstallSnapshot"):
        assert counts[f"sent {message}"] >= 1, message


class AtMostTwo(Invariant):
    name = "at most two"
    source = "this test"

    def applied(self, life: Life, index: int, command: bytes, result: Hashable) -> None:
        if life.applied_count >= 2:
            self.fail(f"{life} applies {command!r} as the third")


def test_an_invariant_of_ones_own_is_heard() -> None:
    async def scenario() -> None:
        async with simulate(CommandLog, seed=3, invariants=[AtMostTwo]) as cluster:
            for number in range(3):
                await cluster.one(b"%d" % number, 3)

    with pytest.raises(CheckFailed, match=r"seed 3, .*at most two \(this test\): node .* applies b'2' as the third"):
        run_simulated(scenario)


class Picky(StateMachine[bytes, int]):
    """Refuses every other command, on every replica alike."""

    def __init__(self) -> None:
        self.count = 0

    def apply(self, command: bytes) -> int:
        self.count += 1
        if self.count % 2:
            raise ValueError("not this one", command)
        return self.count

    def snapshot(self) -> Iterable[bytes]:
        return [b"%d" % self.count]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        self.count = int(b"".join([chunk async for chunk in chunks]))


def test_errors_are_results_like_others() -> None:
    async def scenario() -> None:
        async with simulate(Picky, seed=4) as cluster:
            leader = cluster.node(await cluster.wait_for_one_leader())
            for number in range(6):
                try:
                    assert await leader.propose(b"%d" % number) % 2 == 0
                except CommandFailed:
                    assert number % 2 == 0
            await trio.sleep(1)
            assert len(cluster.facts.history) == 6

    run_simulated(scenario)
