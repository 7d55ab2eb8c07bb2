"""A node's disk in a simulation: `MemoryDisk`, with what befalls real ones.

What a store on a real disk detects, this one does (`SqliteStorage`'s text says what that is): a damaged record or chunk
when it is read, and an older copy in the place of the newest. What that can't detect, this one does not either: an
empty folder looks like a new node's (but to those who know that node by its old store), and an older copy *with its own
mark* like what was there last, until a peer tells of a start that it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import attrs
import trio

from raft_actors.errors import ConfigurationError, StorageCorrupt, StorageFailed, StorageFull
from raft_actors.persistence.abc import StoreIdentity
from raft_actors.persistence.log_state import LogState
from raft_actors.persistence.memory_disk import MemoryDisk
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.persistent_state import CommitSnapshot, Write
from raft_actors.raft.starts import Met, Renewed, Starts
from raft_actors.testing.event_queue import EventQueue, Gate


def seeded_incarnations(seed: str) -> Callable[[], str]:
    """For `MemoryDisk.draw_incarnation`: the same for the same seed."""
    rng = Random(seed)
    return lambda: f"{rng.getrandbits(64):016x}"


@attrs.frozen
class DiskCopy:
    """What a disk held at one time. Made by `SimulatedDisk.copy`."""

    identity: StoreIdentity | None
    state: LogState
    batches: tuple[EntryBatch, ...]
    snapshot_chunks: tuple[bytes, ...]
    commits: int
    incarnation: str = ""
    starts: Starts = attrs.field(factory=Starts)
    met: Mapping[str, Met] = attrs.field(factory=dict[str, Met])
    renewed: Renewed = Renewed.NO


def _put(copy: DiskCopy, disk: MemoryDisk) -> None:
    disk.identity, disk.state, disk.incarnation = copy.identity, copy.state, copy.incarnation
    disk.starts, disk.met, disk.renewed = copy.starts, copy.met, copy.renewed
    disk.batches, disk.snapshot_chunks = list(copy.batches), copy.snapshot_chunks


@attrs.define(eq=False, kw_only=True)
class SimulatedDisk(MemoryDisk):
    """A disk of a simulated cluster; `cluster.disk("n1")`.

    Attributes:
        event_queue, gate: the simulation's, and the node's.
        rng: what survives of a batch of writes, and what damage hits, is drawn from it.
        delay_s: every write takes a time drawn from this range, on top of `write_delay_s`.
        read_delay_s: what is read comes so much later; other work goes on meanwhile.
        hung: whether nothing that is asked of it comes to an end. Set by `hang`.
        damaged: whether a record may fail its checksum: they are looked at only then.
        commits: durable transactions so far; what the mark beside a real store counts.
        raised: the errors that were injected, so that they can be told from a node's own.
        told: called with a fault's kind ("fault", or "heal" at its end), text, and more fields of the trace.
        power_lost: called when the power goes in the middle of a write (`lose_power_at_write`).
        replaced: called when what it holds was replaced by something else.
        asked: called with writes that were asked for, and are not durable yet.
    """

    event_queue: EventQueue
    gate: Gate
    rng: Random
    told: Callable[..., None]
    power_lost: Callable[[], None]
    replaced: Callable[[], None]
    delay_s: tuple[float, float] = (0.0, 0.0)
    read_delay_s: float = 0.0
    hung: bool = False
    damaged: bool = False
    commits: int = 0
    raised: list[Exception] = attrs.field(factory=list[Exception])
    asked: Callable[[Sequence[Write]], None] | None = None
    _mark: int = 0
    _held: list[tuple[Callable[[Any], None], Any]] = attrs.field(
        factory=list[tuple[Callable[[Any], None], Any]], init=False
    )
    _damaged_chunks: set[int] = attrs.field(factory=set[int], init=False)
    _next_error: StorageFailed | None = attrs.field(default=None, init=False)
    _fails_until_mended: bool = attrs.field(default=False, init=False)
    _writes_left: int | None = attrs.field(default=None, init=False)
    _awaits_snapshot: bool = attrs.field(default=False, init=False)

    # --- faults ---

    def fail_next_write(self) -> None:
        """Let the next write fail; none, some or all of it is durable, as after a real one."""
        self.told("fault", "fails the next write", lasts=False)
        self._next_error, self._fails_until_mended = StorageFailed("the disk can't be written (injected)"), False

    def fill(self) -> None:
        """Let every write fail for lack of room, until `mend`."""
        self.told("fault", "is full")
        self._next_error, self._fails_until_mended = StorageFull("the disk is full (injected)"), True

    def hang(self) -> None:
        """Let nothing that is asked of it come to an end, until `mend` (or a crash)."""
        self.told("fault", "hangs")
        self.hung = True

    def slow_down(self, seconds: float, *, read_s: float = 0.0) -> None:
        """Let every write take so much longer, and entries that are read come so much later, until this is set to 0, or
        `mend`."""
        reads = f", {read_s:.3f} s for a read" if read_s else ""
        kind = "fault" if seconds or read_s else "heal"
        self.told(kind, f"takes {seconds:.3f} s for a write{reads}", what="slow disk")
        self.write_delay_s: float = seconds
        self.read_delay_s: float = read_s

    def mend(self) -> None:
        """Undo `hang`, `fill`, slowness and whatever waits to happen at a later write. Damage stays."""
        if self.hung or self.write_delay_s or self.read_delay_s or self._next_error is not None:
            self.told("heal", "works", what=["disk", "slow disk"])
        self.hung = False
        self.write_delay_s = self.read_delay_s = 0.0
        self._next_error = None
        self._writes_left, self._awaits_snapshot = None, False
        held, self._held = self._held, []
        now = trio.current_time()
        for action, argument in held:
            self.event_queue.at(now, self.gate, action, argument)

    def lose_power_at_write(self, number: int) -> None:
        """Cut the node's power in the middle of the `number`-th write from now: a prefix of that write survives."""
        if number < 1:
            raise ConfigurationError(f"the next write is number 1, so there is no number {number}")
        self.told("fault", f"loses power at write {number} from now", lasts=False)
        self._writes_left = number

    def lose_power_at_snapshot(self) -> None:
        """Cut the node's power in the middle of the next write that makes a snapshot current."""
        self.told("fault", "loses power at the next snapshot", lasts=False)
        self._awaits_snapshot = True

    def damage(self) -> bool:
        """Flip a bit in a record of the log or in a chunk of the snapshot. False: there is nothing to damage."""
        chunks = [number for number, chunk in enumerate(self.snapshot_chunks) if chunk]
        if not self.batches and not chunks:
            return False
        self.told("fault", "is damaged", lasts=False)
        if not self.batches or (chunks and self.rng.random() < 0.25):
            self._damaged_chunks.add(self.rng.choice(chunks))
            return True
        position = self.rng.randrange(len(self.batches))
        data = bytearray(self.batches[position].data)
        data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
        self.batches[position] = attrs.evolve(self.batches[position], data=bytes(data))
        self.damaged = True
        return True

    def copy(self) -> DiskCopy:
        """Note all that it holds, as a backup does."""
        return DiskCopy(
            self.identity,
            self.state,
            tuple(self.batches),
            self.snapshot_chunks,
            self.commits,
            self.incarnation,
            self.starts,
            self.met,
            self.renewed,
        )

    def replace(self, copy: DiskCopy, *, with_mark: bool = False) -> None:
        """Put an older copy in the place of what a node that is down has left.

        A real store finds that out by the mark beside it. `with_mark`: the mark was replaced too, and only a peer can
        find it out that has met the node since the copy was made, at a later start. Where none has, the node has
        forgotten what it promised: Raft gives no guarantee for it, nor for its cluster.

        Raises:
            ConfigurationError: the node runs.
        """
        self._check_closed()
        self.told("fault", "is emptied" if copy.identity is None else "is replaced by an older copy", lasts=False)
        self.commits = copy.commits
        _put(copy, self)
        if with_mark:
            self._mark = copy.commits
        self.replaced()

    def wipe(self) -> None:
        """Delete all that a node that is down has left. The store itself can't tell, on a later start, from a new one;
        others can who know it by the one that it had (`StoreReplaced`).

        Raises:
            ConfigurationError: the node runs.
        """
        self.replace(DiskCopy(None, LogState(), (), (), 0), with_mark=True)
        self.damaged = False
        self._damaged_chunks.clear()

    def _check_closed(self) -> None:
        if self.holder is not None:
            raise ConfigurationError("the files of a node that runs can't be replaced: crash or stop it first")

    # --- for the storage on it ---

    def draw_delay_s(self) -> float:
        """How long the next write takes, beyond `write_delay_s`."""
        least, most = self.delay_s
        return self.rng.uniform(least, most) if most else 0.0

    def hold(self, action: Callable[[Any], None], argument: Any) -> None:
        """Keep what should be done now until `mend`."""
        self._held.append((action, argument))

    def injected_error(self) -> StorageFailed | None:
        """The error that the write under way is to meet."""
        error = self._next_error
        if error is None:
            return None
        if not self._fails_until_mended:
            self._next_error = None
        elif isinstance(error, StorageFull):
            error = StorageFull(*error.args)  # each has a traceback of its own
        self.raised.append(error)
        return error

    def brought_about(self, error: BaseException) -> bool:
        """Whether an error was injected here, or refuses a call because of one that was."""
        return any(raised is error or raised is error.__cause__ for raised in self.raised)

    def loses_power_now(self, writes: Sequence[Write]) -> bool:
        """Whether the power goes in the middle of this write."""
        if self._writes_left is not None:
            self._writes_left -= 1
            if self._writes_left == 0:
                self._writes_left = None
                return True
        if self._awaits_snapshot and any(isinstance(write, CommitSnapshot) for write in writes):
            self._awaits_snapshot = False
            return True
        return False

    def count_commit(self) -> None:
        """Note a durable transaction, in the store and in the mark beside it."""
        self.commits += 1
        self._mark = self.commits

    def recall_commit(self) -> int:
        """What a store still knows of the commit index when it is opened: all, nothing beyond the snapshot, or any of
        what it was told in between, for that is noted lazily.
        """
        state = self.state
        lost = self.rng.random()
        if lost < 0.5:
            return state.commit_index
        return state.snapshot_index if lost < 0.75 else self.rng.randint(state.snapshot_index, state.commit_index)

    def check_opening(self) -> None:
        """Look for what a real store would not open with.

        Raises:
            StorageCorrupt: it is older than what was durable here.
        """
        if self._mark > self.commits:
            raise self.corrupt(
                f"commits {self.commits + 1} to {self._mark}, which were durable, are missing (injected)"
            )

    def check_batches(self, first_index: int, last_index: int) -> None:
        """Check the checksums of the records that hold these entries.

        Raises:
            StorageCorrupt: one fails it.
        """
        for batch in self.batches:
            if batch.last_index < first_index or batch.first_index > last_index:
                continue
            try:
                EntryBatch.decode(batch.data)
            except ValueError as error:
                raise self.corrupt(f"{error} (injected)") from None

    def check_chunk(self, sequence: int) -> None:
        """Check a chunk of the snapshot likewise.

        Raises:
            StorageCorrupt: it is damaged.
        """
        if sequence in self._damaged_chunks:
            raise self.corrupt(f"chunk {sequence} of the snapshot fails its checksum (injected)")

    def corrupt(self, text: str) -> StorageCorrupt:
        """An error to raise, noted as injected."""
        error = StorageCorrupt(text)
        self.raised.append(error)
        return error

    def forget_chunks(self) -> None:
        """Another snapshot has become current: what was damaged is gone."""
        self._damaged_chunks.clear()
