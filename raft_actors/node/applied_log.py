"""The applied log as a channel, for applications that consume it themselves, beside or instead of a state machine.

A reader fetches applied entries at its own pace, from memory or storage, so nothing queues up and a slow reader slows
nobody. If it falls so far behind that what it needs is compacted away, it is told of the snapshot that covers it and
goes on after.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

import trio

from raft_actors.actors.home_thread import current_task
from raft_actors.commands import CommandCodec
from raft_actors.config import MIB
from raft_actors.node.applier import Applier
from raft_actors.node.kept_results import NOT_KEPT, KeptResults
from raft_actors.persistence.abc import Storage
from raft_actors.raft.entries import Entry, EntryKind
from raft_actors.raft.log import Log
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.records import frozen

C = TypeVar("C")

_FETCH_BYTES = 1 * MIB


@frozen
class AppliedCommand(Generic[C]):
    """A command that has been applied on this node.

    Attributes:
        index, term: of its log entry.
        result: what this node's state machine returned, the same object that the proposer gets; a `CommandFailed`
            where `apply` raised; `NOT_KEPT` where this node does not have it any more, or never had.
    """

    index: int
    term: int
    command: C
    result: Any = NOT_KEPT


@frozen
class AppliedSnapshot:
    """The commands up to `snapshot.index` that were not delivered are in this snapshot: see `Node.open_snapshot`."""

    snapshot: SnapshotMetadata


class AppliedLog(Generic[C]):
    """Reads the applied log from an index on. `async for item in applied_log` ends when the node does."""

    def __init__(
        self,
        applier: Applier,
        log: Log,
        storage: Storage,
        codec: CommandCodec[C],
        from_index: int,
        results: KeptResults | None = None,
    ) -> None:
        self._results = results or KeptResults(0, from_index)
        self._applier = applier
        self._log = log
        self._storage = storage
        self._codec = codec
        self._ready: deque[AppliedCommand[C] | AppliedSnapshot] = deque()
        self.next_index: int = from_index

    async def receive(self) -> AppliedCommand[C] | AppliedSnapshot:
        """Wait for the next applied command, or for word that a snapshot covers what comes next.

        Raises:
            trio.EndOfChannel: the node has ended.
            UsageError: this is not the node's thread, or not under Trio.
        """
        current_task()
        self._applier.mailbox.home.check()
        await trio.lowlevel.checkpoint()
        while not self._ready:
            await self._applier.wait_applied(self.next_index)
            if self._applier.stopped:
                raise trio.EndOfChannel
            await self._fetch()
        return self._ready.popleft()

    def __aiter__(self) -> AsyncIterator[AppliedCommand[C] | AppliedSnapshot]:
        return self

    async def __anext__(self) -> AppliedCommand[C] | AppliedSnapshot:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def _fetch(self) -> None:
        log, first, last = self._log, self.next_index, self._applier.applied_index
        if first < log.first_index:
            self._skip_to_snapshot()
            return
        batches: Any = log.recent(first, last, _FETCH_BYTES)
        if batches is None:
            try:
                batches = await self._storage.read_entries(first, min(last, log.durable_index), _FETCH_BYTES)
            except KeyError:
                self._skip_to_snapshot()
                return
        for batch in batches:
            if batch.kind in (EntryKind.COMMAND, EntryKind.SESSION):
                for entry in batch.entries():
                    command = self._command_of(entry)
                    if entry.index not in self._applier.skipped and command is not None:
                        self._ready.append(self._applied(entry, command))
            self.next_index = batch.last_index + 1

    def _command_of(self, entry: Entry) -> bytes | None:
        """What the state machine was given; None where it was given nothing."""
        if entry.kind is EntryKind.SESSION:
            return self._applier.sessions.applied_command(entry.index, entry.command)
        return entry.command

    def _applied(self, entry: Entry, command: bytes) -> AppliedCommand[C]:
        return AppliedCommand(entry.index, entry.term, self._codec.decode(command), self._results.take(entry.index))

    def _skip_to_snapshot(self) -> None:
        snapshot = self._log.snapshot
        if snapshot is not None and snapshot.index >= self.next_index:
            self._ready.append(AppliedSnapshot(snapshot))
            self.next_index = snapshot.index + 1
