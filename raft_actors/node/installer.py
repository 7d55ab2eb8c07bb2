"""The installer: writes the snapshot that a leader sends, chunk by chunk.

As many chunks are in memory as a leader has under way. Whether a finished snapshot becomes current is decided by the
role, in order with all other changes of the log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

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

#: Bytes of chunks written at a time, about: so that the leader hears early that there is room for more.
_WRITE_BYTES = 4 * 1024 * 1024

_Key = tuple[int, str, SnapshotMetadata]


@define
class _Incoming:
    """A snapshot being received. Two leaders' snapshots of one index may be cut differently, so both are in its key."""

    key: _Key
    snapshot_id: int
    configuration: StoredConfiguration | None
    next_sequence: int = 0
    """The first chunk that is not written."""
    due: list[InstallSnapshot] = attrs.field(factory=list[InstallSnapshot])
    """The chunks from there on that have come together, and are to be written together."""
    missed_at: int | None = None
    """The chunk at which the leader was told that the next one is missing. Those behind it were under way then, and say
    nothing new; where it comes again, the leader sends all again, and has not understood."""


def _is_older(one: _Key, other: _Key) -> bool:
    """Whether it is an older snapshot of the same leader."""
    return one[:2] == other[:2] and one[2].index < other[2].index


class SnapshotInstaller(Actor[StoreChunk | DiscardSnapshot]):
    """Writes the chunks of a leader's snapshot in turn, and tells the leader how far it has come.

    Those that have come meanwhile are written together, and answered together: each way to the storage, and each
    answer, waits for a turn of the event loop, which a busy one gives rarely.
    """

    def __init__(self, storage: Storage, report: Report) -> None:
        super().__init__(name="snapshot installer", capacity=_CAPACITY)
        self._storage = storage
        self._report = report
        self._incoming: _Incoming | None = None
        self._finished: _Key | None = None

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
                await self._take(message.leader, message.message)
        await self._write_due()

    async def _take(self, leader: str, message: InstallSnapshot) -> None:
        key = (message.term, leader, message.snapshot)
        if key == self._finished:
            return  # a duplicate: the role answers for the whole snapshot
        if self._incoming is not None and _is_older(key, self._incoming.key):
            return  # late: a leader that has begun with a newer one never goes back
        incoming = await self._incoming_for(key, message)
        if incoming is None:
            await self._answer(key, 0)
            return
        if message.sequence == incoming.next_sequence + len(incoming.due):
            incoming.due.append(message)
            incoming.missed_at = None
            if message.done or sum(len(each.data) for each in incoming.due) >= _WRITE_BYTES:
                await self._write_due()
            return
        await self._write_due()
        if message.sequence > incoming.next_sequence:
            if incoming.missed_at is not None and message.sequence > incoming.missed_at:
                return
            incoming.missed_at = message.sequence
        await self._answer(key, incoming.next_sequence)

    async def _incoming_for(self, key: _Key, message: InstallSnapshot) -> _Incoming | None:
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

    async def _write_due(self) -> None:
        """Write the chunks that are due, and say so: to the leader, or to the role where it was the last of them."""
        incoming = self._incoming
        if incoming is None or not incoming.due:
            return
        due, incoming.due = incoming.due, []
        chunks = [message.data for message in due]
        await self._storage.write_snapshot_chunks(incoming.snapshot_id, incoming.next_sequence, chunks)
        incoming.next_sequence += len(due)
        if not due[-1].done:
            await self._answer(incoming.key, incoming.next_sequence)
            return
        self._incoming, self._finished = None, incoming.key
        term, leader, snapshot = incoming.key
        received = SnapshotReceived(
            term, leader, snapshot, incoming.snapshot_id, incoming.next_sequence, incoming.configuration
        )
        await self._report(received)

    async def _answer(self, key: _Key, next_sequence: int) -> None:
        term, leader, snapshot = key
        reply = InstallSnapshotReply(term, snapshot, next_sequence, installed=False)
        await self._report(ChunkStored(term, Send(leader, reply)))
