"""The applier: feeds committed entries to the state machine, in order, and answers their proposers.

It is told how far the log is committed and fetches the entries itself, from memory or (after a restart, or when it has
fallen behind) from storage. So nothing queues up before it, however slow the state machine is. It gives other tasks a
turn whenever it has applied for `apply_slice_s`, so heartbeats go on.

Its task is protected from KeyboardInterrupt, as every actor's is, but not where the application's code runs: Ctrl-C
must be able to end an `apply` that never returns. It ends the node then, so nothing half done outlives it.

It alone touches the state machine: applying, querying, taking and restoring snapshots never overlap.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Mapping
from typing import Any, cast

import trio
from typing_extensions import override

from raft_actors.actors.actor import Actor, ActorStopped, MailboxFull
from raft_actors.actors.clock import NodeClock
from raft_actors.config import NodeConfig
from raft_actors.errors import CommandFailed, InternalError, RaftError, StateMachineError
from raft_actors.node.applied_reads import AppliedReads
from raft_actors.node.applier_statistics import ApplierStatistics
from raft_actors.node.committed_entries import FETCH_BYTES, committed_entries
from raft_actors.node.digester import Digester
from raft_actors.node.failures import SkippedCommands, fatal_errors, not_applied, not_decoded
from raft_actors.node.kept_results import ResultReaders
from raft_actors.node.machines import is_not_run, not_run
from raft_actors.node.proposals import PendingOutcome
from raft_actors.node.replicated_sessions import ReplicatedSessions
from raft_actors.node.snapshot_chunks import SnapshotChunks
from raft_actors.node.snapshot_schedule import RequestSnapshot, SnapshotSchedule
from raft_actors.node.snapshotter import SnapshotJob
from raft_actors.node.waiting_outcomes import WaitingOutcomes
from raft_actors.persistence.abc import SnapshotReader, Storage
from raft_actors.raft.effects import Apply, KeepResults, RestoreSnapshot
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.log import Log
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.records import frozen
from raft_actors.state_machine import StateMachine

_APPLIED = (EntryKind.COMMAND, EntryKind.SESSION)

#: Commands applied between two looks at the clock, at most.
_LONGEST_STRIDE = 64
_CAPACITY = 1024


@frozen
class Committed:
    """Only a wake-up call: the index itself is `Applier.commit_index`."""


ApplierMessage = Committed | RestoreSnapshot | RequestSnapshot


class Applier(Actor[ApplierMessage]):
    """The state machine's only user. See the module's text.

    Attributes:
        applied_index: the last entry applied (Figure 2: lastApplied).
        commit_index: how far it may apply.
        readers, keep_results: who wants results of what others proposed, too; and who may.
        stopped: whether the node has ended.
        reads: those that wait for no more than an entry to be applied.
    """

    def __init__(
        self,
        state_machine: StateMachine[Any, Any],
        *,
        log: Log,
        storage: Storage,
        config: NodeConfig,
        begin_snapshot: Callable[[SnapshotJob], None],
        digester: Digester,
        skipped_commands: Mapping[int, str] | None = None,
        clock: NodeClock | None = None,
    ) -> None:
        super().__init__(name="applier", capacity=_CAPACITY)
        self.applied_index: int = 0
        self.commit_index: int = 0
        self.stopped: bool = False
        self.reads: AppliedReads = AppliedReads(state_machine)
        self._applied_term = 0
        self._state_machine = state_machine
        self._decode = state_machine.commands.decode
        self._fatal = fatal_errors(state_machine)
        self.sessions: ReplicatedSessions = ReplicatedSessions(state_machine, self._fatal)
        self._kind = EntryKind.COMMAND
        self.skipped: SkippedCommands = SkippedCommands(skipped_commands or {})
        self._log = log
        self._storage = storage
        self._slice_s = config.apply_slice_s
        self._begin_snapshot, self._digester = begin_snapshot, digester
        self._now = (clock or NodeClock()).now
        self._told = self._at_work = self._due = False
        self._context: contextvars.Context | None = None
        self._waiting = WaitingOutcomes()
        self._slice_ends = 0.0
        self._stride = 1
        self.moved: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()
        self._snapshots = SnapshotSchedule(config)
        self.readers: ResultReaders = self._waiting.readers
        self.keep_results: Callable[[KeepResults], None] = self._waiting.keep_results
        self._applied_commands = self._failed_commands = self._restored = 0

    # --- what it is told -------------------------------------------------------------------------------------

    def commit_to(self, apply: Apply) -> None:
        """Let it apply up to `apply.commit_index`, from the next `end_step` on, and answer `apply.outcomes`."""
        self.commit_index = max(self.commit_index, apply.commit_index)
        # A role gives back what was handed in to it, of which it knows less.
        outcomes = cast("tuple[PendingOutcome[Any], ...]", apply.outcomes)
        self._waiting.add(outcomes, apply.keep_from, apply.commit_index)
        if outcomes and outcomes[0].last_index <= self.applied_index:  # it turned out late whose they are
            self._waiting.answer(self.applied_index, self._state_machine)
        self._due = True

    def end_step(self) -> None:
        """Apply what was committed during a step: at once where it is idle and memory has the entries, for a slice of
        time at most. A turn of its own would cost more than most commands do, and their proposers wait.
        """
        if not self._due:
            return
        self._due = False
        if not self._told and not self._at_work and self._context is not None:
            self._at_work = True
            done = self._context.run(self._apply_from_memory)
            self._at_work = False
            if done:
                return
        self.wake()

    def wake(self) -> None:
        """Have it apply, in its own turn, what it may."""
        if not self._told:
            with contextlib.suppress(MailboxFull):  # with so much to read it looks at the commit index anyway
                self.tell(Committed())

    @override
    def tell(self, message: ApplierMessage) -> None:
        super().tell(message)
        self._told = True

    @override
    async def run(self) -> None:
        self._context = trio.lowlevel.current_task().context  # the state machine's, whoever begins to apply
        await super().run()

    async def receive(self, messages: list[ApplierMessage]) -> None:
        """Restore a snapshot where one has come, then apply what is committed."""
        self._told, self._at_work = False, True
        for message in messages:
            if isinstance(message, RestoreSnapshot):
                if message.snapshot.index > self.applied_index:
                    await self.restore()
            elif isinstance(message, RequestSnapshot):
                self._snapshots.requests.append(message.reply)
        await self._apply_committed()
        self._take_snapshot_if_due()
        self._at_work = False

    async def wait_applied(self, index: int) -> None:
        """Wait until the entry at `index` has been applied (or a snapshot that covers it restored), or it has
        stopped.
        """
        while self.applied_index < index and not self.stopped:
            await self.moved.park()

    async def wait_moved(self) -> None:
        """Wait until something more has been applied, a snapshot restored, or it has stopped."""
        await self.moved.park()

    def stop(self) -> None:
        """Apply nothing more: let all who wait in `wait_applied` go."""
        self.stopped = True
        self.moved.unpark_all()

    # --- applying --------------------------------------------------------------------------------------------

    async def _apply_committed(self) -> None:
        self._slice_ends = self._now() + self._slice_s
        while self.applied_index < self.commit_index:
            batches = await committed_entries(self._log, self._storage, self.applied_index + 1, self.commit_index)
            if not batches:
                return  # a snapshot replaces what is missing: it will be restored, then applying goes on
            for batch in batches:
                await self._apply_batch(batch)
                self._take_snapshot_if_due()
                if self._now() >= self._slice_ends:
                    await self._next_slice()

    def _apply_from_memory(self) -> bool:
        """Apply what is committed without waiting for anything. False: there is more, for a turn of this actor."""
        log, first_index = self._log, self.applied_index + 1
        in_memory = log.recent(first_index, self.commit_index, FETCH_BYTES)
        batches = in_memory if in_memory and first_index >= log.first_index else ()
        self._slice_ends = self._now() + self._slice_s
        for batch in batches:
            if self.skipped.within(batch) or self._digester.within(batch):
                return False
            self._begin(batch)
            if batch.kind in _APPLIED:
                self._apply_slice(batch.commands(), 0)
            else:
                self._pass(batch)
            self._answer()
            if self.applied_index < batch.last_index:
                return False
            self._take_snapshot_if_due()
            if self.applied_index < self.commit_index and self._now() >= self._slice_ends:
                break
        return self.applied_index >= self.commit_index

    async def _apply_batch(self, batch: EntryBatch) -> None:
        self._begin(batch)
        skipped, digested = self.skipped.within(batch), self._digester.within(batch)
        commands = batch.commands() if batch.kind in _APPLIED else None
        for index in sorted({*skipped, *digested}):
            if commands is not None:
                position = index - self.applied_index - 1
                await self._apply_commands(commands[: position + (index not in skipped)])
                if index in skipped:
                    self._skip(index, commands[position])
                commands = commands[position + 1 :]
            elif index in skipped:
                self.skipped.check(index, batch.term, None)
            self.applied_index = index
            if index in digested:
                self._digester.take(index, self.sessions)
        if commands is None:
            self._pass(batch)
        else:
            await self._apply_commands(commands)
        self._answer()

    def _begin(self, batch: EntryBatch) -> None:
        if batch.first_index != self.applied_index + 1:
            raise InternalError(f"entry {batch.first_index} can't be applied after {self.applied_index}")
        self._waiting.begin(batch.first_index)
        self._kind = batch.kind
        self._applied_term = batch.term
        self._snapshots.applied_bytes += batch.size

    def _pass(self, batch: EntryBatch) -> None:
        """Go past entries that are none of the state machine's."""
        if self._waiting.want_results:
            self._waiting.results += [None] * len(batch)
        self.applied_index = batch.last_index

    async def _apply_commands(self, commands: list[bytes]) -> None:
        position = 0
        while (position := self._apply_slice(commands, position)) < len(commands):
            self._answer()
            await self._next_slice()

    async def _next_slice(self) -> None:
        await trio.lowlevel.checkpoint()
        self._slice_ends = self._now() + self._slice_s

    def _apply_slice(self, commands: list[bytes], position: int) -> int:
        """Apply commands from a position on until the slice of time ends; return the position behind the last."""
        clock, stride, begun_at = self._now, self._stride, position
        looked = clock()
        while position < len(commands):
            self._apply_each(commands[position : position + stride])
            position = min(position + stride, len(commands))
            if position == len(commands):
                break
            now = clock()
            # Looking at the clock costs as much as a small command: look rarely, as long as it says that little passed.
            short = now - looked < self._slice_s / 8
            stride = min(stride * 2, _LONGEST_STRIDE) if short else max(1, stride // 2)
            looked = now
            if now >= self._slice_ends:
                break
        self._stride = stride
        self._applied_commands += position - begun_at
        return position

    @trio.lowlevel.disable_ki_protection
    def _apply_each(self, commands: list[bytes]) -> None:
        results = self._waiting.results if self._waiting.want_results else None
        if self._kind is EntryKind.SESSION:
            result = self.sessions.apply_each(self, self._applied_term, commands, results)
        else:
            result = self._apply_plain(commands, results)
        if is_not_run(result):  # once for many: a machine that does it at all does it always
            raise StateMachineError(f"at index {self.applied_index}, {not_run(result, 'apply')}")

    def _apply_plain(self, commands: list[bytes], results: list[Any] | None) -> Any:
        """Apply commands of no session; return what the last of them gave."""
        apply, decode = self._state_machine.apply, self._decode
        index, result = self.applied_index, None
        for data in commands:
            index += 1
            try:
                command = decode(data)
            except ValueError as error:
                raise not_decoded(index, self._applied_term, data, error) from error
            try:
                result = apply(command)
            except self._fatal as error:
                raise not_applied(index, self._applied_term, data, error) from error
            except Exception as error:  # noqa: BLE001 - part of the outcome, the same on every replica
                result = self._failed(index, error)
            if results is not None:
                results.append(result)
            self.applied_index = index
        return result

    def _skip(self, index: int, data: bytes) -> None:
        """Pass a command that no node carries out; whoever proposed it learns that it was not."""
        self.skipped.check(index, self._applied_term, data)
        if self._waiting.want_results:
            self._waiting.results.append(self._failed(index, StateMachineError("it stands among skipped_commands")))
        self.applied_index = index

    def _failed(self, index: int, error: Exception) -> CommandFailed:
        self._failed_commands += 1
        failure = CommandFailed(index)
        failure.__cause__ = error
        return failure

    @trio.lowlevel.enable_ki_protection
    def _answer(self) -> None:
        """Give the proposals and reads that are due by now their results, and wake who waits for an index."""
        self._waiting.answer(self.applied_index, self._state_machine)
        self.reads.moved(self.applied_index, self._applied_term)
        if self.moved:
            self.moved.unpark_all()

    # --- snapshots -------------------------------------------------------------------------------------------

    async def restore(self) -> None:
        """Replace the state machine's state by the storage's snapshot, if there is one beyond what is applied.

        Raises:
            StateMachineError: the state machine's `restore` raised.
        """
        reader = await self._storage.open_snapshot()
        if reader is None:
            return
        try:
            if reader.metadata.index > self.applied_index:
                await self._restore_from(reader)
        finally:
            reader.close()

    @trio.lowlevel.disable_ki_protection
    async def _restore_from(self, reader: SnapshotReader) -> None:
        metadata = reader.metadata
        self.reads.is_whole = False
        try:
            await self.sessions.restore(SnapshotChunks(reader, self._now, self._slice_s), self._state_machine.restore)
        except RaftError:
            raise
        except Exception as error:
            raise StateMachineError(
                f"the state machine can't restore the snapshot at index {metadata.index}"
            ) from error
        self._restored += 1
        self.applied_index = metadata.index
        self._applied_term = metadata.term
        self.commit_index = max(self.commit_index, metadata.index)
        self._snapshots.restored(metadata.index)
        self._waiting.give_up(self.applied_index)
        self._answer()

    @trio.lowlevel.disable_ki_protection
    def _take_snapshot_if_due(self) -> None:
        snapshots = self._snapshots
        if not snapshots.is_due(self.applied_index):
            return
        metadata = SnapshotMetadata(self.applied_index, self._applied_term)
        if not snapshots.begin(metadata):
            return
        try:
            chunks = self.sessions.snapshot(self._state_machine.snapshot())
        except Exception as error:
            raise StateMachineError(f"the state machine can't take a snapshot at index {self.applied_index}") from error
        with contextlib.suppress(ActorStopped):  # the node is ending, and its snapshotter was first
            self._begin_snapshot(SnapshotJob(metadata, chunks))

    def snapshot_ended(self, current: SnapshotMetadata | None) -> None:
        """A snapshot that was begun is durable, or was given up because a newer one is; `current` is the newest."""
        if self._snapshots.ended(current):
            self.wake()

    def statistics(self) -> ApplierStatistics:
        """Counters so far."""
        failed = self._failed_commands + self.sessions.failed
        return ApplierStatistics(self._applied_commands, failed, self._restored)
