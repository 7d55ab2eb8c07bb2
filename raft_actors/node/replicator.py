"""The replicator: brings one follower's log in line with the leader's, for as long as the leadership lasts.

It owns that follower's `Progress`; nobody else changes it, so it may await storage in the middle of its work and find
everything as it left it; heartbeats go on meanwhile. What to send next is decided there; here it is fetched (from
memory, or from storage for a follower far behind) and sent. Sending never blocks: what the transport drops is sent
again with the next heartbeat, as if the network had lost it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import trio

from raft_actors.actors.actor import Actor, MailboxFull
from raft_actors.node_log import NodeLog
from raft_actors.persistence.abc import SnapshotReader, Storage
from raft_actors.raft.chunk_window import ChunkWindow
from raft_actors.raft.effects import Beat, Resume, WakeReplicators
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
)
from raft_actors.raft.progress import Progress, ProgressState
from raft_actors.raft.state import RaftState
from raft_actors.transports.abc import Transport

_logger = logging.getLogger(__name__)

T = TypeVar("T")

ReplicatorMessage = WakeReplicators | Beat | Resume | Message

#: Replies waiting for a replicator beyond its window of unanswered appends; more are as good as lost on the way.
_SPARE_CAPACITY = 64

#: Bytes of a snapshot's chunks read at a time, about: a leader's commits wait for its disk meanwhile.
_READ_BYTES = 4 * 1024 * 1024

#: Heartbeats to wait for an answer to snapshot chunks before they are sent again: a slow link must not be flooded.
#: Fewer where the follower has answered some that came after the chunks: then they are lost, or its disk is slow.
_CHUNK_PATIENCE = 8
_CHUNK_ANSWERS = 4

#: Rejections in a row of what a follower had acknowledged, before it is taken to have lost it: late ones are few.
_CONTRADICTIONS = 10


class Replicator(Actor[ReplicatorMessage]):
    """Feeds one follower. See the module's text."""

    def __init__(self, peer: str, state: RaftState, *, next_index: int, transport: Transport, storage: Storage) -> None:
        config = state.config
        super().__init__(name=f"replicator to {peer}", capacity=config.max_inflight_appends + _SPARE_CAPACITY)
        self.peer = peer
        self.progress: Progress = Progress(
            next_index=next_index,
            max_inflight=config.max_inflight_appends,
            max_inflight_bytes=config.max_inflight_bytes,
        )
        self._state = state
        self._log = NodeLog(_logger, state.node_id)
        self._term = state.term
        self._transport = transport
        self._storage = storage
        self._snapshot: SnapshotReader | None = None
        self._configuration = b""
        self._chunks = ChunkWindow(0)
        self._told_commit = 0  # the commit index that the last message named
        self._beat_due = True
        self._silent_beats = self._answered_beats = 0
        self._is_silent = False
        self._refused = False
        self._reading = False  # storage is awaited: `notify` runs meanwhile, and must leave the progress alone
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            WakeReplicators: lambda _: None,
            Beat: self._on_beat,
            Resume: self._on_resume,
            AppendEntriesAccepted: self._on_accepted,
            AppendEntriesRejected: self._on_rejected,
            InstallSnapshotReply: self._on_snapshot_reply,
        }

    def notify(self, message: ReplicatorMessage) -> None:
        """Tell it, or let it go: a replicator whose mailbox is full will look at the log anyway, and ask again."""
        if type(message) is Beat:
            self._is_silent = self.peer in message.silent
            if self._reading or self._is_up_to_date():
                self._send_heartbeat()  # with nothing else to do, or a disk that may be slow, while the leader lives
                return
        elif not self._reading and self._handles_at_once(message):
            return
        try:
            self.tell(message)
        except MailboxFull:
            return

    def announce_commit(self) -> None:
        """Tell the follower what is committed, where it was not told yet and nothing else goes there that would."""
        if self._told_commit < self._state.commit_index and self._is_up_to_date():
            self._send_append((), wants_reply=False)

    def _is_up_to_date(self) -> bool:
        """Whether all was sent, and the follower needs no snapshot: then a beat is nothing but a heartbeat."""
        progress = self.progress
        return (
            progress.state is ProgressState.REPLICATE
            and progress.next_index > self._state.log.last_index
            and self._previous_term() is not None
        )

    def _handles_at_once(self, message: ReplicatorMessage) -> bool:
        """Do at once what comes with every commit: a turn for it would cost more, and the follower would wait for it.

        That is to send entries that are in memory, and to note an answer after which there is nothing to send.
        """
        progress, last_index = self.progress, self._state.log.last_index
        if progress.state is not ProgressState.REPLICATE:
            return False
        if type(message) is WakeReplicators:
            while not self._refused and progress.may_append(last_index):
                entries = self._recent()
                if entries is None:
                    return False
                self._send_entries(entries)
            return True
        if type(message) is AppendEntriesAccepted:
            progress.accepted(message.match_index)
            self._refused = False
            return not progress.may_append(last_index)
        return False

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Feed the follower until cancelled, which the end of the leadership does."""
        try:
            self._send_heartbeat()
            await super().run()
        finally:
            self._close_snapshot()

    async def receive(self, messages: list[ReplicatorMessage]) -> None:
        """Note what the follower said, then send what may be sent."""
        for message in messages:
            self._handlers[type(message)](message)
            if type(message) is not WakeReplicators:
                self._refused = False
        await self._send_what_is_due()
        if self._beat_due:
            self._send_heartbeat()
        self.progress.check()

    # --- what it is told -------------------------------------------------------------------------------------

    def _on_beat(self, _message: Beat) -> None:
        self._beat_due = True
        self._silent_beats += 1
        if self.progress.state is not ProgressState.SNAPSHOT:
            self._silent_beats = 0
            self.progress.heartbeat_due()
        elif self._silent_beats >= _CHUNK_PATIENCE:
            self._send_chunks_again()

    def _on_resume(self, _message: Resume) -> None:
        """Nothing that was not answered by now will be: it was refused, or went down with the connection before."""
        self._beat_due = True
        self._send_chunks_again()

    def _on_accepted(self, message: AppendEntriesAccepted) -> None:
        progress = self.progress
        progress.accepted(message.match_index)
        if progress.is_snapshot_needless(self._state.log):
            progress.snapshot_given_up()
            self._close_snapshot()
        elif progress.state is ProgressState.SNAPSHOT:
            self._answered_beats += 1
            if self._answered_beats >= _CHUNK_ANSWERS:
                self._send_chunks_again()

    def _on_rejected(self, message: AppendEntriesRejected) -> None:
        progress = self.progress
        progress.rejected(message, self._state.log)
        if progress.contradictions == _CONTRADICTIONS:
            self._log.warning(
                "%s has lost entries that it had acknowledged, of those up to %d: were its files deleted or replaced? "
                "It has forgotten its vote with them: stop that node, and remove it (raft-actors remove). It may come "
                "back with an empty store, as a new member (--join)",
                self.peer,
                progress.match_index,
            )

    def _on_snapshot_reply(self, message: InstallSnapshotReply) -> None:
        self._silent_beats = self._answered_beats = 0
        if message.installed:
            waited_for = self.progress.state is ProgressState.SNAPSHOT
            if waited_for or message.snapshot.index > self.progress.match_index:
                self.progress.snapshot_installed(message.snapshot.index)
                self._close_snapshot()
        elif self._snapshot is not None and message.snapshot == self._snapshot.metadata:
            self._chunks.answered(message.next_sequence)

    def _send_chunks_again(self) -> None:
        self._silent_beats = self._answered_beats = 0
        self.progress.heartbeat_due()
        self._chunks.rewind()

    # --- what it sends ---------------------------------------------------------------------------------------

    async def _send_what_is_due(self) -> None:
        if self._refused:
            return  # nobody takes it: don't fetch it again for each new entry
        progress, log = self.progress, self._state.log
        if progress.state is not ProgressState.SNAPSHOT and self._previous_term() is None:
            # Also where the window is full: what is on its way may be lost, and no heartbeat could show that.
            progress.snapshot_needed()
        if progress.state is ProgressState.PROBE and not progress.probe_sent:
            progress.probe_sent = self._send_append(())
        while progress.may_append(log.last_index):
            entries = self._recent() or await self._stored()
            if not entries or not self._send_entries(entries):
                break
        if progress.state is ProgressState.SNAPSHOT and not progress.probe_sent:
            await self._send_chunks()

    def _previous_term(self) -> int | None:
        """Term of the entry before the next one; None where the next one (or that) is compacted away."""
        log, next_index = self._state.log, self.progress.next_index
        return None if next_index < log.first_index else log.term_at(next_index - 1)

    def _recent(self) -> list[EntryBatch] | None:
        """What the follower needs next; None where memory does not have it."""
        progress, log = self.progress, self._state.log
        if self._previous_term() is None:
            return None
        return log.recent(progress.next_index, log.last_index, self._state.config.max_append_bytes)

    async def _stored(self) -> list[EntryBatch] | None:
        """The same from storage; None where it is compacted away."""
        progress, log = self.progress, self._state.log
        limit = self._state.config.max_append_bytes
        stored: Sequence[EntryBatch] = ()
        if self._previous_term() is not None:
            # A KeyError: compacted while the read was on its way.
            with contextlib.suppress(KeyError):
                stored = await self._read(self._storage.read_entries(progress.next_index, log.durable_index, limit))
        if not stored or self._previous_term() is None:
            progress.snapshot_needed()
            return None
        return list(stored)

    def _send_entries(self, entries: list[EntryBatch]) -> bool:
        """Send one message with these. False: nothing more can be sent now."""
        if not self._send_append(tuple(entries)):
            return False
        self.progress.append_sent(entries[-1].last_index, sum(batch.size for batch in entries))
        return True

    def _send_append(self, entries: tuple[EntryBatch, ...], *, wants_reply: bool = True) -> bool:
        previous = self.progress.next_index - 1
        term = self._previous_term()
        if term is None:
            return False
        commit_index = self._state.commit_index
        sent = self._send(AppendEntries(self._term, previous, term, commit_index, entries, wants_reply))
        if sent:
            self._beat_due = False
            self._told_commit = commit_index
        return sent

    def _send_heartbeat(self) -> None:
        """Say that the leader lives. While a snapshot is sent, nothing is known to match but the empty log."""
        self._beat_due = False
        if self.progress.state is ProgressState.SNAPSHOT or self._previous_term() is None:
            self._send(AppendEntries(self._term, 0, 0, self._state.commit_index))
        else:
            sent = self._send_append((), wants_reply=self._must_hear())
            if sent and self.progress.state is ProgressState.PROBE:
                self.progress.probe_sent = True

    def _must_hear(self) -> bool:
        """Whether a heartbeat has to be answered: where something may be lost on the way, and now and then.

        With nothing of the follower's missing, an answer says only that it lives, which a leader has to know once in
        an election timeout (dissertation §6.2).
        """
        progress = self.progress
        all_known = progress.state is ProgressState.REPLICATE and progress.match_index == progress.next_index - 1
        return not all_known or self._is_silent

    async def _send_chunks(self) -> None:
        if not self._chunks.next_chunk and self._snapshot and self._snapshot.metadata != self._state.log.snapshot:
            self._close_snapshot()  # a newer one was taken while the follower did not answer
        if self._snapshot is None:
            self._snapshot = await self._read(self._storage.open_snapshot())
            if self._snapshot is None:
                # Taken, but not yet committed: look again at the next heartbeat.
                self.progress.probe_sent = True
                self._silent_beats = _CHUNK_PATIENCE
                return
            self._chunks = ChunkWindow(self._snapshot.chunk_count)
            stored = self._state.configurations.at(self._snapshot.metadata.index).stored
            self._configuration = b"" if stored is None else stored.packed()
        reader, chunks = self._snapshot, self._chunks
        while chunks.may_send and not self._refused:
            most_chunks, room_bytes = chunks.room
            read = reader.read_chunks(chunks.next_chunk, most_chunks, min(room_bytes, _READ_BYTES))
            for data in await self._read(read):
                if not self._send_chunk(reader, data):
                    break
                # A chunk takes the kernel longer than a command takes all the way: let others have their turns.
                await trio.lowlevel.cancel_shielded_checkpoint()

    def _send_chunk(self, reader: SnapshotReader, data: bytes) -> bool:
        """Send the chunk that comes next. False: it can't be sent now."""
        sequence = self._chunks.next_chunk
        done = sequence + 1 == reader.chunk_count
        configuration = b"" if sequence else self._configuration
        sent = self._send(InstallSnapshot(self._term, reader.metadata, sequence, data, done, configuration))
        if sent:
            self._chunks.sent(len(data))
            self._silent_beats = self._answered_beats = 0
        return sent

    def _send(self, message: Message) -> bool:
        self._refused = not self._transport.send_nowait(self.peer, message)
        return not self._refused

    async def _read(self, reading: Awaitable[T]) -> T:
        self._reading = True
        try:
            return await reading
        finally:
            self._reading = False

    def _close_snapshot(self) -> None:
        if self._snapshot is not None:
            self._snapshot.close()
            self._snapshot = None
