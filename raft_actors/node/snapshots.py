"""Snapshots on their way to disk: of this node's own state, and from a leader. And back to the state machine.

Neither side ever holds a snapshot whole: one chunk is in memory at a time, and the next is asked for when it is
written. Whether a finished snapshot becomes current is decided by the role, in order with all other changes of the
log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import attrs
import trio

from raft_actors.actors.actor import Actor, MailboxFull
from raft_actors.actors.clock import NodeClock
from raft_actors.config import NodeConfig
from raft_actors.errors import StateMachineError
from raft_actors.persistence.abc import SnapshotReader, Storage
from raft_actors.raft.effects import DiscardSnapshot, Send, StoreChunk
from raft_actors.raft.inputs import ChunkStored, Input, SnapshotReceived, SnapshotWritten
from raft_actors.raft.messages import InstallSnapshot, InstallSnapshotReply
from raft_actors.raft.persistent_state import SnapshotMetadata

Report = Callable[[Input], Awaitable[None]]

_INSTALLER_CAPACITY = 16


@attrs.frozen
class SnapshotJob:
    """A snapshot to write: what it covers, and its chunks as the state machine gives them."""

    snapshot: SnapshotMetadata
    chunks: Iterator[bytes]


class SnapshotChunks:
    """The chunks of a stored snapshot, read as they are asked for: `async for chunk in SnapshotChunks(reader)`."""

    def __init__(self, reader: SnapshotReader) -> None:
        self._reader = reader
        self._next = 0

    def __aiter__(self) -> SnapshotChunks:
        return self

    async def __anext__(self) -> bytes:
        if self._next >= self._reader.chunk_count:
            raise StopAsyncIteration
        chunk = await self._reader.read_chunk(self._next)
        self._next += 1
        return chunk


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


@attrs.define
class _Incoming:
    """A snapshot being received. Two leaders' snapshots of one index may be cut differently, so both are in its key."""

    key: tuple[int, str, SnapshotMetadata]
    snapshot_id: int
    next_sequence: int = 0


class SnapshotInstaller(Actor[StoreChunk | DiscardSnapshot]):
    """Writes the chunks of a leader's snapshot, and asks for the next once one is on disk."""

    def __init__(self, storage: Storage, report: Report) -> None:
        super().__init__(name="snapshot installer", capacity=_INSTALLER_CAPACITY)
        self._storage = storage
        self._report = report
        self._incoming: _Incoming | None = None
        self._finished: tuple[int, str, SnapshotMetadata] | None = None

    def notify(self, message: StoreChunk | DiscardSnapshot) -> None:
        """Tell it, or let it go: a chunk is sent again, and a snapshot not discarded is removed with the next one."""
        try:
            self.tell(message)
        except MailboxFull:
            return

    async def receive(self, messages: list[StoreChunk | DiscardSnapshot]) -> None:
        """Write what came, in order."""
        for message in messages:
            if isinstance(message, DiscardSnapshot):
                await self._storage.discard_snapshot(message.snapshot_id)
            else:
                await self._store(message.leader, message.message)

    async def _store(self, leader: str, message: InstallSnapshot) -> None:
        key = (message.term, leader, message.snapshot)
        if key == self._finished:
            return  # a duplicate: the role answers for the whole snapshot
        incoming = await self._incoming_for(key, message)
        if incoming is None:
            await self._answer(leader, message, 0)
            return
        if message.sequence == incoming.next_sequence:
            await self._storage.write_snapshot_chunk(incoming.snapshot_id, message.sequence, message.data)
            incoming.next_sequence += 1
            if message.done:
                self._incoming, self._finished = None, key
                await self._report(
                    SnapshotReceived(
                        message.term, leader, message.snapshot, incoming.snapshot_id, incoming.next_sequence
                    )
                )
                return
        await self._answer(leader, message, incoming.next_sequence)

    async def _incoming_for(self, key: tuple[int, str, SnapshotMetadata], message: InstallSnapshot) -> _Incoming | None:
        """The snapshot that the chunk belongs to, begun if it is the first; None where the first is missing."""
        incoming = self._incoming
        if incoming is not None and incoming.key == key:
            return incoming
        if message.sequence != 0:
            return None
        if incoming is not None:
            await self._storage.discard_snapshot(incoming.snapshot_id)
        self._incoming = _Incoming(key, await self._storage.begin_snapshot(message.snapshot))
        return self._incoming

    async def _answer(self, leader: str, message: InstallSnapshot, next_sequence: int) -> None:
        reply = InstallSnapshotReply(message.term, message.snapshot, next_sequence, installed=False)
        await self._report(ChunkStored(message.term, Send(leader, reply)))
