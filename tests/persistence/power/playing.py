"""Carries out a workload on a simulated disk, and notes in the disk's journal what was asked for and answered."""

from __future__ import annotations

import contextlib

import attrs

from raft_actors.errors import StorageError
from raft_actors.persistence import CommitSnapshot, SqliteStorage
from tests.persistence.model import Contents
from tests.persistence.power.disk import POINTS, Disk, Event, Kind
from tests.persistence.power.inline import idle
from tests.persistence.power.simulated import SimulatedFiles
from tests.persistence.power.workload import Begin, Call, Chunk, Commit, Discard, Idle, Read, Reopen, Workload, Write
from tests.persistence.support import IDENTITY, snapshot_contents, taken_apart


@attrs.define(eq=False)
class Player:
    """A storage at work.

    Attributes:
        asked: how many calls were made.
        answered: how many of them were answered. What the caller then knows to be done must never be lost.
    """

    workload: Workload
    disk: Disk
    asked: int = 0
    answered: int = 0
    files: SimulatedFiles = attrs.field(init=False)
    storage: SqliteStorage = attrs.field(init=False)
    _ids: dict[int, int] = attrs.field(factory=dict[int, int], init=False)

    async def start(self) -> None:
        """Open the store, as a new process does."""
        self.files = SimulatedFiles(self.disk, self.note_answer)
        self.storage = SqliteStorage(self.files.path, files=self.files)
        self._ids.clear()
        await self.storage.open(IDENTITY, tail_bytes=1000)

    def note_answer(self) -> None:
        """Note that the last call was answered."""
        if self.answered != self.asked:
            self.answered = self.asked
            self.disk.happen(Event(Kind.NOTE, note=("answered", self.answered)))

    def ask(self) -> Call:
        """The next call, which is now made."""
        call = self.workload.calls[self.asked]
        self.asked += 1
        self.disk.happen(Event(Kind.NOTE, note=("asked", self.asked)))
        return call

    async def stop(self, call: Reopen) -> None:
        """End the process."""
        if call.how == "close":
            await self.storage.aclose()
        else:
            self.files.is_alive = False
            with contextlib.suppress(StorageError):
                await self.storage.aclose()  # nothing reaches the disk; the storage's thread must end, if it has one
        self.files.kill()
        if call.how == "power":
            self.disk.happen(Event(Kind.POWER_CUT, number=call.seed))

    async def carry_out(self, call: Call) -> None:
        """Make any call but `Reopen`."""
        storage = self.storage
        match call:
            case Write(writes):
                await storage.write(writes)
            case Begin(key, metadata):
                self._ids[key] = await storage.begin_snapshot(metadata)
            case Chunk(key, sequence, data):
                await storage.write_snapshot_chunk(self._ids[key], sequence, data)
            case Commit(key, first_index, discard_log, writes):
                await storage.write([CommitSnapshot(self._ids[key], first_index, discard_log), *writes])
            case Discard(key):
                await storage.discard_snapshot(self._ids[key])
            case Read():
                await self._read(call)
            case Idle():
                await idle(storage)
            case Reopen():
                raise NotImplementedError

    async def _read(self, call: Read) -> None:
        held = self.workload.states[self.asked]
        found = taken_apart(await self.storage.read_entries(call.first_index, call.last_index, call.max_bytes))
        start = call.first_index - held.first_index
        if not found or tuple(found) != held.entries[start : start + len(found)]:
            raise AssertionError(f"entries that were read are not those written, from index {call.first_index} on")
        snapshot = await snapshot_contents(self.storage)
        if (held.snapshot, held.chunks) != ((snapshot[0], tuple(snapshot[1])) if snapshot else (None, ())):
            raise AssertionError("the snapshot that was read is not the one written")


@attrs.frozen
class Segment:
    """The life of one process.

    Attributes:
        start: which event of the journal is its first.
        asked: calls made before.
        disk: the disk when it began.
        points: how many writes and syncs, and the like, it does.
    """

    start: int
    asked: int
    disk: Disk
    points: int


@attrs.frozen
class Recording:
    """A workload that was carried out once without any failure."""

    workload: Workload
    journal: tuple[Event, ...]
    segments: tuple[Segment, ...]

    def state(self, count: int) -> Contents:
        """What the store holds after so many calls."""
        return self.workload.states[count]


async def record(workload: Workload, player: Player | None = None) -> Recording:
    """Carry out a workload on an empty disk."""
    player = player or Player(workload, Disk())
    disk = player.disk
    segments: list[Segment] = []
    start, asked, before = 0, 0, disk.copy()

    def end_segment() -> None:
        points = sum(event.kind in POINTS for event in disk.journal[start:])
        segments.append(Segment(start, asked, before, points))

    await player.start()
    for _ in workload.calls:
        call = player.ask()
        if isinstance(call, Reopen):
            await player.stop(call)
            end_segment()
            start, asked, before = len(disk.journal), player.asked, disk.copy()
            await player.start()
        else:
            await player.carry_out(call)
            player.note_answer()
    await player.stop(Reopen("close"))
    end_segment()
    return Recording(workload, tuple(disk.journal), tuple(segments))
