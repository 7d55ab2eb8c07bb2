"""What only the memory storage promises: faults, delays, power cuts, and that all of it repeats itself."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from typing_extensions import override

from raft_actors.errors import StorageCorrupt, StorageFailed, StorageFull
from raft_actors.persistence import HardState, LogWrite, MemoryDisk, MemoryStorage, Write
from raft_actors.raft.entries import EntryBatch
from tests.persistence.support import IDENTITY, append, batch, contents, filled, take_snapshot, written


async def test_a_write_that_the_hook_refuses_is_the_last(autojump_clock: trio.testing.MockClock) -> None:
    storage = MemoryStorage()
    await filled(storage, batch(1, 1, b"a"))
    seen: list[Sequence[Write]] = []

    def refuse(writes: Sequence[Write]) -> None:
        seen.append(writes)
        if len(seen) == 2:
            raise StorageFull("no room, says the test")

    storage.disk.before_write = refuse
    await storage.write([append(batch(2, 1, b"b"))])
    with pytest.raises(StorageFull, match="says the test"):
        await storage.write([LogWrite(HardState(7)), append(batch(3, 1, b"c"))])
    assert seen == [[append(batch(2, 1, b"b"))], [LogWrite(HardState(7)), append(batch(3, 1, b"c"))]]
    for call in (lambda: storage.write([LogWrite()]), lambda: storage.read_entries(1, 1, 1)):
        with pytest.raises(StorageFailed, match="since one failed: no room"):
            await call()
    await storage.aclose()
    storage.disk.before_write = None
    found = await contents(MemoryStorage(storage.disk))
    assert (found.last_index, found.hard_state.term) == (2, 1)


async def test_an_opening_that_failed_takes_nothing() -> None:
    class Damaged(MemoryStorage):
        @override
        def _tail(self, max_bytes: int) -> tuple[EntryBatch, ...]:
            raise StorageCorrupt("says the test")

    storage = MemoryStorage()
    await filled(storage, batch(1, 1, b"a"))
    await storage.aclose()
    with pytest.raises(StorageCorrupt, match="says the test"):
        await Damaged(storage.disk).open(IDENTITY, tail_bytes=1)
    assert (await contents(MemoryStorage(storage.disk))).last_index == 1


async def test_what_follows_a_failed_write_fails_too(autojump_clock: trio.testing.MockClock) -> None:
    storage = MemoryStorage()
    await filled(storage, batch(1, 1, b"a"))

    def refuse(writes: Sequence[Write]) -> None:
        storage.disk.before_write = None
        raise StorageFailed("broken")

    storage.disk.before_write, storage.disk.write_delay_s = refuse, 1.0
    failed: list[int] = []

    async def write(index: int) -> None:
        with pytest.raises(StorageFailed):
            await storage.write([append(batch(index, 1, b"x"))])
        failed.append(index)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, 2)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(write, 3)
    assert failed == [2, 3]


async def test_writes_take_their_time_one_after_another(autojump_clock: trio.testing.MockClock) -> None:
    disk = MemoryDisk(write_delay_s=0.25)
    storage = MemoryStorage(disk)
    start = trio.current_time()
    await filled(storage, batch(1, 1, b"a"))
    assert trio.current_time() == start + 0.25
    async with trio.open_nursery() as nursery:
        for index in (2, 3, 4):
            nursery.start_soon(written, storage, [append(batch(index, 1, b"x"))])
            await trio.testing.wait_all_tasks_blocked()
        found = await storage.read_entries(4, 4, 1)  # a read waits for the writes before it
        assert (found[0].first_index, trio.current_time()) == (4, start + 1.0)
    await take_snapshot(storage, 4, 1, [b"a", b"b"])
    assert trio.current_time() == start + 1.75
    await storage.aclose()


async def test_a_hung_disk_holds_up_no_cancellation_and_a_power_cut_ends_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    storage = MemoryStorage()
    await filled(storage, batch(1, 1, b"a"))
    storage.disk.write_delay_s = math.inf
    with trio.move_on_after(5) as scope:
        await storage.write([append(batch(2, 1, b"b"))])
    assert scope.cancelled_caught
    with trio.move_on_after(5) as scope:
        await storage.read_entries(1, 1, 1)
    assert scope.cancelled_caught
    storage.disk.cut_power()
    storage.disk.cut_power()
    storage.disk.write_delay_s = 0.0
    with pytest.raises(StorageFailed, match="power"):
        await storage.write([append(batch(2, 1, b"b"))])
    assert (await contents(MemoryStorage(storage.disk))).last_index == 1


@asynccontextmanager
async def cut_short() -> AsyncGenerator[MemoryStorage]:
    """A storage whose power has just been cut in the middle of its second write, which must fail by the block's end."""
    storage = MemoryStorage()
    await filled(storage, batch(1, 1, b"a"))
    storage.disk.write_delay_s = 1.0
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def write() -> None:
            with pytest.raises(StorageFailed, match="power"):
                await storage.write([append(batch(2, 1, b"b"))])

        await trio.testing.wait_all_tasks_blocked()
        storage.disk.cut_power()
        yield storage


async def test_a_power_cut_fails_who_waits(autojump_clock: trio.testing.MockClock) -> None:
    async with cut_short() as storage:
        pass
    await storage.aclose()  # closes nothing that another may hold by now
    other = MemoryStorage(storage.disk)
    assert (await contents(other)).last_index == 1
    await storage.aclose()
    await other.write([LogWrite(HardState(2))])
    await other.aclose()
    again = MemoryStorage(storage.disk)
    assert (await again.open(IDENTITY, tail_bytes=0)).hard_state == HardState(2)


async def test_opening_again_at_once_revives_nothing_that_the_power_cut_took(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with cut_short() as storage:
        assert (await contents(storage)).last_index == 1
    assert storage.disk.state.last_index == 1


async def test_closing_finishes_also_what_nobody_waits_for(autojump_clock: trio.testing.MockClock) -> None:
    storage = MemoryStorage()
    await filled(storage, batch(1, 1, b"a"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await storage.write([append(batch(2, 1, b"b"))])
    assert storage.disk.state.last_index == 1
    await storage.aclose()
    assert (await contents(MemoryStorage(storage.disk))).last_index == 2
