"""The storage for production: one SQLite file per node.

Each commit is a transaction in SQLite's write-ahead log, synced before `write` returns. A thread of the storage's own
talks to SQLite (see `writer_thread`); Trio's never waits for the disk. docs/storage.md says how all this is tested.

Files, for `n1.db`: itself, `n1.db-mark` beside it (see `mark`), `n1.db-segment-1` and so on with large entries (see
`segments`), `n1.db-snapshot-1` and the like with snapshots (see `snapshots`), and while it is open, or after a crash,
`n1.db-wal` and `n1.db-lock` (see `lock`). Copy a store only while its node is stopped, and all of them but the lock.

What is *not* detected (`database` says what is checked): of a write-ahead log that a crash left and that was damaged
before the next open, the loss of the last commits or of parts of them. Under load these are up to 64, else none after a
crash of the process; after a loss of power, what the system had not yet written of the mark, commonly up to 30
seconds' worth.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs
import trio
from typing_extensions import override

from raft_actors.errors import ConfigurationError, InternalError, StorageFailed, StorageLocked
from raft_actors.persistence.abc import SnapshotReader, Storage, StorageStatistics, StoreIdentity
from raft_actors.persistence.log_state import BegunSnapshot, LogState, Step, find_begun
from raft_actors.persistence.sqlite.batches import MAX_ROWS
from raft_actors.persistence.sqlite.chunks import snapshot_file_bytes
from raft_actors.persistence.sqlite.database import Database
from raft_actors.persistence.sqlite.files import SYSTEM, Files, followed
from raft_actors.persistence.sqlite.segments import segment_bytes
from raft_actors.persistence.sqlite.writer_thread import WriterThread
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.persistent_state import CommitSnapshot, LogWrite, Recovered, SnapshotMetadata, Write
from raft_actors.raft.starts import Met
from raft_actors.records import define

#: How long an opening that failed may take to let go of the file.
_END_S = 1.0


def _refuse_jumping_clock(path: Path) -> None:
    """Such a clock goes to the next deadline whenever no task can run, also while the disk's thread works."""
    if math.isfinite(getattr(trio.lowlevel.current_clock(), "autojump_threshold", math.inf)):  # only MockClock has it
        raise ConfigurationError(
            f"{path}: a MockClock with autojump does not see the thread of a SqliteStorage, and lets time run away "
            "from it: use MemoryStorage with that clock (it can crash, hang and fail too), or SqliteStorage without "
            "autojump"
        )


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(path).absolute()


@define(eq=False)
class _Session:
    """All that lives from one open to its close."""

    database: Database
    thread: WriterThread
    state: LogState = attrs.field(factory=LogState)
    begun: dict[int, BegunSnapshot] = attrs.field(factory=dict[int, BegunSnapshot])


@define(eq=False)
class SqliteStorage(Storage):
    """Keeps a node's state in the SQLite file `path`, made on first use in a folder that is there.

    The contract is `Storage`'s. Besides:

    - A call that is cancelled goes on at once, even when the disk hangs; what it asked for may still be carried out.
    - `aclose` finishes what was asked before. Cancelled, it leaves that to the storage's thread: the file is free when
      that has ended. Shield it where it must be free on return.
    - Where `path` is a symbolic link, all its files lie beside the link's target.
    - One process at a time, and one open storage in it: see `lock`.
    - Not under a MockClock with autojump, which does not see its thread: `open` raises ConfigurationError.

    `files` is the file system that it lies in: for tests, which put one there that fails and forgets.
    """

    path: Path = attrs.field(converter=_absolute)
    files: Files = attrs.field(default=SYSTEM, kw_only=True, repr=False)
    _session: _Session | None = attrs.field(default=None, init=False, repr=False)

    @override
    async def open(self, identity: StoreIdentity, *, tail_bytes: int) -> Recovered:
        if self._session is not None and self._session.thread.is_stopping:
            await self._session.thread.wait_ended()  # an opening before was cancelled
        elif self._session is not None:
            raise StorageLocked(f"{self.path} is open already, by this very storage: use one storage per node")
        _refuse_jumping_clock(self.path)
        database = Database(followed(self.path), self.files)
        session = self._session = _Session(database, WriterThread(f"raft storage {self.path.name}", database))
        try:
            opened = await session.thread.run(partial(database.open, identity, tail_bytes))
        except Exception:
            session.thread.stop()
            self._session = None
            with trio.move_on_after(_END_S, shield=True):
                await session.thread.wait_ended()  # who opens it again must not meet what is left of this attempt
            raise
        except BaseException:  # cancelled: the thread closes what it may yet open, and `aclose` can wait for that
            session.thread.stop()
            raise
        session.state = state = opened.state
        return Recovered(
            hard_state=state.hard_state,
            snapshot=state.snapshot,
            first_index=state.first_index,
            last_index=state.last_index,
            term_runs=state.term_runs,
            tail=opened.tail,
            commit_index=state.commit_index,
            configurations=state.configurations,
            initial_voters=opened.row.identity.initial_voters,
            incarnation=opened.row.store_id,
            starts=opened.starts.starts,
            met=opened.starts.met,
            renewed=opened.starts.renewed,
        )

    @override
    def write(self, writes: Sequence[Write]) -> Awaitable[None]:
        session = self._open_session()
        before, steps, entries = session.state, list[Step](), list[EntryBatch]()
        state = before
        for write in writes:
            if isinstance(write, LogWrite):
                state = state.after_log_write(write)
                entries += write.entries
                steps.append(Step(write, state))
            else:
                snapshot = find_begun(session.begun, write.snapshot_id)
                state = state.after_commit_snapshot(write, snapshot.metadata)
                steps.append(Step(write, state, snapshot.chunks, snapshot.size))
        session.state = state
        for write in writes:
            if isinstance(write, CommitSnapshot):
                session.begun.pop(write.snapshot_id, None)
        plain = state.term_runs is before.term_runs and state.configurations is before.configurations
        if len(entries) <= MAX_ROWS and _only_appends(writes) and plain:
            if not entries:
                return session.thread.begin(partial(session.database.note_commit, state.commit_index))
            return session.thread.begin(partial(session.database.append, entries, state.commit_index))
        return session.thread.begin(partial(session.database.transact, steps))

    @override
    async def read_entries(self, first_index: int, last_index: int, max_bytes: int) -> tuple[EntryBatch, ...]:
        session = self._open_session()
        state = session.state
        if not state.first_index <= first_index <= state.last_index:
            raise KeyError(f"the log holds entries {state.first_index} to {state.last_index}, not {first_index}")
        read = partial(session.database.read_entries, state, first_index, max(first_index, last_index), max_bytes)
        return await session.thread.run(read)

    @override
    async def begin_snapshot(self, metadata: SnapshotMetadata) -> int:
        session = self._open_session()
        snapshot_id = await session.thread.run(partial(session.database.begin_snapshot, metadata))
        session.begun[snapshot_id] = BegunSnapshot(metadata)
        return snapshot_id

    @override
    async def write_snapshot_chunk(self, snapshot_id: int, sequence: int, data: bytes) -> None:
        await self.write_snapshot_chunks(snapshot_id, sequence, (data,))

    @override
    async def write_snapshot_chunks(self, snapshot_id: int, sequence: int, chunks: Sequence[bytes]) -> None:
        session = self._open_session()
        begun = find_begun(session.begun, snapshot_id)
        for number, data in enumerate(chunks, sequence):
            begun.add_chunk(number, data)
        await session.thread.run(partial(session.database.write_snapshot_chunks, snapshot_id, sequence, chunks))

    @override
    async def discard_snapshot(self, snapshot_id: int) -> None:
        session = self._open_session()
        if session.begun.pop(snapshot_id, None) is not None:
            await session.thread.run(partial(session.database.discard_snapshot, snapshot_id))
        else:
            await trio.lowlevel.checkpoint()

    @override
    async def open_snapshot(self) -> SnapshotReader | None:
        session = self._open_session()
        reader = _SqliteSnapshotReader(session)
        try:
            return reader if await session.thread.run(partial(reader.pin, session.database)) else None
        except BaseException:
            reader.close()
            raise

    @override
    def remember(self, met: Mapping[str, Met]) -> None:
        if self._session is not None:
            self._session.thread.post(partial(self._session.database.remember, dict(met)))

    @override
    def note_loss(self) -> None:
        if self._session is not None:
            self._session.thread.post(self._session.database.note_loss)

    @override
    async def renew(self) -> None:
        session = self._open_session()
        await session.thread.run(session.database.renew)

    @override
    def statistics(self) -> StorageStatistics:
        database = self._session.database if self._session else Database(self.path)
        return StorageStatistics(database.commits, database.written_bytes, stored_bytes(followed(self.path)))

    @override
    async def aclose(self) -> None:
        session = self._session
        if session is None:
            await trio.lowlevel.checkpoint()
            return
        session.thread.stop()
        try:
            await session.thread.wait_ended()
        finally:
            if session.thread.has_ended:
                self._session = None

    def _open_session(self) -> _Session:
        if self._session is None:
            raise StorageFailed(f"{self.path} is not open")
        return self._session


def _only_appends(writes: Sequence[Write]) -> bool:
    return all(
        isinstance(write, LogWrite) and write.hard_state is None and write.truncate_from is None for write in writes
    )


def stored_bytes(path: Path) -> int:
    """Size of a store's files."""
    total = 0
    for name in (path, path.with_name(path.name + "-wal")):
        with contextlib.suppress(FileNotFoundError):
            total += name.stat().st_size
    return total + segment_bytes(path) + snapshot_file_bytes(path)


class _SqliteSnapshotReader(SnapshotReader):
    def __init__(self, session: _Session) -> None:
        self.metadata = SnapshotMetadata(0, 0)
        self.chunk_count = 0
        self._snapshot_id = 0
        self._session = session
        self._closed = False

    def pin(self, database: Database) -> bool:
        """On the storage's thread: keep the current snapshot, if there is one."""
        pinned = database.pin_snapshot(self)
        if pinned is not None:
            self._snapshot_id, self.metadata, self.chunk_count = pinned
        return pinned is not None

    @override
    async def read_chunk(self, sequence: int) -> bytes:
        (chunk,) = await self.read_chunks(sequence, 1, 1)
        return chunk

    @override
    async def read_chunks(self, first: int, most_chunks: int, most_bytes: int) -> Sequence[bytes]:
        if self._closed:
            raise InternalError("this snapshot reader is closed")
        if not 0 <= first < self.chunk_count:
            raise KeyError(f"the snapshot has {self.chunk_count} chunks, and no number {first}")
        session, numbers = self._session, range(first, min(first + most_chunks, self.chunk_count))
        return await session.thread.run(partial(session.database.read_chunks, self._snapshot_id, numbers, most_bytes))

    @override
    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._session.thread.post(partial(self._session.database.unpin_snapshot, self))
