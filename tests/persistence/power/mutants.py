"""Storages that break their word, each in its own way: what the crashes, failures and damages must all find."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest import mock

import attrs

from raft_actors.errors import RaftError
from raft_actors.persistence.log_state import Step
from raft_actors.persistence.sqlite import chunks, database, schema, snapshots, store_row
from raft_actors.persistence.sqlite.database import Database
from raft_actors.persistence.sqlite.segments import Segments
from raft_actors.raft import entries
from raft_actors.raft.entries import EntryBatch
from tests.persistence.power.disk import Kind
from tests.persistence.power.disk_errors import DiskError
from tests.persistence.power.inline import InlineThread
from tests.persistence.power.plain_files import SimulatedGrowingFile, SimulatedSyncedFile
from tests.persistence.power.running import Plan, record_again, run_here
from tests.persistence.power.simulated import Connection, SimulatedFiles

T = TypeVar("T")


@attrs.frozen
class Mutant:
    """A storage that is broken while `broken()` is entered.

    Attributes:
        kind: of the points at which it is found.
    """

    name: str
    kind: str
    broken: Callable[[], AbstractContextManager[object]]


def _settings(old: str, new: str) -> AbstractContextManager[object]:
    settings = tuple(setting.replace(old, new) for setting in schema._SETTINGS)
    return mock.patch.object(schema, "_SETTINGS", settings)


def _answers_first() -> AbstractContextManager[object]:
    begin = InlineThread.begin

    def answer_and_begin(self: InlineThread, work: Callable[[], T]) -> Awaitable[T]:
        files = self.upkeep._files
        if isinstance(files, SimulatedFiles):
            files.answered()
        return begin(self, work)

    return mock.patch.object(InlineThread, "begin", answer_and_begin)


@contextmanager
def _marks_first() -> Generator[None]:
    def marking(write: Callable[..., None]) -> Callable[..., None]:
        def mark_and_write(self: Database, *what: Any) -> None:
            if self._mark is not None:
                last = self._last_commit()
                self._mark.write(attrs.evolve(last, commit_number=last.commit_number + 1))
            write(self, *what)

        return mark_and_write

    with ExitStack() as stack:
        for name in ("append", "transact"):
            stack.enter_context(mock.patch.object(Database, name, marking(getattr(Database, name))))
        yield


@contextmanager
def _tells_of_commits_first() -> Generator[None]:
    """What a write says is committed is noted when it is asked for: it speaks of entries that are not there yet."""

    def note(self: Database, commit_index: int) -> None:
        self._commit_index = commit_index
        if self._opened is not None and self.failed is None:
            self._upkeep(self._write_mark)

    append, transact = Database.append, Database.transact

    def note_and_append(self: Database, entries: Sequence[EntryBatch], commit_index: int) -> None:
        note(self, commit_index)
        append(self, entries, commit_index)

    def note_and_transact(self: Database, steps: Sequence[Step]) -> None:
        note(self, steps[-1].after.commit_index)
        transact(self, steps)

    with (
        mock.patch.object(Database, "append", note_and_append),
        mock.patch.object(Database, "transact", note_and_transact),
    ):
        yield


def _syncs_no_folder() -> AbstractContextManager[object]:
    return mock.patch.object(SimulatedFiles, "sync_folder", return_value=None)


def _syncs_no_segment() -> AbstractContextManager[object]:
    write = SimulatedSyncedFile.write_at

    def write_only(self: SimulatedSyncedFile, offset: int, parts: Any) -> None:
        with mock.patch.object(SimulatedFiles, "do", _without(Kind.SYNC)):
            write(self, offset, parts)

    return mock.patch.object(SimulatedSyncedFile, "write_at", write_only)


def _syncs_no_snapshot() -> AbstractContextManager[object]:
    return mock.patch.object(SimulatedGrowingFile, "sync", return_value=None)


def _leaves_files() -> AbstractContextManager[object]:
    """A removed file may come back with the loss of power, when its row is gone for good."""
    return mock.patch.object(snapshots, "snapshot_ids", return_value=[])


def _without(kind: Kind) -> Callable[..., None]:
    do = SimulatedFiles.do

    def do_others(self: SimulatedFiles, asked: Kind, *arguments: Any) -> None:
        if asked is not kind:
            do(self, asked, *arguments)

    return do_others


def _frees_one_segment_too_many() -> AbstractContextManager[object]:
    def compact(self: Segments, first_index: int) -> None:
        while len(self._segments) > 1 and self._segments[0].first_index < first_index:
            self._leave(self._segments.pop(0))

    return mock.patch.object(Segments, "compact", compact)


def _trusts_what_it_finds() -> AbstractContextManager[object]:
    return mock.patch.object(SimulatedFiles, "make_durable", return_value=None)


def _syncs_what_it_finds() -> AbstractContextManager[object]:
    def sync(self: SimulatedFiles, path: Path) -> None:
        if path.name in self.disk.shown.names:
            try:
                self.do(Kind.SYNC, path.name, self.disk.shown.names[path.name])
            except DiskError as error:
                raise error.as_system() from error

    return mock.patch.object(SimulatedFiles, "make_durable", sync)


def _without_transactions() -> AbstractContextManager[object]:
    execute = Connection.execute

    def execute_at_once(self: Connection, sql: str, parameters: Any = ()) -> Any:
        return execute(self, "SELECT 1" if sql in {"BEGIN IMMEDIATE", "COMMIT"} else sql, parameters)

    return mock.patch.object(Connection, "execute", execute_at_once)


def _forgets_failures() -> AbstractContextManager[object]:
    """Each failed write is told, and the next one is tried all the same."""
    return mock.patch.object(Database, "failed", property(lambda _: None, lambda *_: None), create=True)


def _keeps_upkeep_to_itself() -> AbstractContextManager[object]:
    def upkeep(_: Database, work: Callable[[], None]) -> None:
        with suppress(Exception):
            work()

    return mock.patch.object(Database, "_upkeep", upkeep)


@contextmanager
def _without_checksums() -> Generator[None]:
    nothing = SimpleNamespace(crc32=lambda *_: 0)
    with (
        mock.patch.object(entries, "zlib", nothing),
        mock.patch.object(chunks, "zlib", nothing),
        mock.patch.object(store_row, "zlib", nothing),
    ):
        yield


def _without_mark() -> AbstractContextManager[object]:
    return mock.patch.object(database, "check_mark", return_value=0)


MUTANTS = (
    Mutant("syncs at checkpoints only (synchronous=NORMAL)", "crash", lambda: _settings("=FULL", "=NORMAL")),
    Mutant("never syncs (synchronous=OFF)", "crash", lambda: _settings("=FULL", "=OFF")),
    Mutant("answers before it commits", "crash", _answers_first),
    Mutant("marks a commit before it is made", "crash", _marks_first),
    Mutant("tells of a commit before it is durable", "crash", _tells_of_commits_first),
    Mutant("does not sync its folder", "crash", _syncs_no_folder),
    Mutant("does not sync its segments", "crash", _syncs_no_segment),
    Mutant("does not sync its snapshots", "crash", _syncs_no_snapshot),
    Mutant("leaves files of snapshots that have no row", "crash", _leaves_files),
    Mutant("writes over a segment that the log still needs", "crash", _frees_one_segment_too_many),
    Mutant("takes what it finds for durable", "fail", _trusts_what_it_finds),  # counting the start syncs all else
    Mutant("makes each statement a transaction", "crash", _without_transactions),
    Mutant("syncs what it finds, and does not write it again", "fail", _syncs_what_it_finds),
    Mutant("goes on after a failed write", "fail", _forgets_failures),
    Mutant("does not tell of failed upkeep", "fail", _keeps_upkeep_to_itself),
    Mutant("checks no checksum of its own", "damage", _without_checksums),
    Mutant("does not check the mark", "damage", _without_mark),
)


def hunt(mutant: Mutant, count: int) -> tuple[str | None, int]:
    """Look for the mutant at up to `count` points of a short workload.

    Returns:
        The first violation, if any, and at how many points it took.
    """
    with mutant.broken():
        plan = Plan(seed=1, calls=150, kind=mutant.kind, until_violated=True)
        try:
            recording = record_again(plan)
        except (RaftError, AssertionError, KeyError) as error:
            return f"{type(error).__name__}: {error}", 0  # the workload has power cuts of its own
        tally = run_here(plan.sample(count, recording), recording)
    return (tally.violations[0] if tally.violations else None), tally.points
