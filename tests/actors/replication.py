"""A replicator with a leader's log, a disk and a network around it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.node.replicator import Replicator, ReplicatorMessage
from raft_actors.raft.effects import WakeReplicators
from raft_actors.raft.log import Log
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    Message,
)
from raft_actors.raft.persistent_state import LogWrite
from raft_actors.raft.state import RaftState
from tests.actors.doubles import GatedStorage, Outbox
from tests.actors.stores import IDENTITY
from tests.unit.builders import batches, make_state, recovered

TERM = 5


class Stage:
    """A running replicator to n2, its log, and what it sends."""

    def __init__(self, state: RaftState, storage: GatedStorage) -> None:
        self.state, self.storage = state, storage
        self.outbox = Outbox()
        self.replicator = Replicator(
            "n2", state, next_index=state.log.last_index + 1, transport=self.outbox, storage=storage
        )

    @property
    def progress(self) -> Any:
        return self.replicator.progress

    async def tell(self, *messages: ReplicatorMessage) -> list[Message]:
        """Tell it, and return what it sends then."""
        for message in messages:
            self.replicator.notify(message)
        await wait_all_tasks_blocked()
        return self.outbox.take()

    async def append(self, *terms: int) -> list[Message]:
        """Let the leader's log grow by an entry of each term, and wake it."""
        for entry in batches(self.state.log.last_index + 1, terms):
            self.state.log.append(entry)
        return await self.tell(WakeReplicators())


@asynccontextmanager
async def running(terms: Sequence[int] = (), *, in_memory: bool = True, **settings: Any) -> AsyncGenerator[Stage, None]:
    """A replicator that has sent its first probe, in a leader's log with an entry of each of these terms."""
    state = make_state(terms, term=TERM, **settings)
    storage = GatedStorage()
    await storage.open(IDENTITY, tail_bytes=0)
    if terms:
        await storage.write([LogWrite(entries=tuple(batches(1, terms)))])
    if not in_memory:
        known = recovered(terms)
        state.log = Log(type(known)(known.hard_state, None, 1, len(terms), known.term_runs, ()), cache_bytes=1)
    stage = Stage(state, storage)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.replicator.run)
        await wait_all_tasks_blocked()
        yield stage
        nursery.cancel_scope.cancel()


def append(previous: int, previous_term: int, *entries: Any, commit: int = 0) -> AppendEntries:
    return AppendEntries(TERM, previous, previous_term, commit, entries)


def quiet(previous: int, previous_term: int, commit: int = 0) -> AppendEntries:
    """A heartbeat that a follower need not answer."""
    return AppendEntries(TERM, previous, previous_term, commit, wants_reply=False)


def accepted(match_index: int) -> AppendEntriesAccepted:
    return AppendEntriesAccepted(TERM, match_index)


def rejected(previous: int, conflict_term: int | None, conflict_index: int) -> AppendEntriesRejected:
    return AppendEntriesRejected(TERM, previous, conflict_term, conflict_index)
