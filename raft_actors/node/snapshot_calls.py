"""Taking and reading snapshots, as an application does it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import trio

from raft_actors.actors.actor import ActorStopped
from raft_actors.actors.home_thread import current_task
from raft_actors.errors import NodeStopped
from raft_actors.node.looking import applier_of
from raft_actors.node.replicated_sessions import read_table
from raft_actors.node.snapshot_chunks import SnapshotChunks
from raft_actors.node.snapshot_schedule import RequestSnapshot
from raft_actors.node.supervisor import Supervisor
from raft_actors.raft.persistent_state import SnapshotMetadata


class SnapshotCalls:
    """What a `Node` can do about snapshots. A part of it: see there."""

    _supervisor: Supervisor

    @trio.lowlevel.enable_ki_protection
    async def take_snapshot(self) -> SnapshotMetadata:
        """Take a snapshot of what is applied now, whatever the policy says; return its metadata once it is durable.

        Raises:
            NodeStopped: the node ended first; the cause is what ended it (a `snapshot` that raised, say).
            UsageError: this is not a task of the node's Trio run, or the node has not recovered yet.
        """
        current_task()
        self._supervisor.check_caller()
        try:
            snapshot: SnapshotMetadata = await applier_of(self._supervisor).ask(RequestSnapshot)
            return snapshot
        except ActorStopped as stopped:
            cause = stopped.__cause__
        if cause is None:  # another actor crashed: which, is known once all have ended
            await self._supervisor.ended.wait()
        raise NodeStopped(self._supervisor.node_id) from cause or self._supervisor.crash

    @asynccontextmanager
    async def open_snapshot(self) -> AsyncGenerator[tuple[SnapshotMetadata, AsyncIterator[bytes]] | None, None]:
        """Read the latest snapshot: its metadata, and its chunks to iterate over. None where there is none.

        It stays readable while it is open, even when a newer one replaces it.
        """
        current_task()
        self._supervisor.check_caller()
        applier_of(self._supervisor)
        reader = await self._supervisor.storage.open_snapshot()
        if reader is None:
            yield None
            return
        try:
            yield reader.metadata, (await read_table(SnapshotChunks(reader)))[1]
        finally:
            reader.close()
