"""Word of a commit: soon where nothing else tells of it, never where something does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from raft_actors.actors.clock import NodeClock
from raft_actors.node.commit_announcer import CommitAnnouncer
from raft_actors.raft.effects import Beat
from raft_actors.raft.messages import Message
from tests.actors.replication import Stage, accepted, append, quiet, running
from tests.unit.builders import batches


@asynccontextmanager
async def replicating(mock_clock: MockClock) -> AsyncGenerator[tuple[Stage, CommitAnnouncer], None]:
    """A follower that has acknowledged the one entry there is, and an announcer."""
    async with running([1]) as stage:
        stage.outbox.take()
        await stage.tell(accepted(1))
        announcer = CommitAnnouncer(stage.state, [stage.replicator], NodeClock())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(announcer.run)
            await wait_all_tasks_blocked()
            yield stage, announcer
            nursery.cancel_scope.cancel()


async def passes(stage: Stage, clock: MockClock, seconds: float) -> list[Message]:
    """What is sent meanwhile."""
    clock.jump(seconds)
    await wait_all_tasks_blocked()
    return stage.outbox.take()


async def commit(stage: Stage, announcer: CommitAnnouncer, index: int) -> None:
    stage.state.commit(index)
    announcer.wake()
    await wait_all_tasks_blocked()


async def test_tells_of_a_commit_after_a_moment_in_which_nothing_was_appended(mock_clock: MockClock) -> None:
    async with replicating(mock_clock) as (stage, announcer):
        await commit(stage, announcer, 1)
        assert await passes(stage, mock_clock, 0.001) == []
        assert await passes(stage, mock_clock, 0.001) == [quiet(1, 1, commit=1)]
        assert await passes(stage, mock_clock, 1) == []


async def test_says_nothing_where_an_append_has_told(mock_clock: MockClock) -> None:
    async with replicating(mock_clock) as (stage, announcer):
        await commit(stage, announcer, 1)
        assert await stage.append(2) == [append(1, 1, *batches(2, [2]), commit=1)]
        assert await passes(stage, mock_clock, 0.002) == []
        assert await passes(stage, mock_clock, 1) == []  # nor while that one is not committed


async def test_tells_of_the_last_commit_once_appends_come_no_more(mock_clock: MockClock) -> None:
    async with replicating(mock_clock) as (stage, announcer):
        for index in range(2, 10):
            await commit(stage, announcer, index - 1)
            assert await stage.append(2) == [
                append(index - 1, 2 - (index == 2), *batches(index, [2]), commit=index - 1)
            ]
            assert await stage.tell(accepted(index)) == []
            assert await passes(stage, mock_clock, 0.002) == []
        await commit(stage, announcer, 9)
        told = [await passes(stage, mock_clock, 0.001) for _ in range(16)]
        assert [message for messages in told for message in messages] == [quiet(9, 2, commit=9)]


async def test_says_nothing_where_a_heartbeat_has_told(mock_clock: MockClock) -> None:
    async with replicating(mock_clock) as (stage, announcer):
        await commit(stage, announcer, 1)
        assert await stage.tell(Beat()) == [quiet(1, 1, commit=1)]
        assert await passes(stage, mock_clock, 1) == []


async def test_leaves_followers_alone_that_lack_entries(mock_clock: MockClock) -> None:
    """Theirs are on the way, or a snapshot is: they tell what is committed."""
    async with running([1, 1]) as stage:
        stage.outbox.take()
        announcer = CommitAnnouncer(stage.state, [stage.replicator], NodeClock())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(announcer.run)
            await wait_all_tasks_blocked()
            await commit(stage, announcer, 2)
            assert await passes(stage, mock_clock, 1) == []
            nursery.cancel_scope.cancel()
