"""A storage without a disk: for tests, and for simulations of whole clusters.

The state lives in a `MemoryDisk`, apart from the storage that uses it, as files live apart from a process. A test
crashes a node by cancelling it and calling `disk.cut_power()`, then opens a new `MemoryStorage` on the same disk.
Nothing runs on a thread and nothing depends on real time, so a simulation with this storage repeats itself exactly.

Like the real one, a write becomes durable some time after it was asked for: after `write_delay_s` seconds of Trio's
clock, at least one checkpoint. What was asked for is carried out in order, also where its caller was cancelled; what
was asked for and not yet carried out is lost with the power.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Generic, TypeVar

import attrs
import outcome
import trio
from typing_extensions import override

from raft_actors.errors import InternalError, StorageError, StorageFailed, StorageLocked, StorageMismatch
from raft_actors.persistence.abc import SnapshotReader, Storage, StorageStatistics, StoreIdentity
from raft_actors.persistence.log_state import BegunSnapshot, LogState, find_begun
from raft_actors.persistence.memory_disk import MemoryDisk
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.persistent_state import CommitSnapshot, LogWrite, Recovered, SnapshotMetadata, Write
from raft_actors.raft.starts import Met, Renewed
from raft_actors.records import define, frozen

T = TypeVar("T")

_first_index = attrgetter("first_index")
_last_index = attrgetter("last_index")


@define(eq=False)
class PendingWork:
    """Something that was asked of the disk.

    Attributes:
        work: does it.
        steps: what it writes, where it does.
        result: what came of it, once it is done or lost.
    """

    work: Callable[[], Any]
    steps: Sequence[WriteStep] = ()
    result: outcome.Outcome[Any] | None = None


@frozen(eq=False)
class _Turn(Generic[T]):
    """Work that was asked for; await it for its result."""

    storage: MemoryStorage
    pending: PendingWork
    due_s: float

    def __await__(self) -> Generator[Any, Any, T]:
        return self.storage.finish(self.pending, self.due_s).__await__()


@frozen
class WriteStep:
    """One write, the state after it, and the chunks of the snapshot that it makes current."""

    write: Write
    after: LogState
    chunks: tuple[bytes, ...] = ()


@define(eq=False)
class _Begun(BegunSnapshot):
    data: list[bytes] = attrs.field(factory=list[bytes])


@define(eq=False)
class MemoryStorage(Storage):
    """Keeps a node's state in `disk`. Deterministic: work is done in the task that asks, in the order of asking."""

    disk: MemoryDisk = attrs.field(factory=MemoryDisk)
    _pending: deque[PendingWork] = attrs.field(factory=deque[PendingWork], init=False, repr=False)
    _begun: dict[int, _Begun] = attrs.field(factory=dict[int, _Begun], init=False, repr=False)
    _planned: LogState = attrs.field(factory=LogState, init=False, repr=False)
    _busy_until_s: float = attrs.field(default=0.0, init=False, repr=False)
    _failure: Exception | None = attrs.field(default=None, init=False, repr=False)
    _commits: int = attrs.field(default=0, init=False, repr=False)
    _written_bytes: int = attrs.field(default=0, init=False, repr=False)

    # --- opening and closing -------------------------------------------------------------------------------------

    @override
    async def open(self, identity: StoreIdentity, *, tail_bytes: int) -> Recovered:
        disk = self.disk
        if disk.holder is not None:
            raise StorageLocked("this memory disk is open already: close that storage, or cut_power()")
        if disk.identity is None:
            disk.identity = identity
            disk.incarnation = disk.draw_incarnation()
        elif disk.identity != identity:
            raise StorageMismatch(
                f"this memory disk belongs to node {disk.identity.node_id!r} of cluster {disk.identity.cluster_id!r}, "
                f"not to node {identity.node_id!r} of cluster {identity.cluster_id!r}: give each node a disk of its own"
            )
        await trio.lowlevel.checkpoint_if_cancelled()  # before it is taken: there is nothing to close then
        if not disk.identity.initial_voters:
            disk.identity = identity
        disk.holder = self
        self._failure = None
        self._pending.clear()
        self._begun.clear()
        self._planned = state = disk.state
        await trio.lowlevel.cancel_shielded_checkpoint()
        try:
            tail = self._tail(tail_bytes)
        except StorageError:
            disk.holder = None  # an opening that failed takes nothing
            raise
        disk.starts = disk.starts.with_next(disk.draw_incarnation())
        return Recovered(
            hard_state=state.hard_state,
            snapshot=state.snapshot,
            first_index=state.first_index,
            last_index=state.last_index,
            term_runs=state.term_runs,
            tail=tail,
            commit_index=state.commit_index,
            initial_voters=disk.identity.initial_voters,
            configurations=state.configurations,
            incarnation=disk.incarnation,
            starts=disk.starts,
            met=disk.met,
            renewed=disk.renewed,
        )

    def lose_power(self) -> None:
        """Called by `MemoryDisk.cut_power`: forget what is not durable."""
        self._failure = StorageFailed("the power was cut")
        lost = outcome.Error(self._failure)
        while self._pending:
            self._pending.popleft().result = lost

    @override
    def statistics(self) -> StorageStatistics:
        disk = self.disk
        stored = sum(batch.size for batch in disk.batches) + sum(map(len, disk.snapshot_chunks))
        return StorageStatistics(self._commits, self._written_bytes, stored)

    @override
    async def aclose(self) -> None:
        if self.disk.holder is self:
            self._carry_out_until(None)
            self.disk.holder = None
        await trio.lowlevel.checkpoint()

    @override
    def remember(self, met: Mapping[str, Met]) -> None:
        if self._failure is None and self.disk.holder is self:
            self.disk.met = dict(met)

    @override
    def note_loss(self) -> None:
        if self._failure is None and self.disk.holder is self:
            self.disk.renewed = Renewed.DOUBTS

    @override
    async def renew(self) -> None:
        self._check_usable()
        self.disk.incarnation, self.disk.renewed = self.disk.draw_incarnation(), Renewed.JOINS
        await trio.lowlevel.checkpoint()

    # --- the log -------------------------------------------------------------------------------------------------

    @override
    def write(self, writes: Sequence[Write]) -> Awaitable[None]:
        self._check_usable()
        state = self._planned
        steps: list[WriteStep] = []
        for write in writes:
            if isinstance(write, LogWrite):
                state = state.after_log_write(write)
                steps.append(WriteStep(write, state))
            else:
                begun = find_begun(self._begun, write.snapshot_id)
                state = state.after_commit_snapshot(write, begun.metadata)
                steps.append(WriteStep(write, state, tuple(begun.data)))
        self._planned = state
        for write in writes:
            if isinstance(write, CommitSnapshot):
                self._begun.pop(write.snapshot_id, None)
        return self._in_turn(partial(self._write, steps), self.disk.write_delay_s, steps)

    def _write(self, steps: Sequence[WriteStep]) -> None:
        disk = self.disk
        if disk.before_write is not None:
            try:
                disk.before_write([step.write for step in steps])
            except Exception as error:
                self._failure = error
                raise
        payload = 0
        for step in steps:
            write, after = step.write, step.after
            if isinstance(write, LogWrite):
                if write.truncate_from is not None:
                    self._truncate(write.truncate_from)
                disk.batches += write.entries
                payload += sum([len(batch.data) for batch in write.entries])
            else:
                disk.snapshot_chunks = step.chunks
            if after.first_index != disk.state.first_index or after.last_index < after.first_index:
                self._forget_outside(after)
            disk.state = after
        self._count_commit(payload)
        if disk.after_write is not None:
            disk.after_write([step.write for step in steps])

    def _count_commit(self, payload: int) -> None:
        self._commits += 1
        self._written_bytes += payload

    def _truncate(self, index: int) -> None:
        batches = self.disk.batches
        position = bisect.bisect_left(batches, index, key=_last_index)
        if position < len(batches):
            straddling = batches[position]
            batches[position:] = [straddling.before(index)] if straddling.first_index < index else []

    def _forget_outside(self, state: LogState) -> None:
        batches = self.disk.batches
        if state.last_index < state.first_index:
            batches.clear()
        else:
            del batches[: bisect.bisect_left(batches, state.first_index, key=_last_index)]

    @override
    async def read_entries(self, first_index: int, last_index: int, max_bytes: int) -> tuple[EntryBatch, ...]:
        self._check_usable()
        state = self._planned
        if not state.first_index <= first_index <= state.last_index:
            raise KeyError(f"the log holds entries {state.first_index} to {state.last_index}, not {first_index}")
        last_index = min(max(first_index, last_index), state.last_index)
        return await self._in_turn(partial(self._read, first_index, last_index, max_bytes))

    def _read(self, first_index: int, last_index: int, max_bytes: int) -> tuple[EntryBatch, ...]:
        batches, found = self.disk.batches, list[EntryBatch]()
        position = bisect.bisect_left(batches, first_index, key=_last_index)
        while position < len(batches) and batches[position].first_index <= last_index:
            batch = batches[position]
            max_bytes -= batch.size
            if max_bytes < 0 and found:
                break
            found.append(batch.since(first_index).before(last_index + 1))
            position += 1
        return tuple(found)

    def _tail(self, max_bytes: int) -> tuple[EntryBatch, ...]:
        state, batches = self.disk.state, self.disk.batches
        position = len(batches)
        while position and (position == len(batches) or batches[position - 1].size <= max_bytes):
            position -= 1
            max_bytes -= batches[position].size
        return tuple(batch.since(state.first_index) for batch in batches[position:])

    # --- snapshots -----------------------------------------------------------------------------------------------

    @override
    async def begin_snapshot(self, metadata: SnapshotMetadata) -> int:
        self._check_usable()
        snapshot_id = self.disk.next_snapshot_id
        self.disk.next_snapshot_id += 1
        self._begun[snapshot_id] = _Begun(metadata)
        await self._in_turn(_nothing)
        return snapshot_id

    @override
    async def write_snapshot_chunk(self, snapshot_id: int, sequence: int, data: bytes) -> None:
        self._check_usable()
        begun = find_begun(self._begun, snapshot_id)
        begun.add_chunk(sequence, data)
        begun.data.append(bytes(data))
        await self._in_turn(partial(self._count_commit, len(data)), self.disk.write_delay_s)

    @override
    async def discard_snapshot(self, snapshot_id: int) -> None:
        self._check_usable()
        self._begun.pop(snapshot_id, None)
        await self._in_turn(_nothing)

    @override
    async def open_snapshot(self) -> SnapshotReader | None:
        self._check_usable()
        return await self._in_turn(self._open_snapshot)

    def _open_snapshot(self) -> SnapshotReader | None:
        snapshot = self.disk.state.snapshot
        return None if snapshot is None else _MemorySnapshotReader(self, snapshot, self.disk.snapshot_chunks)

    # --- carrying out in order -----------------------------------------------------------------------------------

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise StorageFailed(f"the storage takes no more calls since one failed: {self._failure}") from self._failure
        if self.disk.holder is not self:
            raise StorageFailed("the memory disk is not open")

    def _in_turn(self, work: Callable[[], T], delay_s: float = 0.0, steps: Sequence[WriteStep] = ()) -> _Turn[T]:
        """Carry out `work` after all that was asked before, `delay_s` after that; it stays asked for if cancelled."""
        pending = PendingWork(work, steps)
        self._pending.append(pending)
        return _Turn(self, pending, self._schedule(pending, delay_s))

    def _schedule(self, pending: PendingWork, delay_s: float) -> float:
        """When it is due, on Trio's clock."""
        if delay_s:
            self._busy_until_s = max(self._busy_until_s, trio.current_time()) + delay_s
        return self._busy_until_s

    async def finish(self, pending: PendingWork, due_s: float) -> Any:
        """Wait for the time of some work that was asked for, and return what it returns (for `_Turn`)."""
        if due_s > trio.current_time():
            await trio.sleep_until(due_s)
        else:
            await trio.lowlevel.checkpoint()
        self._carry_out_until(pending)
        if pending.result is None:
            raise InternalError("a memory disk's work got lost")
        return pending.result.unwrap()

    def _carry_out_until(self, last: PendingWork | None) -> None:
        while self._pending and (last is None or last.result is None):
            pending = self._pending.popleft()
            if self._failure is not None:
                pending.result = outcome.Error(self._failure)
            else:
                pending.result = outcome.capture(pending.work)


def _nothing() -> None: ...


class _MemorySnapshotReader(SnapshotReader):
    """Holds the chunks themselves, which outlive their place on the disk."""

    def __init__(self, storage: MemoryStorage, metadata: SnapshotMetadata, chunks: tuple[bytes, ...]) -> None:
        self.metadata = metadata
        self.chunk_count = len(chunks)
        self._storage = storage
        self._chunks = chunks
        self._closed = False

    @override
    async def read_chunk(self, sequence: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise InternalError("this snapshot reader is closed")
        if not 0 <= sequence < self.chunk_count:
            raise KeyError(f"the snapshot has {self.chunk_count} chunks, and no number {sequence}")
        return self._chunks[sequence]

    @override
    def close(self) -> None:
        self._closed = True
