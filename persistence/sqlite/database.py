"""What the storage's thread does with SQLite: every statement on the log and on snapshots.

All of it runs on the one thread that made the connection. The appends of a busy leader are a single statement, its own
transaction: the sqlite3 module lets go of the GIL around every call and may wait milliseconds to get it back from a
busy Trio thread, so calls, not rows, are what a commit costs.

What is checked: the store's row and each snapshot chunk by a checksum of their own, each batch by the one that it was
encoded with; that batches follow one another without a gap and are of the terms that the store's row says; that the
log's last batch is not older than that row; that no commit is missing of which the mark says that it was made (see
`mark`). What SQLite itself finds damaged is reported as such.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import attrs

from raft_actors.persistence.abc import StoreIdentity
from raft_actors.persistence.log_state import LogState, Step
from raft_actors.persistence.sqlite import schema, segments, starts, store_row
from raft_actors.persistence.sqlite.batches import MAX_ROWS, LogRows
from raft_actors.persistence.sqlite.files import SYSTEM, Files
from raft_actors.persistence.sqlite.garbage import LogGarbage
from raft_actors.persistence.sqlite.guarded import Guarded
from raft_actors.persistence.sqlite.lock import StoreLock
from raft_actors.persistence.sqlite.mark import Mark, MarkedCommit, check_mark
from raft_actors.persistence.sqlite.migrations import migrate
from raft_actors.persistence.sqlite.segments import Segments
from raft_actors.persistence.sqlite.snapshots import Snapshots
from raft_actors.persistence.sqlite.starts import StartsRow
from raft_actors.persistence.sqlite.store_row import StoreRow
from raft_actors.persistence.sqlite.taking import take_store
from raft_actors.persistence.sqlite.wal import WriteAheadLog
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.persistent_state import CommitSnapshot, LogWrite, SnapshotMetadata
from raft_actors.raft.starts import Met, Renewed
from raft_actors.records import frozen

# Under load, garbage is collected after each so many pieces of work; else when none came for a while.
_WORK_PER_SLICE = 4
_IDLE_S = 0.005
_SLICE_WRITES_BYTES = 128 * 1024  # about what deleting a slice puts into the write-ahead log
_COMMITS_PER_MARK = 64  # under load (it costs two turns of the GIL); else it is written when idle


@frozen
class Opened:
    """What opening found."""

    state: LogState
    tail: tuple[EntryBatch, ...]
    row: StoreRow
    starts: StartsRow


class Database(Guarded):
    """One open store. Made anywhere, used on one thread.

    Attributes:
        commits: durable transactions so far.
        written_bytes: payload bytes in them, and in snapshots.
    """

    def __init__(self, path: Path, files: Files = SYSTEM) -> None:
        super().__init__(path)
        self._files = files
        self.commits: int = 0
        self.written_bytes: int = 0
        self._lock: StoreLock | None = None
        self._row: StoreRow
        self._starts: StartsRow
        self._commit_number = self._last_index = 0
        self._log: LogRows
        self._segments: Segments
        self._snapshots: Snapshots
        self._garbage: LogGarbage
        self._wal: WriteAheadLog
        self._work_since_slice = 0
        self._mark: Mark | None = None
        self._commit_index = self._marked_number = self._marked_index = 0

    # --- opening and closing -------------------------------------------------------------------------------------

    def open(self, identity: StoreIdentity, tail_bytes: int) -> Opened:
        """Open or create the store; see `Storage.open` for what it checks and raises."""
        try:
            with self._mapping("opening it"):
                return self._open(identity, tail_bytes)
        except BaseException:
            self._disconnect()
            raise

    def _open(self, identity: StoreIdentity, tail_bytes: int) -> Opened:
        files = self._files
        self._lock = take_store(self.path, files)
        self._opened = connection = schema.connect(self.path, files, self._lock.vfs)
        if schema.is_empty(connection):
            check_mark(self.path, None, files)
            schema.create(connection, StoreRow(identity, secrets.token_hex(8)))
        store_row.check_identity(connection, self.path, identity)  # before another node's store is migrated
        migrate(connection, self.path)
        self._row = row = store_row.adopt_voters(connection, store_row.load(connection, self.path), identity)
        self._log = log = LogRows(connection, self.path, files)
        self._wal = WriteAheadLog(self.path, files, Random(identity.node_id))
        state, self._commit_number = log.bounds(row)
        self._last_index = state.last_index
        noted = check_mark(self.path, self._last_commit(), files)
        self._commit_index = max(state.snapshot_index, min(noted, state.last_index))
        state = attrs.evolve(state, commit_index=self._commit_index)
        tail = log.tail(state, tail_bytes)
        self._segments = Segments(connection, self.path, files)
        self._snapshots = Snapshots(connection, self.path, files, row.snapshot_id)
        # A process that was killed before its sync left what we read in the system's cache alone.
        files.make_durable(self.path.with_name(self.path.name + "-wal"))
        self._mark = Mark(self.path, files)
        files.sync_folder(self.path.parent)
        self._starts = starts.count_start(connection, self.path, secrets.token_hex(8))
        self._write_mark()
        self._garbage = LogGarbage(connection, state.first_index)
        return Opened(state, tuple(tail), row, self._starts)

    def close(self) -> None:
        """Move the write-ahead log to the database and close it, so that the next open finds one whole file."""
        connection = self._opened
        if connection is None:
            return
        try:
            if self._unheard is not None:
                raise self._unheard
            if self.failed is None:
                with self._mapping("closing it"):
                    self._write_mark()
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self._disconnect()

    def _disconnect(self) -> None:
        mark, self._mark = self._mark, None
        if mark is not None:
            mark.close()
            self._segments.close()
            self._snapshots.close()
        connection, lock = self._opened, self._lock
        self._opened = self._lock = None
        for held in (connection, lock):
            if held is not None:
                held.close()

    # --- writing -------------------------------------------------------------------------------------------------

    def append(self, entries: Sequence[EntryBatch], commit_index: int) -> None:
        """Append batches of the log's last term: one statement, which is its own transaction. Once that is durable,
        `commit_index` is what is known to be committed.
        """
        number = self._commit_number + 1
        sizes = [len(batch.data) for batch in entries]
        if max(sizes) >= segments.LARGE_BYTES:
            self._append_large(entries, number)
        else:
            with self._writing("appending entries"):
                self._log.insert(entries, [batch.data for batch in entries], number)
            self._wal.grew(sum(sizes), len(entries))
        self._last_index = entries[-1].last_index
        self._committed(number, sum(sizes))
        self._commit_index = commit_index

    def note_commit(self, commit_index: int) -> None:
        """Know that what was written before is committed up to here. The mark says so when it is written next."""
        self._connection()
        self._commit_index = commit_index

    def _append_large(self, entries: Sequence[EntryBatch], number: int) -> None:
        with self._writing("appending large entries") as connection:
            held = self._put(entries)
            begins_segment = self._segments.changed
            if begins_segment:
                connection.execute("BEGIN IMMEDIATE")
                self._segments.save(connection)
            self._log.insert(entries, held, number)
            if begins_segment:
                connection.execute("COMMIT")
                self._segments.saved()

    def _put(self, entries: Sequence[EntryBatch]) -> list[bytes]:
        held = self._segments.put(entries)
        self._wal.grew(sum(map(len, held)), len(held))
        return held

    def transact(self, steps: Sequence[Step]) -> None:
        """Carry out any writes, as one transaction."""
        if not steps:
            return
        number = self._commit_number + 1
        row, payload = self._row, 0
        snapshots = [step.write.snapshot_id for step in steps if isinstance(step.write, CommitSnapshot)]
        with self._writing("writing term, vote or log") as connection:
            for snapshot_id in snapshots:
                self._snapshots.finish(snapshot_id)
            connection.execute("BEGIN IMMEDIATE")
            for step in steps:
                row = row.after(step.after)
                if isinstance(step.write, CommitSnapshot):
                    row = self._commit_snapshot(step, step.write, row)
                else:
                    self._write_log(step.write, number)
                    payload += sum(batch.size for batch in step.write.entries)
            row = attrs.evolve(row, commit_number=number)
            self._segments.compact(row.first_index)
            self._segments.save(connection)
            store_row.save(connection, row.columns())
            connection.execute("COMMIT")
            self._segments.saved()
        previous, self._row, self._last_index = self._row, row, row.last_index
        self._wal.grew(0, 4)
        self._committed(number, payload)
        self._commit_index = steps[-1].after.commit_index
        self._marked_number = min(self._marked_number, number - _COMMITS_PER_MARK)  # a vote should be known soon
        self._garbage.first_index = row.first_index
        for snapshot_id in snapshots:
            self._snapshots.saved(snapshot_id, is_current=snapshot_id == row.snapshot_id)
        if previous.snapshot_id is not None and previous.snapshot_id != row.snapshot_id:
            self._snapshots.discard(previous.snapshot_id)

    def _write_log(self, write: LogWrite, number: int) -> None:
        if write.truncate_from is not None:
            self._log.truncate(write.truncate_from, number)
            self._segments.cut(write.truncate_from)
        for start in range(0, len(write.entries), MAX_ROWS):
            some = write.entries[start : start + MAX_ROWS]
            self._log.insert(some, self._put(some), number)

    def _commit_snapshot(self, step: Step, write: CommitSnapshot, row: StoreRow) -> StoreRow:
        if step.after.last_index < step.after.first_index:
            # What lies above the snapshot must go now: new entries will take its place. What lies below can wait.
            self._log.delete_from(step.after.first_index)
            self._segments.cut(step.after.first_index)
        self._snapshots.save(write.snapshot_id)
        return attrs.evolve(
            row,
            snapshot_id=write.snapshot_id,
            snapshot=step.after.snapshot,
            snapshot_chunks=step.chunks,
            snapshot_bytes=step.size,
        )

    def remember(self, met: Mapping[str, Met]) -> None:
        """See `Storage.remember`."""
        self._save_starts("noting whom it has met", attrs.evolve(self._starts, met=met))

    def note_loss(self) -> None:
        """See `Storage.note_loss`."""
        self._save_starts("noting that it is not all there", attrs.evolve(self._starts, renewed=Renewed.DOUBTS))

    def _save_starts(self, what: str, row: starts.StartsRow) -> None:
        def save() -> None:
            with self._writing(what) as connection:
                starts.save(connection, row)
            self._starts = row
            self._wal.grew(len(row.starts.nonces), 1)

        if self._opened is not None and self.failed is None:
            self._upkeep(save)

    def renew(self) -> None:
        """See `Storage.renew`."""
        row = attrs.evolve(self._row, store_id=secrets.token_hex(8))
        renewed = attrs.evolve(self._starts, renewed=Renewed.JOINS)
        with self._writing("renewing it") as connection:
            connection.execute("BEGIN IMMEDIATE")
            store_row.save(connection, row.columns())
            starts.save(connection, renewed)
            connection.execute("COMMIT")
        self._row, self._starts = row, renewed
        for _ in range(2):  # in both of its slots: the mark of the store that it was says nothing of this one
            self._write_mark()

    # --- reading -------------------------------------------------------------------------------------------------

    def read_entries(
        self, state: LogState, first_index: int, last_index: int, max_bytes: int
    ) -> tuple[EntryBatch, ...]:
        """See `Storage.read_entries`; `state` is the log's when this was asked."""
        with self._mapping("reading entries"):
            self._connection()
            return tuple(self._log.read(state, first_index, last_index, max_bytes))

    # --- snapshots -----------------------------------------------------------------------------------------------

    def begin_snapshot(self, metadata: SnapshotMetadata) -> int:
        """Give out an id, in a row that lets the next open find what a crash leaves of this snapshot."""
        with self._writing("beginning a snapshot"):
            snapshot_id = self._snapshots.begin(metadata)
        self._wal.grew(0, 1)
        self._committed(self._commit_number, 0)
        return snapshot_id

    def write_snapshot_chunks(self, snapshot_id: int, sequence: int, chunks: Sequence[bytes]) -> None:
        """Add chunks to a snapshot that was begun."""
        with self._writing("writing a snapshot"):
            for number, data in enumerate(chunks, sequence):
                self._snapshots.write(snapshot_id, number, data)
                self.written_bytes += len(data)

    def discard_snapshot(self, snapshot_id: int) -> None:
        """Let a snapshot's chunks be deleted by and by."""
        self._snapshots.discard(snapshot_id)

    def pin_snapshot(self, reader: object) -> tuple[int, SnapshotMetadata, int] | None:
        """Keep the current snapshot's chunks for `reader`; returns the snapshot's id, metadata and count of chunks."""
        row = self._row
        if row.snapshot_id is None or row.snapshot is None:
            return None
        self._snapshots.pin(row.snapshot_id, reader)
        return row.snapshot_id, row.snapshot, row.snapshot_chunks

    def unpin_snapshot(self, reader: object) -> None:
        """Undo `pin_snapshot`, if that was done."""
        self._snapshots.unpin(reader)

    def read_chunks(self, snapshot_id: int, numbers: range, most_bytes: int) -> list[bytes]:
        """See `SnapshotReader.read_chunks`."""
        with self._mapping("reading a snapshot"):
            self._connection()
            return self._snapshots.read_chunks(snapshot_id, numbers, most_bytes)

    # --- between pieces of work ----------------------------------------------------------------------------------

    def between(self) -> float | None:
        """After each piece of work: move the write-ahead log when it is long, and collect garbage now and then."""
        if self._opened is None or self.failed is not None:
            return None
        if self._wal.is_long:
            self._upkeep(self._checkpoint)
        elif self._wal.needs_room:
            self._upkeep(self._reserve)
        if self._commit_number - self._marked_number >= _COMMITS_PER_MARK:
            self._upkeep(self._write_mark)
        self._work_since_slice += 1
        if self._work_since_slice >= _WORK_PER_SLICE and self._has_garbage():
            self._work_since_slice = 0
            self._upkeep(self._collect)
        return self._idle_after_s(_IDLE_S)

    def idle(self) -> float | None:
        """Note the last commit, and collect a slice of garbage."""
        if self._is_unmarked():
            self._upkeep(self._write_mark)
        if self._has_garbage():
            self._upkeep(self._collect)
        return self._idle_after_s(0.0)

    def _idle_after_s(self, delay_s: float) -> float | None:
        if self.failed is None and (self._is_unmarked() or self._has_garbage()):
            return delay_s
        return None

    def _is_unmarked(self) -> bool:
        return self._commit_number != self._marked_number or self._commit_index != self._marked_index

    def _has_garbage(self) -> bool:
        return bool(self._garbage) or self._segments.has_surplus or self._snapshots.have_garbage

    def _collect(self) -> None:
        with self._writing("deleting what a snapshot replaced"):
            if self._segments.has_surplus:
                self._segments.remove_one()
            elif self._garbage:
                self._garbage.collect_slice()
                self._wal.grew(_SLICE_WRITES_BYTES, 0)
            else:
                self._snapshots.collect_slice()
                self._wal.grew(_SLICE_WRITES_BYTES, 0)

    def _write_mark(self) -> None:
        if self._mark is not None:
            with self._mapping("noting the last commit"):
                self._mark.write(self._last_commit())
            self._marked_number, self._marked_index = self._commit_number, self._commit_index

    def _last_commit(self) -> MarkedCommit:
        row = self._row
        return MarkedCommit(row.store_id, self._commit_number, row.commit_number, self._last_index, self._commit_index)

    def _reserve(self) -> None:
        with self._mapping("making room in the write-ahead log"):
            self._wal.make_room()

    def _checkpoint(self) -> None:
        self._write_mark()  # of what is in the database, none is to be missed without a word
        with self._writing("moving the write-ahead log to the database") as connection:
            self._wal.move(connection)

    def _committed(self, number: int, payload: int) -> None:
        self._commit_number = number
        self.commits += 1
        self.written_bytes += payload
