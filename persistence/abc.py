"""What a node needs of a disk: the durability contract.

A storage keeps one node's term and vote, its log and its latest snapshot (Raft paper, Figure 2 "persistent state", and
§7). One node uses it. Calls may overlap each other, and are carried out in the order in which they were made: a read
sees every write that was asked for before it.

What every implementation guarantees:

- When what `write` returns has been awaited, all of it is durable: it survives a crash of the process, the kernel or
  the power. When that raises, or is cancelled, none, some or all of it may be: the caller must stop and never use the
  storage again.
- `write` is atomic over a crash: all writes of one call, or a prefix of them.
- What `open` returns is durable too, even where a process before died between a write and its sync.
- A snapshot takes effect only with its `CommitSnapshot`. A crash before leaves the old snapshot and log.
- What is read back is what was written, or `StorageCorrupt` is raised. Never silently less.
- A call that is cancelled ends at once, even where the disk hangs. What it asked for may still be carried out.
- A call that makes no sense (a gap in the log, a chunk out of turn) raises `InternalError` before anything is written.
- After a write that failed, and while the storage is not open, every call but `aclose` and `statistics` raises
  `StorageFailed`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import attrs
import outcome

from raft_actors.errors import InternalError
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.persistent_state import Recovered, SnapshotMetadata, Write
from raft_actors.raft.starts import Met
from raft_actors.records import frozen

T_co = TypeVar("T_co", covariant=True)


@frozen
class StoreIdentity:
    """Whose store it is; written on first use and compared at every later one.

    Attributes:
        initial_voters: ids of the voters that the cluster began with, sorted. Written by the first opening that names
            any, and never changed: what members the cluster has since is in its log. Not compared by the storage, which
            gives back what it has (`Recovered.initial_voters`).
    """

    cluster_id: str
    node_id: str
    initial_voters: tuple[str, ...] = attrs.field(default=(), eq=False)


@frozen
class StorageStatistics:
    """Counters and sizes of a storage.

    Attributes:
        commits: durable transactions since it was opened, chunks of snapshots among them.
        written_bytes: payload bytes of entries and snapshot chunks in them.
        stored_bytes: size of the store on disk (or in memory) now, in bytes.
    """

    commits: int
    written_bytes: int
    stored_bytes: int


class SnapshotReader(ABC):
    """Reads one complete snapshot. While it is open, that snapshot stays readable even if a newer one replaces it."""

    metadata: SnapshotMetadata
    chunk_count: int

    @abstractmethod
    async def read_chunk(self, sequence: int) -> bytes:
        """Chunk number `sequence`, counted from 0, as it was written.

        Raises:
            KeyError: the snapshot has no chunk of that number.
            StorageCorrupt: it fails its checksum or is missing.
            InternalError: the reader is closed.
        """

    async def read_chunks(self, first: int, most_chunks: int, most_bytes: int) -> Sequence[bytes]:
        """Chunks from number `first` on: at least one, and up to `most_chunks` until they have `most_bytes`; the last
        may go beyond. Here, one after the other; a storage may do better, where each way to its disk costs time.

        Raises what `read_chunk` does, KeyError where there is no first one.
        """
        chunks = [await self.read_chunk(first)]
        size, most_chunks = len(chunks[0]), min(most_chunks, self.chunk_count - first)
        while len(chunks) < most_chunks and size < most_bytes:
            chunk = await self.read_chunk(first + len(chunks))
            chunks.append(chunk)
            size += len(chunk)
        return chunks

    @abstractmethod
    def close(self) -> None:
        """Let go of the snapshot. May be called twice."""


class Announced(Awaitable[T_co]):
    """Work that was asked for, and that either is awaited or calls back: one of the two, once."""

    __slots__ = ()

    @abstractmethod
    def when_done(self, callback: Callable[[outcome.Outcome[T_co]], None]) -> None:
        """Have `callback` called with what came of it, in Trio's thread and protected from KeyboardInterrupt. Ask for
        it before giving up control: not where the work has ended already. The callback must not raise.
        """


class Storage(ABC):
    """One node's durable state. See the module's text for the contract."""

    @abstractmethod
    async def open(self, identity: StoreIdentity, *, tail_bytes: int) -> Recovered:
        """Open (or create) the store, take it for this process alone, and return what it holds.

        Costs the same for any length of log: no more than `tail_bytes` of entries, but at least the last batch, is
        read. A storage that was closed, or whose opening failed, may be opened again. Where this raises an error, the
        storage is as it was before: open for another node, maybe, so it must not be closed then (nor does a node).
        A storage that counts starts (`Recovered.starts`) has this one on the disk when it returns.

        Raises:
            StorageLocked: somebody else has it open.
            StorageMismatch: it belongs to another node or cluster.
            StorageVersionError: a newer version of this library wrote it.
            StorageReadOnly, StorageFull, StorageCorrupt, StorageFailed: as they say.
        """

    @abstractmethod
    def write(self, writes: Sequence[Write]) -> Awaitable[None]:
        """Make all of `writes` durable, in order, as one transaction where that is cheaper.

        Their `commit_index` is noted once all of them are, and not before: it speaks of the log that they leave behind,
        not of what they replace.

        They are asked for by the call itself; await what it returns, once, for when they are durable. Not awaited, they
        are carried out all the same (by the next call at the latest). Where that is an `Announced`, whoever asked may
        have it call back instead, which spares a task that waits.

        Raises:
            StorageError: nothing may be acknowledged, and the storage must not be used again.
            InternalError: the writes contradict the log; nothing was written.
        """

    @abstractmethod
    async def read_entries(self, first_index: int, last_index: int, max_bytes: int) -> tuple[EntryBatch, ...]:
        """Durable entries from exactly `first_index` on: as many batches up to `last_index` as fit `max_bytes` (counted
        as they are stored), at least one. The first and last are cut to the range asked for.

        Raises:
            KeyError: `first_index` is not in the log (compacted, or not yet asked to be written).
            StorageCorrupt, StorageFailed: as they say.
        """

    @abstractmethod
    async def begin_snapshot(self, metadata: SnapshotMetadata) -> int:
        """Start writing a snapshot and return its id. Any number may be under way; the id is never used again."""

    @abstractmethod
    async def write_snapshot_chunk(self, snapshot_id: int, sequence: int, data: bytes) -> None:
        """Add chunk number `sequence` (0, 1, 2, …, in turn) to a snapshot that was begun; each may be of any size.

        Durable with its `CommitSnapshot`. What is never committed is deleted, at the latest after the next `open`.
        """

    async def write_snapshot_chunks(self, snapshot_id: int, sequence: int, chunks: Sequence[bytes]) -> None:
        """Add chunks, of which the first is number `sequence`, as `write_snapshot_chunk` does one. Here, one after the
        other; a storage may do better.
        """
        for number, data in enumerate(chunks, sequence):
            await self.write_snapshot_chunk(snapshot_id, number, data)

    @abstractmethod
    async def discard_snapshot(self, snapshot_id: int) -> None:
        """Give up a snapshot that was begun. Without effect where it is over: committed or discarded."""

    @abstractmethod
    async def open_snapshot(self) -> SnapshotReader | None:
        """A reader of the latest complete snapshot, or None where there is none."""

    def remember(self, met: Mapping[str, Met]) -> None:  # noqa: B027 - a storage may do without
        """Keep at which start each peer was reached last (`Recovered.met`), instead of what was kept before.

        Asked for by the call, and carried out before what is asked for after it. Never raises: where it fails, the next
        call does. Here, nothing is kept: then nobody tells a peer that comes back with an older copy of its store.
        """

    def note_loss(self) -> None:  # noqa: B027 - a storage may do without
        """Note that what the node has promised is not all in this store (`Recovered.renewed`); else it stays as it is.

        Asked for and carried out as `remember` is. Here, nothing is noted: the node knows it until it ends.
        """

    async def renew(self) -> None:
        """Make another store of it, for the cluster: all that it holds, under a new incarnation (`Recovered.renewed`).

        Asked of a store only that counts its starts.

        Raises:
            StorageError: none, or all of it was done.
        """
        raise InternalError(f"a {type(self).__name__} that counts starts has to renew itself, too")

    @abstractmethod
    def statistics(self) -> StorageStatistics:
        """Counters so far."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the store and let others open it. What was asked before is finished first. May be called twice.

        Cancelled, the store may still be open for as long as what was asked before takes: shield this call, with a
        deadline, where the store must be free on return.
        """
