"""The storage of a simulated node: `MemoryStorage` on a `SimulatedDisk`, carried out by its event queue."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any

import attrs
import trio
from typing_extensions import override

from raft_actors.actors.pending import Pending
from raft_actors.errors import InternalError, StorageError, StorageFailed
from raft_actors.persistence.abc import SnapshotReader, StoreIdentity
from raft_actors.persistence.memory import MemoryStorage, PendingWork, WriteStep
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.persistent_state import Recovered, Write
from raft_actors.testing.disk import SimulatedDisk


@attrs.define(eq=False)
class SimulatedStorage(MemoryStorage):
    """See the module's text. What was asked for is done at its time, whether or not somebody still waits for it."""

    _place: SimulatedDisk = attrs.field(kw_only=True, alias="place")
    """`disk`, for all that only a simulated one can."""
    _waiting: dict[PendingWork, trio.lowlevel.Task] = attrs.field(
        factory=dict[PendingWork, trio.lowlevel.Task], init=False, repr=False
    )

    @classmethod
    def on(cls, disk: SimulatedDisk) -> SimulatedStorage:
        """A storage on this disk."""
        return cls(disk, place=disk)

    @override
    async def open(self, identity: StoreIdentity, *, tail_bytes: int) -> Recovered:
        self._place.check_opening()
        recovered = await MemoryStorage.open(self, identity, tail_bytes=tail_bytes)
        self._place.count_commit()  # of the start, which a real store notes before anybody can be told of it
        return attrs.evolve(recovered, commit_index=self._place.recall_commit())

    @override
    def write(self, writes: Sequence[Write]) -> Awaitable[None]:
        if self._place.asked is not None:
            self._place.asked(writes)
        return MemoryStorage.write(self, writes)

    @override
    async def aclose(self) -> None:
        """Close the disk once all that was asked before is done; at once where the power was cut."""
        if self.disk.holder is self and self._pending and self._failure is None:
            with suppress(StorageError):  # a write that failed in the meantime, and that nobody waits for any more
                await self._in_turn(_nothing)
        await MemoryStorage.aclose(self)

    @override
    def lose_power(self) -> None:
        """Forget what is not durable: of what was under way, none, some or all is."""
        rng = self._place.rng
        if self._failure is None and self._pending and rng.random() < 0.5:
            done = rng.randrange(len(self._pending))
            for number, pending in enumerate(list(self._pending)[: done + 1]):
                if pending.steps:
                    self._write_prefix(pending.steps, len(pending.steps) if number < done else None)
        MemoryStorage.lose_power(self)
        for task in self._waiting.values():
            trio.lowlevel.reschedule(task)
        self._waiting.clear()

    # --- writing ---

    @override
    def _write(self, steps: Sequence[WriteStep]) -> None:
        disk = self._place
        error = disk.injected_error()
        if error is not None:
            self._write_prefix(steps)
            self._failure = error
            raise error
        if disk.loses_power_now([step.write for step in steps]):
            self._failure = StorageFailed("the power was cut")
            self._write_prefix(steps)
            disk.power_lost()
            raise self._failure
        self._write_all(steps)

    def _write_prefix(self, steps: Sequence[WriteStep], count: int | None = None) -> None:
        """Write the first `count` steps; some number of them where it is None."""
        if count is None:
            count = self._place.rng.randint(0, len(steps))
        if count:
            self._write_all(steps[:count])

    def _write_all(self, steps: Sequence[WriteStep]) -> None:
        disk, snapshot = self._place, self._place.state.snapshot
        MemoryStorage._write(self, steps)
        disk.count_commit()
        if disk.state.snapshot != snapshot:
            disk.forget_chunks()

    # --- reading ---

    @override
    async def read_entries(self, first_index: int, last_index: int, max_bytes: int) -> tuple[EntryBatch, ...]:
        entries = await MemoryStorage.read_entries(self, first_index, last_index, max_bytes)
        disk = self._place
        if disk.read_delay_s:
            arrived: Pending[None] = Pending()
            disk.event_queue.at(trio.current_time() + disk.read_delay_s, disk.gate, arrived.resolve, None)
            await arrived.wait()
        return entries

    @override
    def _read(self, first_index: int, last_index: int, max_bytes: int) -> tuple[EntryBatch, ...]:
        if self._place.damaged:
            self._place.check_batches(first_index, last_index)
        return MemoryStorage._read(self, first_index, last_index, max_bytes)

    @override
    def _tail(self, max_bytes: int) -> tuple[EntryBatch, ...]:
        tail = MemoryStorage._tail(self, max_bytes)
        if self._place.damaged and tail:
            self._place.check_batches(tail[0].first_index, tail[-1].last_index)
        return tail

    @override
    def _open_snapshot(self) -> SnapshotReader | None:
        reader = MemoryStorage._open_snapshot(self)
        return None if reader is None else _CheckedReader(self._place, reader)

    # --- in turn ---

    @override
    def _schedule(self, pending: PendingWork, delay_s: float) -> float:
        disk, now = self._place, trio.current_time()
        if pending.steps or delay_s:
            self._busy_until_s = max(self._busy_until_s, now) + delay_s + disk.draw_delay_s()
        if self._busy_until_s <= now and not disk.hung and not disk.gate.shut:
            return now
        disk.event_queue.at(self._busy_until_s, disk.gate, self._end, pending)
        return math.inf

    @override
    async def finish(self, pending: PendingWork, due_s: float) -> Any:
        """Wait for some work that was asked for, and return what it returns; due never: the event queue does it."""
        if due_s == math.inf and pending.result is None:
            await self._wait_turn(pending)
        else:
            await trio.lowlevel.checkpoint()
            self._carry_out_until(pending)
        if pending.result is None:
            raise InternalError("a simulated disk's work got lost")
        return pending.result.unwrap()

    async def _wait_turn(self, pending: PendingWork) -> None:
        def abort(_raise_cancel: Any) -> trio.lowlevel.Abort:
            del self._waiting[pending]
            return trio.lowlevel.Abort.SUCCEEDED

        self._waiting[pending] = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _end(self, pending: PendingWork) -> None:
        """It is due: carry it out, and let whoever waits for it go on."""
        if self._place.hung:
            self._place.hold(self._end, pending)
            return
        if pending.result is None:
            self._carry_out_until(pending)
        task = self._waiting.pop(pending, None)
        if task is not None:
            trio.lowlevel.reschedule(task)


def _nothing() -> None: ...


class _CheckedReader(SnapshotReader):
    """Reads a snapshot, and checks the chunks that are still on the disk."""

    def __init__(self, disk: SimulatedDisk, reader: SnapshotReader) -> None:
        self.metadata = reader.metadata
        self.chunk_count = reader.chunk_count
        self._disk = disk
        self._reader = reader

    @override
    async def read_chunk(self, sequence: int) -> bytes:
        data = await self._reader.read_chunk(sequence)
        if self._disk.state.snapshot == self.metadata:
            self._disk.check_chunk(sequence)
        return data

    @override
    def close(self) -> None:
        self._reader.close()
