"""Snapshots on their way to disk: of this node's own state, and from a leader."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from raft_actors.actors.actor import Actor
from raft_actors.config import NodeConfig
from raft_actors.errors import StateMachineError
from raft_actors.node.installer import SnapshotInstaller
from raft_actors.node.snapshot_chunks import SnapshotChunks
from raft_actors.node.snapshotter import SnapshotJob, Snapshotter
from raft_actors.persistence import MemoryStorage
from raft_actors.persistence.abc import SnapshotReader
from raft_actors.raft.chunk_window import MOST_CHUNKS
from raft_actors.raft.effects import DiscardSnapshot, Send, StoreChunk
from raft_actors.raft.inputs import ChunkStored, Input, SnapshotReceived, SnapshotWritten
from raft_actors.raft.messages import InstallSnapshot, InstallSnapshotReply
from raft_actors.raft.persistent_state import CommitSnapshot, SnapshotMetadata
from tests.actors.stores import open_store

SNAPSHOT = SnapshotMetadata(5, 2)


class Stage:
    """A store, and what was reported to the role."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.storage = storage
        self.reported: list[Input] = []
        self.snapshotter = Snapshotter(storage, NodeConfig(snapshot_chunk_bytes=4, apply_slice_s=0.005), self.report)
        self.installer = SnapshotInstaller(storage, self.report)

    async def report(self, item: Input) -> None:
        self.reported.append(item)

    async def chunks(self, snapshot_id: int) -> list[bytes]:
        """What was written, once it is committed."""
        await self.storage.write([CommitSnapshot(snapshot_id, 1)])
        reader = await self.storage.open_snapshot()
        assert reader is not None
        return [chunk async for chunk in SnapshotChunks(reader)]


@asynccontextmanager
async def running(*, snapshotter: bool = False) -> AsyncGenerator[Stage, None]:
    stage = Stage(await open_store())
    actor: Actor[SnapshotJob] | Actor[StoreChunk | DiscardSnapshot]
    actor = stage.snapshotter if snapshotter else stage.installer
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run)
        yield stage
        nursery.cancel_scope.cancel()


# --- its own --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "chunks"),
    [
        ([b"abcd"], [b"abcd"]),
        ([b"a", b"b", b"cdef"], [b"abcd", b"ef"]),
        ([b"abcdefghij"], [b"abcd", b"efgh", b"ij"]),
        ([b"", b"abcd", b""], [b"abcd"]),
        ([], [b""]),
    ],
)
async def test_writes_what_the_state_machine_gives_cut_to_size(pieces: list[bytes], chunks: list[bytes]) -> None:
    async with running(snapshotter=True) as stage:
        stage.snapshotter.tell(SnapshotJob(SNAPSHOT, iter(pieces)))
        await wait_all_tasks_blocked()
        assert stage.reported == [SnapshotWritten(SNAPSHOT, 1)]
        assert await stage.chunks(1) == chunks


async def test_draws_no_more_than_a_chunk_ahead_of_the_disk() -> None:
    drawn: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            drawn.append(number)
            yield b"abcd"

    async with running(snapshotter=True) as stage:
        stage.storage.disk.write_delay_s = 3600
        stage.snapshotter.tell(SnapshotJob(SNAPSHOT, pieces()))
        await wait_all_tasks_blocked()
        assert drawn == [0]


async def test_a_state_machine_that_gives_crumbs_lets_others_have_their_turns(mock_clock: MockClock) -> None:
    def crumbs() -> Iterator[bytes]:
        for _ in range(100):
            mock_clock.jump(0.002)
            yield b""

    turns = 0
    async with running(snapshotter=True) as stage:
        stage.snapshotter.tell(SnapshotJob(SNAPSHOT, crumbs()))
        while not stage.reported:
            turns += 1
            await trio.lowlevel.checkpoint()
    assert turns >= 15


@pytest.mark.parametrize("error", [OSError("no memory"), None])
async def test_a_state_machine_that_fails_half_way_ends_the_node(error: Exception | None) -> None:
    def pieces() -> Iterable[bytes]:
        yield b"abcd"
        if error is not None:
            raise error
        yield "text"  # type: ignore[misc]

    with pytest.RaisesGroup(pytest.RaisesExc(StateMachineError, match="can't write its snapshot at index 5")):
        async with running(snapshotter=True) as stage:
            stage.snapshotter.tell(SnapshotJob(SNAPSHOT, iter(pieces())))
            await trio.sleep_forever()


# --- reading one ----------------------------------------------------------------------------------------------


class Counting(SnapshotReader):
    """Has so many chunks, and counts how often it is asked for some."""

    def __init__(self, chunk_count: int, size: int) -> None:
        self.metadata, self.chunk_count = SNAPSHOT, chunk_count
        self.readings = 0
        self._size = size

    @override
    async def read_chunk(self, sequence: int) -> bytes:
        raise NotImplementedError

    @override
    async def read_chunks(self, first: int, most_chunks: int, most_bytes: int) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        self.readings += 1
        count = min(self.chunk_count - first, most_chunks, max(1, most_bytes // self._size))
        return [first.to_bytes(4, "big") + bytes(self._size - 4)] * count

    @override
    def close(self) -> None: ...


@pytest.mark.parametrize(("count", "size", "readings"), [(40, 10, 3), (10, 2**20, 3), (3, 2**23, 3), (0, 4, 0)])
async def test_several_chunks_are_read_at_a_time_but_not_too_many(count: int, size: int, readings: int) -> None:
    reader = Counting(count, size)
    assert [len(chunk) async for chunk in SnapshotChunks(reader)] == [size] * count
    assert reader.readings == readings


async def test_others_have_their_turns_while_chunks_are_taken_that_were_read(mock_clock: MockClock) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        async for _ in SnapshotChunks(Counting(16, 4), slice_s=0.005):
            mock_clock.jump(0.003)  # the state machine's work
        nursery.cancel_scope.cancel()
    assert 6 <= turns <= 9


# --- a leader's -----------------------------------------------------------------------------------------------


def chunk(sequence: int, *, leader: str = "n2", term: int = 3, done: bool = False) -> StoreChunk:
    data = f"{leader}:{sequence}".encode()
    return StoreChunk(leader, InstallSnapshot(term, SNAPSHOT, sequence, data, done))


def wants(sequence: int, *, leader: str = "n2", term: int = 3) -> ChunkStored:
    return ChunkStored(term, Send(leader, InstallSnapshotReply(term, SNAPSHOT, sequence, installed=False)))


async def store(stage: Stage, *chunks: StoreChunk | DiscardSnapshot) -> list[Input]:
    """Let it write chunks, and return what it reports then."""
    stage.reported.clear()
    for message in chunks:
        stage.installer.notify(message)
    await wait_all_tasks_blocked()
    return stage.reported[:]


async def test_writes_each_chunk_and_asks_for_the_next() -> None:
    async with running() as stage:
        assert await store(stage, chunk(0)) == [wants(1)]
        assert await store(stage, chunk(1)) == [wants(2)]
        assert await store(stage, chunk(2, done=True)) == [SnapshotReceived(3, "n2", SNAPSHOT, 1, 3)]
        assert await stage.chunks(1) == [b"n2:0", b"n2:1", b"n2:2"]


async def test_says_nothing_of_a_chunk_that_is_not_written_yet() -> None:
    async with running() as stage:
        stage.storage.disk.write_delay_s = 3600
        assert await store(stage, chunk(0)) == []


async def test_a_chunk_that_comes_twice_is_written_once() -> None:
    async with running() as stage:
        assert await store(stage, chunk(0), chunk(0)) == [wants(1), wants(1)]
        await store(stage, chunk(1, done=True))
        assert await stage.chunks(1) == [b"n2:0", b"n2:1"]


async def test_a_chunk_out_of_order_is_answered_with_the_one_that_is_due() -> None:
    async with running() as stage:
        await store(stage, chunk(0))
        assert await store(stage, chunk(2)) == [wants(1)]


async def test_what_follows_a_chunk_that_is_missing_is_answered_once() -> None:
    """The leader has many under way, and an answer has it send all of them again."""
    async with running() as stage:
        await store(stage, chunk(0))
        assert await store(stage, chunk(2), chunk(3), chunk(4)) == [wants(1)]
        assert await store(stage, chunk(1), chunk(3), chunk(4)) == [wants(2), wants(2)]


async def test_a_leader_that_sends_all_again_is_told_again_what_is_missing() -> None:
    """Else it would never know: the answer may have been lost, or taken for a late one."""
    async with running() as stage:
        await store(stage, chunk(0), chunk(3), chunk(4))
        assert await store(stage, chunk(3), chunk(4)) == [wants(1)]
        assert await store(stage, chunk(2), chunk(3), chunk(4)) == [wants(1)]


async def test_an_older_snapshot_of_the_same_leader_comes_late_and_disturbs_nothing() -> None:
    def of(snapshot: SnapshotMetadata, sequence: int, term: int = 3) -> StoreChunk:
        return StoreChunk("n2", InstallSnapshot(term, snapshot, sequence, b"older", done=False))

    async with running() as stage:
        await store(stage, chunk(0), chunk(1))
        assert await store(stage, of(SnapshotMetadata(4, 2), 0), of(SnapshotMetadata(4, 2), 1)) == []
        assert await store(stage, chunk(2)) == [wants(3)]
        newer = SnapshotMetadata(6, 2)
        assert await store(stage, of(newer, 0)) != []
        assert await store(stage, chunk(3)) == []
        later = InstallSnapshotReply(4, SnapshotMetadata(4, 2), 1, installed=False)
        assert await store(stage, of(SnapshotMetadata(4, 2), 0, term=4)) == [ChunkStored(4, Send("n2", later))]


async def test_has_room_for_all_that_a_leader_has_under_way() -> None:
    async with running() as stage:
        answers = await store(stage, *[chunk(sequence) for sequence in range(MOST_CHUNKS)])
        assert answers[-1] == wants(MOST_CHUNKS)


async def test_chunks_that_come_together_are_written_and_answered_together() -> None:
    """On a busy event loop each way to the storage, and each answer, waits for long."""
    async with running() as stage:
        assert await store(stage, chunk(0), chunk(1), chunk(2)) == [wants(3)]
        assert await store(stage, chunk(3), chunk(5)) == [wants(4), wants(4)]
        assert await store(stage, chunk(4), chunk(2)) == [wants(5), wants(5)]
        last = await store(stage, chunk(5), chunk(6, done=True))
        assert last == [SnapshotReceived(3, "n2", SNAPSHOT, 1, 7)]
        assert await stage.chunks(1) == [b"n2:%d" % sequence for sequence in range(7)]


async def test_not_so_many_chunks_together_that_the_leader_waits_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_actors.node.installer._WRITE_BYTES", 8)
    async with running() as stage:
        assert await store(stage, *[chunk(sequence) for sequence in range(5)]) == [wants(2), wants(4), wants(5)]


async def test_what_is_left_of_a_leaders_chunks_is_not_written_into_its_successors_snapshot() -> None:
    async with running() as stage:
        await store(stage, chunk(0), chunk(1), chunk(0, leader="n3", term=4), chunk(1, leader="n3", term=4, done=True))
        assert await stage.chunks(2) == [b"n3:0", b"n3:1"]


async def test_a_snapshot_whose_beginning_is_missing_is_asked_for_from_zero() -> None:
    async with running() as stage:
        assert await store(stage, chunk(1), chunk(2, done=True)) == [wants(0), wants(0)]
        assert await store(stage, chunk(0)) == [wants(1)]


async def test_a_stray_chunk_does_not_disturb_the_snapshot_under_way() -> None:
    async with running() as stage:
        await store(stage, chunk(0))
        assert await store(stage, chunk(2, leader="n3", term=4)) == [wants(0, leader="n3", term=4)]
        assert await store(stage, chunk(1)) == [wants(2)]


async def test_another_leaders_snapshot_of_the_same_index_is_another_snapshot() -> None:
    """The leaders may cut it differently, so their chunks must not be mixed."""
    async with running() as stage:
        await store(stage, chunk(0), chunk(1))
        assert await store(stage, chunk(2, leader="n3", term=4)) == [wants(0, leader="n3", term=4)]
        await store(stage, chunk(0, leader="n3", term=4))
        await store(stage, chunk(1, leader="n3", term=4, done=True))
        assert await stage.chunks(2) == [b"n3:0", b"n3:1"]


async def test_the_chunks_of_a_leader_that_was_replaced_are_discarded() -> None:
    async with running() as stage:
        await store(stage, chunk(0))
        await store(stage, chunk(0, leader="n3", term=4))
        assert list(stage.storage._begun) == [2]


async def test_a_duplicate_of_a_finished_snapshot_is_left_to_the_role() -> None:
    async with running() as stage:
        await store(stage, chunk(0, done=True))
        assert await store(stage, chunk(0, done=True)) == []


async def test_discards_what_the_role_does_not_want() -> None:
    async with running() as stage:
        await store(stage, chunk(0, done=True))
        await store(stage, DiscardSnapshot(1))
        assert list(stage.storage._begun) == []


async def test_what_does_not_fit_its_mailbox_is_as_good_as_lost_on_the_way() -> None:
    async with running() as stage:
        assert len(await store(stage, *[chunk(0)] * 100)) < 100
        assert stage.installer.mailbox.statistics().refused
