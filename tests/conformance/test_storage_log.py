"""Every storage keeps the contract of `raft_actors.persistence.abc`, sentence by sentence: the log."""

from __future__ import annotations

import pytest
import trio

from raft_actors.errors import InternalError
from raft_actors.persistence import (
    CommitSnapshot,
    HardState,
    LogWrite,
    Storage,
    TermRun,
)
from tests.persistence.support import (
    EVERYTHING,
    IDENTITY,
    Place,
    append,
    batch,
    filled,
    singles,
    take_snapshot,
    taken_apart,
)


async def test_parts_of_a_write_take_effect_in_order(storage: Storage) -> None:
    recovered = await filled(storage, *singles(1, 1, 5))
    await storage.write(
        [
            append(batch(6, 1, b"f")),
            LogWrite(HardState(2, "n2"), truncate_from=4, entries=(batch(4, 2, b"d2", b"e2", b"f2"),)),
            LogWrite(truncate_from=5, entries=(batch(5, 3, b"e3"),)),
        ]
    )
    found = taken_apart(await storage.read_entries(1, 99, EVERYTHING))
    assert recovered.last_index == 0
    assert [(entry.index, entry.term) for entry in found] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 3)]
    assert [entry.command for entry in found[3:]] == [b"d2", b"e3"]


@pytest.mark.parametrize("cut", [2, 3, 4, 5, 6, 7])
async def test_truncation_inside_at_and_beyond_batches(storage: Storage, place: Place, cut: int) -> None:
    batches = (batch(1, 1, b"a"), batch(2, 1, b"b", b"c", b"d"), batch(5, 2, b"e", b"f"))
    await filled(storage, *batches, term=2)
    await storage.write([LogWrite(truncate_from=cut)])
    await storage.write([append(batch(min(cut, 7), 9, b"new"))])
    expected = [entry for entry in taken_apart(batches) if entry.index < cut]
    expected += taken_apart([batch(min(cut, 7), 9, b"new")])
    assert taken_apart(await storage.read_entries(1, 99, EVERYTHING)) == expected
    recovered = await place.recover(storage)
    assert taken_apart(recovered.tail) == expected
    assert recovered.term_runs[-1] == TermRun(9, min(cut, 7))
    assert len(recovered.term_runs) == (3 if cut > 5 else 2)


async def test_truncating_all_of_the_log(storage: Storage, place: Place) -> None:
    await filled(storage, batch(1, 1, b"a", b"b"))
    await storage.write([LogWrite(truncate_from=1)])
    with pytest.raises(KeyError):
        await storage.read_entries(1, 1, 1)
    recovered = await place.recover(storage)
    assert (recovered.first_index, recovered.last_index, recovered.term_runs, recovered.tail) == (1, 0, (), ())


@pytest.mark.parametrize(
    "senseless",
    [
        LogWrite(entries=(batch(5, 1, b"gap"),)),
        LogWrite(entries=(batch(3, 1, b"overlap"),)),
        LogWrite(entries=(batch(4, 1, b"d"), batch(6, 1, b"gap"))),
        LogWrite(truncate_from=3, entries=(batch(4, 1, b"gap"),)),
        LogWrite(entries=(batch(4, 2, b"d"), batch(5, 1, b"the term falls"))),
        LogWrite(truncate_from=0),
        LogWrite(HardState(9), entries=(batch(9, 9, b"gap"),)),
        CommitSnapshot(99, 2),
    ],
)
async def test_senseless_writes_are_refused_before_anything_is_written(
    storage: Storage, place: Place, senseless: LogWrite | CommitSnapshot
) -> None:
    batches = singles(1, 1, 3)
    await filled(storage, *batches)
    with pytest.raises(InternalError):
        await storage.write([LogWrite(HardState(8)), senseless])
    assert await storage.read_entries(1, 9, EVERYTHING) == batches
    await storage.write([append(batch(4, 1, b"goes on"))])
    recovered = await place.recover(storage)
    assert recovered.hard_state == HardState(1, "n1")
    assert recovered.last_index == 4


async def test_an_empty_write_is_allowed(storage: Storage) -> None:
    await filled(storage, batch(1, 1, b"a"))
    await storage.write([])
    await storage.write([LogWrite()])
    assert await storage.read_entries(1, 1, 0) == (batch(1, 1, b"a"),)


async def test_more_batches_than_one_statement_takes(storage: Storage) -> None:
    await filled(storage, batch(1, 1, b"a"))
    many = singles(2, 1, 3000)
    await storage.write([append(*many)])
    await storage.write([append(*singles(3002, 1, 200)), append(*singles(3202, 1, 300))])
    assert len(taken_apart(await storage.read_entries(1, 9999, EVERYTHING))) == 3501


async def test_overlapping_calls_are_carried_out_in_order(storage: Storage) -> None:
    await filled(storage, batch(1, 1, b""))
    seen: list[int] = []

    async def write(index: int, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await storage.write([append(batch(index, 1, b"x"))])
        seen.append(index)

    async def read(index: int, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        assert taken_apart(await storage.read_entries(index, index, 1))[0].index == index

    async with trio.open_nursery() as nursery:
        for index in range(2, 50):
            await nursery.start(write, index)
            await nursery.start(read, index)
    assert sorted(seen) == list(range(2, 50))


async def test_a_cancelled_write_ends_at_once_and_leaves_the_storage_in_order(storage: Storage, place: Place) -> None:
    await filled(storage, batch(1, 1, b"a"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await storage.write([append(batch(2, 1, b"b"))])
    assert scope.cancelled_caught
    await storage.write([append(batch(3, 1, b"c"))])
    assert (await place.recover(storage, tail_bytes=0)).last_index == 3


async def test_closing_finishes_what_was_asked_before(storage: Storage, place: Place) -> None:
    await filled(storage, batch(1, 1, b"a"))
    done: list[int] = []

    async def write(index: int, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await storage.write([append(batch(index, 1, b"x"))])
        done.append(index)

    async with trio.open_nursery() as nursery:
        for index in range(2, 30):
            await nursery.start(write, index)
        nursery.start_soon(storage.aclose)
        await storage.aclose()
    assert sorted(done) == list(range(2, 30))
    assert (await place.recover(storage, tail_bytes=0)).last_index == 29


async def test_read_entries_cuts_to_the_range(storage: Storage) -> None:
    first, second = batch(1, 1, b"a", b"b", b"c"), batch(4, 1, b"d", b"e")
    await filled(storage, first, second)
    assert await storage.read_entries(2, 4, EVERYTHING) == (first.since(2), second.before(5))
    assert await storage.read_entries(2, 2, EVERYTHING) == (batch(2, 1, b"b"),)
    assert await storage.read_entries(5, 99, EVERYTHING) == (batch(5, 1, b"e"),)


@pytest.mark.parametrize(("room", "count"), [(0, 1), (39, 1), (77, 1), (78, 2), (39 * 2000, 2000), (1 << 30, 3000)])
async def test_read_entries_returns_what_fits_and_at_least_one(storage: Storage, room: int, count: int) -> None:
    batches = singles(1, 1, 3000)
    await filled(storage, *batches)
    assert await storage.read_entries(1, 3000, room) == batches[:count]


async def test_read_entries_outside_of_the_log(storage: Storage) -> None:
    await filled(storage, *singles(1, 1, 9))
    await take_snapshot(storage, 5, 1, [b"s"], first_index=4)
    for index in (0, 3, 10):
        with pytest.raises(KeyError):
            await storage.read_entries(index, 12, EVERYTHING)
    assert len(await storage.read_entries(4, 9, EVERYTHING)) == 6


async def test_statistics_count_commits_and_payload(storage: Storage) -> None:
    await storage.open(IDENTITY, tail_bytes=0)
    before = storage.statistics()
    assert (before.commits, before.written_bytes) == (0, 0)
    one = batch(1, 1, b"a" * 5000)
    await storage.write([append(one)])
    await take_snapshot(storage, 1, 1, [b"chunk"])
    after = storage.statistics()
    assert after.commits >= 3
    assert after.written_bytes == one.size + 5
    assert after.stored_bytes >= 5
