"""The persistence actor: group commit, in order, and not a word after a failure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import outcome
import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from typing_extensions import override

from raft_actors.actors.actor import Mailbox
from raft_actors.errors import StorageFailed
from raft_actors.persistence import MemoryDisk, MemoryStorage
from raft_actors.persistence.abc import Announced
from raft_actors.persistence.actor import PersistenceActor, PersistenceStatistics
from raft_actors.raft.effects import Persist
from raft_actors.raft.inputs import Durable, Input
from raft_actors.raft.persistent_state import HardState, LogWrite, Write
from tests.actors.stores import IDENTITY
from tests.unit.builders import batch


def entry(index: int) -> Persist:
    return Persist(LogWrite(entries=(batch(index, 1),)), (), HardState(1), 0, index)


class CallsBack(Announced[None]):
    """A write that calls back at its end, as those of a storage with a thread do."""

    def __init__(self, write: Awaitable[None]) -> None:
        self._write = write

    @override
    def __await__(self) -> Generator[Any, Any, None]:
        return self._write.__await__()

    @override
    def when_done(self, callback: Callable[[outcome.Outcome[None]], None]) -> None:
        async def wait() -> None:
            callback(await outcome.acapture(self._wait))

        trio.lowlevel.spawn_system_task(wait)

    async def _wait(self) -> None:
        await self._write


class CallingBack(MemoryStorage):
    @override
    def write(self, writes: Sequence[Write]) -> Awaitable[None]:
        return CallsBack(super().write(writes))


@pytest.fixture(params=[MemoryStorage, CallingBack], ids=["awaited", "calls back"])
def storage_class(request: pytest.FixtureRequest) -> type[MemoryStorage]:
    """Either kind of storage."""
    kind: type[MemoryStorage] = request.param
    return kind


NOTHING = Persist(None, (), HardState(1), 0, 0)


class Stage:
    """A persistence actor, what its disk was asked to write, and what it acknowledged."""

    def __init__(self, storage_class: type[MemoryStorage], inbox_capacity: int) -> None:
        self.transactions: list[list[Write]] = []
        self._acknowledged: list[Persist] = []
        self.inbox: Mailbox[Input] = Mailbox(name="node", capacity=inbox_capacity)
        self.disk = MemoryDisk(write_delay_s=1.0, before_write=self._note)
        self.storage = storage_class(self.disk)
        self.actor: PersistenceActor[Persist] = PersistenceActor(
            self.storage, self._acknowledge, lambda persist: self.inbox.tell_when_room(Durable(persist))
        )

    def _acknowledge(self, persist: Persist) -> None:
        self.inbox.tell(Durable(persist))

    def _note(self, writes: Sequence[Write]) -> None:
        self.transactions.append(list(writes))

    @property
    def acknowledged(self) -> list[Persist]:
        with suppress(trio.WouldBlock):
            while True:
                item = self.inbox.receive_nowait()
                assert isinstance(item, Durable)
                self._acknowledged.append(item.persisted)
        return self._acknowledged

    async def acknowledges_entries_1_to_3(self) -> None:
        """What comes next are these, as fast as there is room for them in the inbox."""
        with trio.fail_after(10):
            items = [await self.inbox.receive() for _ in range(3)]
        assert items == [Durable(entry(index)) for index in (1, 2, 3)]

    def tell(self, *persists: Persist) -> None:
        for persist in persists:
            self.actor.persist(persist)
        self.actor.begin()


@asynccontextmanager
async def running(storage_class: type[MemoryStorage], *, inbox_capacity: int = 100) -> AsyncGenerator[Stage, None]:
    stage = Stage(storage_class, inbox_capacity)
    await stage.storage.open(IDENTITY, tail_bytes=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.actor.run)
        await wait_all_tasks_blocked()
        yield stage
        nursery.cancel_scope.cancel()


async def test_what_waits_becomes_one_transaction(
    autojump_clock: trio.testing.MockClock, storage_class: type[MemoryStorage]
) -> None:
    async with running(storage_class) as stage:
        stage.tell(entry(1))
        await trio.sleep(0.5)
        stage.tell(entry(2), entry(3), entry(4))
        await trio.sleep(2)
        assert stage.transactions == [[entry(1).write], [entry(2).write, entry(3).write, entry(4).write]]
        assert stage.acknowledged == [entry(index) for index in (1, 2, 3, 4)]


async def test_nothing_is_acknowledged_before_it_is_durable(
    autojump_clock: trio.testing.MockClock, storage_class: type[MemoryStorage]
) -> None:
    async with running(storage_class) as stage:
        stage.tell(entry(1))
        await trio.sleep(0.5)
        assert stage.acknowledged == []
        assert stage.disk.state.last_index == 0
        await trio.sleep(1)
        assert stage.acknowledged == [entry(1)]
        assert stage.disk.state.last_index == 1


async def test_what_only_waits_is_acknowledged_in_its_turn(
    autojump_clock: trio.testing.MockClock, storage_class: type[MemoryStorage]
) -> None:
    async with running(storage_class) as stage:
        stage.tell(NOTHING)
        await wait_all_tasks_blocked()
        assert stage.acknowledged == [NOTHING]  # nothing was asked before
        stage.tell(entry(1))
        await wait_all_tasks_blocked()
        stage.tell(NOTHING)
        await trio.sleep(0.5)
        assert stage.acknowledged == [NOTHING]
        await trio.sleep(1)
        assert stage.acknowledged == [NOTHING, entry(1), NOTHING]
        assert stage.transactions == [[entry(1).write]]


async def test_a_disk_that_fails_ends_it_without_a_word(
    autojump_clock: trio.testing.MockClock, storage_class: type[MemoryStorage]
) -> None:
    def fail(writes: Sequence[Write]) -> None:
        if entry(2).write in writes:
            raise StorageFailed("the disk is gone")

    stages: list[Stage] = []
    with pytest.RaisesGroup(pytest.RaisesExc(StorageFailed, match="gone")):
        async with running(storage_class) as stage:
            stages.append(stage)
            stage.disk.before_write = fail
            stage.tell(entry(1))
            await trio.sleep(0.5)
            stage.tell(entry(2), entry(3))
            await trio.sleep_forever()
    assert stages[0].acknowledged == [entry(1)]


async def test_counts_what_waits_and_what_was_written(
    autojump_clock: trio.testing.MockClock, storage_class: type[MemoryStorage]
) -> None:
    async with running(storage_class) as stage:
        stage.tell(entry(1))
        await trio.sleep(0.5)
        stage.tell(entry(2), NOTHING, entry(3))
        assert stage.actor.statistics() == PersistenceStatistics(waiting=3, transactions=0, writes=0)
        await trio.sleep(5)
        assert stage.actor.statistics() == PersistenceStatistics(waiting=0, transactions=2, writes=3)


async def test_acknowledgements_wait_for_room_in_a_full_inbox(
    autojump_clock: trio.testing.MockClock, storage_class: type[MemoryStorage]
) -> None:
    async with running(storage_class, inbox_capacity=1) as stage:
        stage.tell(entry(1), entry(2), entry(3))
        await trio.sleep(2)
        assert stage.inbox.statistics().waiting == 1
        await stage.acknowledges_entries_1_to_3()


async def test_what_comes_while_acknowledgements_wait_for_room_keeps_its_place(
    autojump_clock: trio.testing.MockClock, storage_class: type[MemoryStorage]
) -> None:
    async with running(storage_class, inbox_capacity=1) as stage:
        stage.tell(entry(1), entry(2))
        await trio.sleep(0.5)
        stage.tell(entry(3))
        await trio.sleep(5)
        if storage_class is CallingBack:
            assert stage.disk.state.last_index == 3  # the disk did not wait for room in the inbox
        await stage.acknowledges_entries_1_to_3()


async def test_what_becomes_durable_after_its_end_is_acknowledged_to_nobody(
    autojump_clock: trio.testing.MockClock, storage_class: type[MemoryStorage]
) -> None:
    async with running(storage_class) as stage:
        stage.tell(entry(1))
        await trio.sleep(0.5)
        stage.actor.persist(entry(2))
    await trio.sleep(5)
    assert stage.acknowledged == []
    assert stage.disk.state.last_index <= 1
