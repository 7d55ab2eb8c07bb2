"""The installer: writes the snapshot that a leader sends, chunk by chunk.

As many chunks are in memory as a leader has under way, and each that is written is answered. Whether a finished
snapshot becomes current is decided by the role, in order with all other changes of the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from raft_actors.actors.actor import Actor, MailboxFull
from raft_actors.persistence.abc import Storage
from raft_actors.raft.chunk_window import MOST_CHUNKS
from raft_actors.raft.effects import DiscardSnapshot, Send, StoreChunk
from raft_actors.raft.inputs import ChunkStored, SnapshotReceived
from raft_actors.raft.messages import InstallSnapshot, InstallSnapshotReply
from raft_actors.raft.persistent_state import SnapshotMetadata, StoredConfiguration
from raft_actors.records import define

Report = Callable[[ChunkStored | SnapshotReceived], Awaitable[None]]
"""Hands an input to the role."""

#: Room for all chunks that a leader has under way, and for what makes room.
_CAPACITY = 2 * MOST_CHUNKS


@define
class _Incoming:
    """A snapshot being received. Two leaders' snapshots of one index may be cut differently, so both are in its key."""

    key: tuple[int, str, SnapshotMetadata]
    snapshot_id: int
    configuration: StoredConfiguration | None
    next_sequence: int = 0
    missed: bool = False
    """Whether the leader was told that the next one is missing. What else it has under way then says nothing new."""


class SnapshotInstaller(Actor[StoreChunk | DiscardSnapshot]):
    """Writes the chunks of a leader's snapshot in turn, and tells the leader how far it has come."""

    def __init__(self, storage: Storage, report: Report) -> None:
        super().__init__(name="snapshot installer", capacity=_CAPACITY)
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
        if message.sequence > incoming.next_sequence:
            if not incoming.missed:
                incoming.missed = True
                await self._answer(leader, message, incoming.next_sequence)
            return
        if message.sequence == incoming.next_sequence:
            await self._storage.write_snapshot_chunk(incoming.snapshot_id, message.sequence, message.data)
            incoming.next_sequence += 1
            incoming.missed = False
            if message.done:
                self._incoming, self._finished = None, key
                await self._report(
                    SnapshotReceived(
                        message.term,
                        leader,
                        message.snapshot,
                        incoming.snapshot_id,
                        incoming.next_sequence,
                        incoming.configuration,
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
        snapshot_id = await self._storage.begin_snapshot(message.snapshot)
        self._incoming = _Incoming(key, snapshot_id, message.stored_configuration())
        return self._incoming

    async def _answer(self, leader: str, message: InstallSnapshot, next_sequence: int) -> None:
        reply = InstallSnapshotReply(message.term, message.snapshot, next_sequence, installed=False)
        await self._report(ChunkStored(message.term, Send(leader, reply)))
