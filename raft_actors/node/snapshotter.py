"""The snapshotter: writes snapshots of this node's own state.

A snapshot is never whole in memory: one chunk is, and the next is drawn when it is written. Whether a finished snapshot
becomes current is decided by the role, in order with all other changes of the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import trio

from raft_actors.actors.actor import Actor
from raft_actors.actors.clock import NodeClock
from raft_actors.config import NodeConfig
from raft_actors.errors import StateMachineError
from raft_actors.persistence.abc import Storage
from raft_actors.raft.inputs import SnapshotWritten
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.records import frozen

Report = Callable[[SnapshotWritten], Awaitable[None]]
"""Hands an input to the role."""


@frozen
class SnapshotJob:
    """A snapshot to write: what it covers, and its chunks as the state machine gives them."""

    snapshot: SnapshotMetadata
    chunks: Iterator[bytes]


class Snapshotter(Actor[SnapshotJob]):
    """Writes snapshots of this node's own state, while later commands are applied."""

    def __init__(self, storage: Storage, config: NodeConfig, report: Report, clock: NodeClock | None = None) -> None:
        super().__init__(name="snapshotter", capacity=1)
        self._storage = storage
        self._config = config
        self._report = report
        self._now = (clock or NodeClock()).now

    async def receive(self, messages: list[SnapshotJob]) -> None:
        """Write each snapshot, and report it to the role."""
        for job in messages:
            snapshot_id = await self._storage.begin_snapshot(job.snapshot)
            await self._write_chunks(snapshot_id, job)
            await self._report(SnapshotWritten(job.snapshot, snapshot_id))

    async def _write_chunks(self, snapshot_id: int, job: SnapshotJob) -> None:
        size = self._config.snapshot_chunk_bytes
        sequence = 0
        buffer = bytearray()
        slice_ends = self._now() + self._config.apply_slice_s
        for view in self._pieces(job):
            # A state machine may give crumbs or everything at once: cut to size, and never hold the loop for long.
            while view:
                room = size - len(buffer)
                buffer += view[:room]
                view = view[room:]
                if len(buffer) == size:
                    await self._storage.write_snapshot_chunk(snapshot_id, sequence, bytes(buffer))
                    sequence += 1
                    buffer.clear()
            if self._now() >= slice_ends:
                await trio.lowlevel.checkpoint()
                slice_ends = self._now() + self._config.apply_slice_s
        if buffer or sequence == 0:
            await self._storage.write_snapshot_chunk(snapshot_id, sequence, bytes(buffer))

    @staticmethod
    @trio.lowlevel.disable_ki_protection  # the application's code
    def _pieces(job: SnapshotJob) -> Iterator[memoryview]:
        try:
            for piece in job.chunks:
                yield memoryview(piece)
        except Exception as error:
            raise StateMachineError(
                f"the state machine can't write its snapshot at index {job.snapshot.index}"
            ) from error
