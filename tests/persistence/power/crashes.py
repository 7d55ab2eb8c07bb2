"""Cuts the power, or kills the process, before and after every write and sync of a recorded workload.

At each point several survivors of what was not synced are tried. On each, the real storage is opened and read from end
to end: it must hold exactly what it held after the calls that were answered, or after those that were asked for. As
long as the disk does what it says, refusing to open is no way out.

What a process leaves in the system's cache when it is killed is seen by the next one, and not durable yet. So there,
the power is cut a second time when the store is open: what `open` returned must still be there.
"""

from __future__ import annotations

import random
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from raft_actors.persistence import HardState, LogWrite, SqliteStorage
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.persistence.model import Contents, Model, Snapshot
from tests.persistence.power.disk import (
    POINTS,
    Choice,
    Disk,
    Event,
    all_of,
    any_of,
    first_of,
    latest_of,
    none_of,
    sectors_of,
)
from tests.persistence.power.inline import idle
from tests.persistence.power.playing import Recording
from tests.persistence.power.simulated import SimulatedFiles
from tests.persistence.power.tally import Tally, Violated
from tests.persistence.support import contents, take_snapshot

#: How often what opened is put to work again, and how often the real file system is asked too.
_GO_ON_SHARE, _REAL_SHARE = 0.03, 0.03


@attrs.frozen
class Point:
    """A disk just before an event.

    Attributes:
        number: counts the points.
        event: None after the last one.
        asked: how many calls had been made.
        answered: how many of them were answered.
        disk: shared with the points that follow: to be copied.
    """

    number: int
    event: Event | None
    asked: int
    answered: int
    disk: Disk

    def __str__(self) -> str:
        event = "the end" if self.event is None else f"{self.event}"
        return f"point {self.number}, before {event}, in call {self.asked} ({self.answered} answered)"


def points(journal: Sequence[Event], wanted: Iterable[int]) -> Iterator[Point]:
    """The points of a journal, counted from 0, whose numbers are wanted."""
    chosen = set(wanted)
    disk, count = Disk(), 0
    asked = answered = 0
    for event in journal:
        if event.kind in POINTS:
            if count in chosen:
                yield Point(count, event, asked, answered, disk)
            count += 1
        elif event.note[0] == "asked":
            asked = event.note[1]
        elif event.note[0] == "answered":
            answered = event.note[1]
        disk.replay(event)
    if count in chosen:
        yield Point(count, None, asked, answered, disk)


def count_points(journal: Sequence[Event]) -> int:
    """How many `points` there are, the one at the end among them."""
    return sum(event.kind in POINTS for event in journal) + 1


async def read_store(disk: Disk) -> tuple[Contents, SqliteStorage, SimulatedFiles]:
    """Open a store in a new process, and read all of it; the process is left running."""
    files = SimulatedFiles(disk)
    storage = SqliteStorage(files.path, files=files)
    try:
        return await contents(storage), storage, files
    except BaseException:
        files.kill()
        raise


async def crash_at(recording: Recording, point: Point, seed: int, tally: Tally) -> None:
    """Crash at one point in every way, and see what survives."""
    rng = random.Random(f"{seed} {point.number}")
    states = recording.workload.states
    expected = [states[point.answered], states[point.asked]]
    tally.points += 1
    for name, choice in _choices(point.disk.pending, rng):
        await _try(point, name, expected, tally, rng, point.disk.after_power_cut(choice))
    await _try(point, "kill", expected, tally, rng, point.disk.copy())


def _choices(pending: list[Event], rng: random.Random) -> list[tuple[str, Choice]]:
    found: list[tuple[str, Choice]] = [("nothing survives", none_of)]
    if pending:
        found += [
            ("all survives", all_of),
            ("some events survive", any_of(rng)),
            ("the first events survive", first_of(rng)),
            ("the latest events survive", latest_of(rng)),
            ("some sectors survive", sectors_of(rng)),
            ("other sectors survive", sectors_of(rng)),
        ]
    return found


async def _try(point: Point, name: str, expected: list[Contents], tally: Tally, rng: random.Random, disk: Disk) -> None:
    try:
        if not point.answered or rng.random() < _GO_ON_SHARE:
            await _go_on(disk.copy(), tally, rng)
        found = await _reopen(disk, expected, tally, rng)
        if name == "kill":
            for again, choice in (("nothing", none_of), ("some", sectors_of(rng))):
                name = f"kill, then a power cut after opening that {again} survives"
                await _reopen(disk.after_power_cut(choice), [found], tally, rng)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a violation at this point
        tally.violations.append(f"{point}: {name}: {type(error).__name__}: {error}")


async def _reopen(disk: Disk, expected: list[Contents], tally: Tally, rng: random.Random) -> Contents:
    if rng.random() < _REAL_SHARE:
        tally.reopenings += 1
        compare(await read_real_store(disk.shown.contents()), expected)
    tally.reopenings += 1
    found, _, files = await read_store(disk)
    compare(found, expected)
    files.kill()
    return found


def compare(found: Contents, expected: Sequence[Contents]) -> None:
    """Raise `Violated` where what was found is nothing of what was expected."""
    if not any(found.is_of(state) for state in expected):
        known = " or ".join(dict.fromkeys(map(_brief, expected)))
        raise Violated(f"expected {known}; found {_brief(found)}")


def _brief(held: Contents) -> str:
    return (
        f"[term {held.hard_state.term}, vote {held.hard_state.voted_for}, entries {held.first_index}-{held.last_index}"
        f" crc {zlib.crc32(repr(held.entries).encode()):08x}, snapshot {held.snapshot and held.snapshot.index}"
        f" in {len(held.chunks)} chunks, committed up to {held.commit_index}]"
    )


async def read_real_store(files: Mapping[str, bytes]) -> Contents:
    """The same store in real files, read with Python's own SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        storage = SqliteStorage(Path(folder, "n1.db"))
        try:
            return await contents(storage)
        finally:
            await storage.aclose()


async def _go_on(disk: Disk, tally: Tally, rng: random.Random) -> None:
    """A store that came back works: it takes a vote, entries and a snapshot, keeps them, and collects its garbage."""
    tally.reopenings += 3
    held, storage, files = await read_store(disk)
    model = Model(
        held.hard_state,
        held.snapshot,
        held.chunks,
        held.first_index,
        held.last_index,
        held.commit_index,
        {entry.index: entry for entry in held.entries},
        held.configurations,
    )
    term = max(model.last_term, held.hard_state.term) + 1
    batch = EntryBatch.encode(held.last_index + 1, term, EntryKind.COMMAND, [rng.randbytes(50) for _ in range(3)])
    write = LogWrite(HardState(term, "n2"), None, (batch,))
    snapshot = Snapshot(SnapshotMetadata(held.last_index + 2, term), (b"a" * 9000, b"b"), held.last_index + 2, False)
    await storage.write([write])
    await take_snapshot(storage, snapshot.metadata.index, term, snapshot.chunks, first_index=snapshot.first_index)
    model.apply((write,))
    model.apply(snapshot)
    after, _, other = await read_store(disk.after_power_cut(none_of))
    other.kill()
    compare(after, [model.contents()])
    await idle(storage)
    _check_garbage(storage, model)
    await storage.aclose()
    compare(await contents(storage), [model.contents()])
    files.kill()


def _check_garbage(storage: SqliteStorage, model: Model) -> None:
    session = storage._session
    if session is None:
        raise AssertionError
    query = "SELECT (SELECT count(*) FROM snapshots), (SELECT count(*) FROM batches WHERE last_index < ?)"
    found = session.database._connection().execute(query, (model.first_index,)).fetchone()
    files = session.database._files.names(session.database.path.parent, f"{session.database.path.name}-snapshot-")
    if (*found, len(files)) != (1, 0, bool(model.chunks)):
        raise Violated(f"garbage is left: {found} snapshots and batches below the log; {files}")
