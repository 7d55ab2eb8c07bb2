"""What `SqliteStorage` acknowledged survives the loss of power, a killed process, and a disk that fails.

Here a sample of the points is tried; `make storage-crashes` tries all.
"""

from __future__ import annotations

import random

import pytest

from tests.persistence.power.crashes import count_points, crash_at, points
from tests.persistence.power.disk import Disk, Event, Image, Kind, all_of, none_of, sectors_of
from tests.persistence.power.mutants import MUTANTS, Mutant, hunt
from tests.persistence.power.playing import Player, record
from tests.persistence.power.running import Plan, record_again, run_here
from tests.persistence.power.settings import small_and_inline
from tests.persistence.power.tally import Tally
from tests.persistence.power.workload import make_workload
from tests.thorough import rounds

CALLS = 1000


@pytest.mark.parametrize(("kind", "count"), [("crash", 90), ("fail", 20), ("damage", 16)])
def test_a_sample_of_all_points(kind: str, count: int) -> None:
    count = rounds(count)
    tally = run_here(Plan(1, CALLS, kind).sample(count))
    assert tally.violations == []
    assert tally.points == count
    assert tally.reopenings > 8 * count
    assert (tally.refusals > count) == (kind == "damage")


@pytest.mark.parametrize("kind", ["crash", "fail"])
def test_a_store_in_the_making(kind: str) -> None:
    """The first points of all: the file, its tables, the mark, and the first calls."""
    tally = run_here(Plan(2, 30, kind, numbers=tuple(range(40))))
    assert tally.violations == []


async def test_a_store_made_where_another_one_was_removed() -> None:
    """The mark that the other one left behind must not speak against the new one."""
    with small_and_inline():
        other = Disk()
        for event in (await record(make_workload(5, 30))).journal:
            other.replay(event)
        mark = other.shown.contents()["n1.db-mark"]
        disk = Disk()
        for event in (
            Event(Kind.CREATE, "n1.db-mark", 1),
            Event(Kind.WRITE, "n1.db-mark", 1, 0, mark),
            Event(Kind.SYNC, "n1.db-mark", 1),
            Event(Kind.SYNC_FOLDER),
        ):
            disk.happen(event)
        workload, tally = make_workload(6, 10), Tally()
        recording = await record(workload, Player(workload, disk))
        for point in points(recording.journal, range(80)):
            await crash_at(recording, point, 6, tally)
    assert tally.violations == []
    assert tally.points == 80


async def test_the_thread_keeps_the_order() -> None:
    """The same with the storage's real thread, which answers while it does its upkeep."""
    player = Player(make_workload(3, 150), Disk())
    recording = await record(player.workload, player)
    tally = Tally()
    numbers = random.Random(3).sample(range(count_points(recording.journal)), 40)
    for point in points(recording.journal, numbers):
        await crash_at(recording, point, 3, tally)
    assert tally.violations == []
    assert tally.points == 40


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_storage_that_breaks_its_word_is_found(mutant: Mutant) -> None:
    violation, _ = hunt(mutant, count=100)
    assert violation is not None


# --- the disk itself ---------------------------------------------------------------------------------------------


def written(file: int, number: int, data: bytes) -> Event:
    return Event(Kind.WRITE, "a", file, number, data)


def disk_with(*events: Event) -> Disk:
    disk = Disk()
    for event in (Event(Kind.CREATE, "a", 1), Event(Kind.SYNC_FOLDER), *events):
        disk.do(event)
    return disk


def test_only_what_was_synced_survives_for_sure() -> None:
    disk = disk_with(written(1, 0, b"one"), Event(Kind.SYNC, "a", 1), written(1, 1, b"two"))
    assert disk.shown.contents() == {"a": b"otwo"}
    assert disk.after_power_cut(none_of).shown.contents() == {"a": b"one"}
    assert disk.after_power_cut(all_of).shown.contents() == {"a": b"otwo"}


def test_a_file_without_a_durable_name_is_gone() -> None:
    disk = disk_with(Event(Kind.CREATE, "b", 2), Event(Kind.WRITE, "b", 2, 0, b"x"), Event(Kind.SYNC, "b", 2))
    disk.do(Event(Kind.REMOVE, "a", 1))
    assert disk.after_power_cut(none_of).shown.contents() == {"a": b""}
    disk.do(Event(Kind.SYNC_NAME, "b", 2))
    assert disk.after_power_cut(none_of).shown.contents() == {"a": b"", "b": b"x"}
    disk.do(Event(Kind.SYNC_FOLDER))
    assert disk.after_power_cut(none_of).shown.contents() == {"b": b"x"}


def test_a_torn_write_survives_by_sectors() -> None:
    before, after = b"." * 2000, b"x" * 1500
    disk = disk_with(written(1, 0, before), Event(Kind.SYNC, "a", 1), written(1, 100, after))
    seen = {disk.after_power_cut(sectors_of(random.Random(seed))).shown.contents()["a"] for seed in range(100)}
    assert len(seen) == 16
    parts = [slice(0, 100), slice(100, 512), slice(512, 1024), slice(1024, 1536), slice(1536, 1600), slice(1600, 2000)]
    assert all(len(set(found[part])) == 1 for found in seen for part in parts)


def test_what_a_failed_sync_left_is_never_durable() -> None:
    disk = disk_with(written(1, 0, b"one"), Event(Kind.FORGET, "a", 1), written(1, 3, b"two"), Event(Kind.SYNC, "a", 1))
    assert disk.shown.contents() == {"a": b"onetwo"}
    assert disk.after_power_cut(all_of).shown.contents() == {"a": b"\0\0\0two"}


def test_the_journal_tells_it_all_again() -> None:
    disk = disk_with(written(1, 0, b"one"), Event(Kind.TRUNCATE, "a", 1, 2), Event(Kind.POWER_CUT, number=7))
    disk.do(written(1, 5, b"more"))
    again = Disk()
    for event in disk.journal:
        again.replay(event)
    assert (again.shown, again.durable, again.pending) == (disk.shown, disk.durable, disk.pending)
    assert isinstance(again.shown, Image)


def test_the_same_seed_makes_the_same_events() -> None:
    def shape() -> list[tuple[Kind, str, int, int]]:
        journal = record_again(Plan(4, 120, "crash")).journal
        return [(event.kind, event.name, event.number, len(event.data)) for event in journal]

    assert shape() == shape()
