"""Has every write, sync, truncation, creation and removal of a recorded workload fail, one after the other.

The process lives on here, so the work is done again from where it began, up to the failure. The call that meets it (or
the next one, where nobody waited) must raise a typed error, and all later ones must refuse without touching the disk.
Then the store is opened again: on the disk as it is, after closing and after a crash, and after power cuts.

After a sync that failed, systems may drop what was to be synced, and show it all the same until the next boot: a later
sync then succeeds, and the data is not on the disk. That is tried as well.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import attrs

from raft_actors.errors import RaftError, StorageError, StorageFailed
from raft_actors.persistence import LogWrite, SqliteStorage
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.persistence.model import Contents
from tests.persistence.power.crashes import compare, read_store
from tests.persistence.power.disk import POINTS, SECTOR, Disk, Event, Kind, none_of, sectors_of
from tests.persistence.power.disk_errors import DiskError
from tests.persistence.power.playing import Player, Recording, Segment
from tests.persistence.power.tally import Tally, Violated
from tests.persistence.power.workload import Reopen

#: Ways to fail: nothing is done; the disk is full, and half of it is done; all that follows fails as well; what was to
#: be synced is forgotten.
_WAYS: dict[Kind, tuple[str, ...]] = {
    Kind.WRITE: ("error", "full", "broken"),
    Kind.SYNC: ("error", "forget", "broken"),
    Kind.TRUNCATE: ("error", "broken"),
    Kind.CREATE: ("error", "full", "broken"),
    Kind.REMOVE: ("error", "broken"),
    Kind.SYNC_NAME: ("error", "broken"),
    Kind.SYNC_FOLDER: ("error", "broken"),
}


@attrs.define
class _Failure:
    """The hook of a disk that fails at one event."""

    disk: Disk
    at: int
    way: str
    seen: int = -1
    met: Event | None = None

    def __call__(self, event: Event) -> None:
        self.seen += 1
        if self.seen < self.at or (self.seen > self.at and self.way != "broken"):
            return
        if self.met is None:
            self.met = event
            if self.way == "full" and event.kind is Kind.WRITE:
                half = len(event.data) // 2 // SECTOR * SECTOR
                self.disk.happen(attrs.evolve(event, data=event.data[:half]))
            elif self.way == "forget":
                self.disk.happen(attrs.evolve(event, kind=Kind.FORGET))
        raise DiskError(event.kind, full=self.way == "full")


@attrs.frozen
class FailingPoint:
    """A point, which is one of a segment's events, and what is done there."""

    number: int
    segment: Segment
    number_in_segment: int
    kind: Kind


def failing_points(recording: Recording) -> list[FailingPoint]:
    """Every event that can fail; numbered as the points of crashes are."""
    kinds = [event.kind for event in recording.journal if event.kind in POINTS]
    places = [(segment, number) for segment in recording.segments for number in range(segment.points)]
    found = zip(places, kinds, strict=True)
    return [FailingPoint(number, *place, kind) for number, (place, kind) in enumerate(found)]


async def fail_at(recording: Recording, point: FailingPoint, seed: int, tally: Tally, *, in_turn: bool = False) -> None:
    """Fail at one point in every way that it has; `in_turn`: in one of them, another at each point."""
    tally.points += 1
    segment, ways = point.segment, _WAYS[point.kind]
    for way in (ways[point.number % len(ways)],) if in_turn else ways:
        disk = segment.disk.copy()
        failure = disk.before = _Failure(disk, point.number_in_segment, way)
        rng = random.Random(f"{seed} {point.number} {way}")
        player = Player(recording.workload, disk, segment.asked, segment.asked)
        try:
            await _fail(player, failure, tally, rng)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a violation at this point
            where = f"point {point.number}, {failure.met}"
            tally.violations.append(f"{where}, fails ({way}) in call {player.asked}: {type(error).__name__}: {error}")
        if failure.met is None or failure.met.kind is not point.kind:
            tally.violations.append(f"point {point.number} never came: not the same work")


async def _fail(player: Player, failure: _Failure, tally: Tally, rng: random.Random) -> None:
    error = await _work(player)
    disk = player.disk
    expected = [player.workload.states[player.answered], player.workload.states[player.asked]]
    if error is None:
        expected = expected[:1]
    elif not isinstance(error, StorageError):
        raise Violated(f"not an error of the storage's: {error!r}")
    else:
        await _check_refusals(player.storage, disk)
    crashed = disk.copy()
    error = await _close(player) or error
    if error is None and failure.met is not None and not _may_be_kept(failure.met, failure.way):
        raise Violated("nobody was told")
    disk.before = None
    await _reopen(crashed.after_power_cut(none_of), expected, tally, "a power cut that nothing survives")
    await _reopen(crashed.after_power_cut(sectors_of(rng)), expected, tally, "a power cut that some sectors survive")
    for left, how in ((crashed, "killed"), (disk, "closed")):
        found = await _reopen(left, expected, tally, how)
        await _reopen(left.after_power_cut(none_of), [found], tally, f"{how}, opened, then a power cut")


async def _work(player: Player) -> Exception | None:
    """Do the work of one process; returns the first error."""
    calls = player.workload.calls
    try:
        await player.start()
        while player.asked < len(calls):
            call = player.ask()
            if isinstance(call, Reopen):
                if call.how == "close":
                    await player.storage.aclose()
                break
            await player.carry_out(call)
            player.note_answer()
        else:
            await player.storage.aclose()
    except RaftError as error:
        return error
    return None


async def _check_refusals(storage: SqliteStorage, disk: Disk) -> None:
    done = len(disk.journal)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: storage.write([LogWrite(truncate_from=1 << 40)]),
        lambda: storage.begin_snapshot(SnapshotMetadata(1 << 40, 1)),
        lambda: (
            storage.read_entries(storage._session.state.first_index, 1 << 40, 0)
            if storage._session
            else storage.write([])
        ),
    ]
    for call in calls:
        try:
            await call()
        except StorageFailed:
            continue
        except KeyError:
            continue  # an empty log
        raise Violated("a call after the failure was carried out")
    if len(disk.journal) != done:
        raise Violated(f"a call after the failure did something: {disk.journal[done]}")


def _may_be_kept(met: Event, way: str) -> bool:
    """Whether nobody need be told.

    SQLite keeps to itself that it could not sync the folder (so we do that ourselves), or remove a write-ahead log that
    it has emptied. Nor does it matter where there is no room to be had ahead of need.
    """
    return met.kind in {Kind.SYNC_NAME, Kind.REMOVE} or (way == "full" and not any(met.data))


async def _close(player: Player) -> StorageError | None:
    try:
        await player.storage.aclose()
    except StorageError as error:
        return error
    finally:
        player.files.kill()
    return None


async def _reopen(disk: Disk, expected: list[Contents], tally: Tally, how: str) -> Contents:
    tally.reopenings += 1
    try:
        found, _, files = await read_store(disk)
        files.kill()
        compare(found, expected)
    except (Violated, RaftError, AssertionError) as error:
        raise Violated(f"{how}: {type(error).__name__}: {error}") from error
    return found
