"""The applier and snapshots: when it takes one, who gets to know, and restoring one."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.actors.actor import ActorStopped
from raft_actors.config import NodeConfig
from raft_actors.errors import NotCommitted, ResultLost, StateMachineError, StorageCorrupt
from raft_actors.node.applier import Applier
from raft_actors.node.proposals import PendingProposal, PendingProposals
from raft_actors.node.snapshot_schedule import RequestSnapshot
from raft_actors.raft.effects import Apply, RestoreSnapshot
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.actors.applying import Stage, no_digests, running
from tests.actors.doubles import GatedStorage
from tests.actors.machines import Machine
from tests.actors.stores import IDENTITY, open_store, store_snapshot
from tests.unit.builders import batch, make_admission, make_log

NEVER: dict[str, Any] = {"snapshot_entries": None, "snapshot_bytes": None}


def taken(stage: Stage) -> list[tuple[SnapshotMetadata, bytes]]:
    """The snapshots that were begun, whole."""
    return [(job.snapshot, b"".join(job.chunks)) for job in stage.jobs]


class Asking:
    """Tasks that want a snapshot, and their answers."""

    def __init__(self, stage: Stage, nursery: trio.Nursery) -> None:
        self.answers: list[SnapshotMetadata] = []
        self._stage, self._nursery = stage, nursery

    async def ask(self) -> None:
        self._nursery.start_soon(self._ask)
        await wait_all_tasks_blocked()

    async def _ask(self) -> None:
        self.answers.append(await self._stage.applier.ask(RequestSnapshot))


# --- when it takes one ----------------------------------------------------------------------------------------


async def test_takes_a_snapshot_after_so_many_entries() -> None:
    async with running(make_log([1, 1, 2, 2]), snapshot_entries=3, snapshot_bytes=None) as stage:
        await stage.apply(2)
        assert stage.jobs == []
        await stage.apply(3)
        assert taken(stage) == [(SnapshotMetadata(3, 2), b"1,2,3")]


async def test_takes_a_snapshot_after_so_many_bytes() -> None:
    size = batch(1, 1).size
    async with running(make_log([1, 1, 1]), snapshot_entries=None, snapshot_bytes=2 * size) as stage:
        await stage.apply(1)
        assert stage.jobs == []
        await stage.apply(2)
        assert taken(stage) == [(SnapshotMetadata(2, 1), b"1,2")]


async def test_takes_none_where_no_policy_wants_one() -> None:
    async with running(make_log([1] * 9), **NEVER) as stage:
        await stage.apply(9)
        assert stage.jobs == []


async def test_takes_one_in_the_middle_of_a_long_log() -> None:
    async with running(make_log([1] * 9), snapshot_entries=4) as stage:
        await stage.apply(9)
        assert taken(stage) == [(SnapshotMetadata(4, 1), b"1,2,3,4")]


async def test_takes_one_at_a_time() -> None:
    async with running(make_log([1] * 4), snapshot_entries=1) as stage:
        await stage.apply(1)
        await stage.apply(2)
        assert len(stage.jobs) == 1
        stage.applier.snapshot_ended(SnapshotMetadata(1, 1))
        await stage.apply(3)
        assert [snapshot.index for snapshot, _ in taken(stage)] == [1, 3]


async def test_counts_anew_from_each_snapshot() -> None:
    size = batch(1, 1).size
    async with running(make_log([1] * 5), snapshot_entries=None, snapshot_bytes=2 * size) as stage:
        await stage.apply(2)
        stage.applier.snapshot_ended(SnapshotMetadata(2, 1))
        await stage.apply(3)
        assert len(stage.jobs) == 1
        await stage.apply(4)
        assert len(stage.jobs) == 2


async def test_a_state_machine_that_can_not_be_snapshot_ends_the_node() -> None:
    class Broken(Machine):
        def snapshot(self) -> Iterable[bytes]:
            raise OSError("no memory")

    with pytest.RaisesGroup(pytest.RaisesExc(StateMachineError, match="can't take a snapshot at index 1")):
        async with running(make_log([1]), machine=Broken(), snapshot_entries=1) as stage:
            stage.applier.commit_to(Apply(1))
            stage.applier.end_step()
            await trio.sleep_forever()


async def test_a_snapshotter_that_has_ended_before_it_is_no_error_of_its_own() -> None:
    def begin_snapshot(_job: Any) -> None:
        raise ActorStopped("the snapshotter has stopped")

    config = NodeConfig(snapshot_entries=1)
    applier = Applier(
        Machine(),
        log=make_log([1]),
        storage=await open_store(),
        config=config,
        begin_snapshot=begin_snapshot,
        digester=no_digests(config),
    )
    applier.commit_to(Apply(1))
    applier.end_step()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(applier.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


# --- on request -----------------------------------------------------------------------------------------------


async def test_takes_one_on_request_and_answers_when_it_is_durable() -> None:
    async with running(make_log([1, 1]), **NEVER) as stage, trio.open_nursery() as nursery:
        asking = Asking(stage, nursery)
        await stage.apply(2)
        await asking.ask()
        assert (asking.answers, [job.snapshot for job in stage.jobs]) == ([], [SnapshotMetadata(2, 1)])
        stage.applier.snapshot_ended(SnapshotMetadata(2, 1))
        await wait_all_tasks_blocked()
        assert asking.answers == [SnapshotMetadata(2, 1)]


async def test_a_request_during_a_snapshot_waits_for_the_next_one() -> None:
    async with running(make_log([1, 1]), **NEVER) as stage, trio.open_nursery() as nursery:
        asking = Asking(stage, nursery)
        await stage.apply(1)
        await asking.ask()
        await stage.apply(2)
        await asking.ask()
        stage.applier.snapshot_ended(SnapshotMetadata(1, 1))
        await wait_all_tasks_blocked()
        assert asking.answers == [SnapshotMetadata(1, 1)]
        stage.applier.snapshot_ended(SnapshotMetadata(2, 1))
        await wait_all_tasks_blocked()
        assert asking.answers == [SnapshotMetadata(1, 1), SnapshotMetadata(2, 1)]


async def test_requests_that_come_together_share_a_snapshot() -> None:
    async with running(make_log([1, 1]), **NEVER) as stage, trio.open_nursery() as nursery:
        asking = Asking(stage, nursery)
        await stage.apply(1)
        nursery.start_soon(asking._ask)
        await asking.ask()
        assert len(stage.jobs) == 1
        stage.applier.snapshot_ended(SnapshotMetadata(1, 1))
        await wait_all_tasks_blocked()
        assert asking.answers == [SnapshotMetadata(1, 1)] * 2


async def test_a_request_where_nothing_was_applied_since_the_last_one_is_answered_with_that() -> None:
    async with running(make_log([1]), snapshot_entries=1) as stage, trio.open_nursery() as nursery:
        await stage.apply(1)
        stage.applier.snapshot_ended(SnapshotMetadata(1, 1))
        asking = Asking(stage, nursery)
        await asking.ask()
        assert (asking.answers, len(stage.jobs)) == ([SnapshotMetadata(1, 1)], 1)


async def test_a_snapshot_given_up_for_a_newer_one_answers_with_that() -> None:
    async with running(make_log([1]), **NEVER) as stage, trio.open_nursery() as nursery:
        asking = Asking(stage, nursery)
        await stage.apply(1)
        await asking.ask()
        stage.applier.snapshot_ended(SnapshotMetadata(9, 3))
        await wait_all_tasks_blocked()
        assert asking.answers == [SnapshotMetadata(9, 3)]


# --- restoring ------------------------------------------------------------------------------------------------

INSTALLED = SnapshotMetadata(5, 2)


async def install(stage: Stage) -> None:
    """A leader's snapshot replaces the log."""
    if stage.applier._log.snapshot != INSTALLED:
        stage.applier._log.reset(INSTALLED)
    await store_snapshot(stage.applier._storage, INSTALLED, b"a,", b"b", first_index=6)
    stage.applier.tell(RestoreSnapshot(INSTALLED))
    await wait_all_tasks_blocked()


async def test_restores_the_state_machine_and_goes_on_behind_the_snapshot() -> None:
    async with running(make_log([1, 1]), **NEVER) as stage:
        await stage.apply(1)
        stage.applier._log.reset(INSTALLED)
        stage.applier._log.append(batch(6, 2))
        await stage.apply(6)
        assert stage.machine.commands_applied == [b"1"]
        await install(stage)
        assert stage.machine.commands_applied == [b"a", b"b", b"6"]
        assert (stage.applier.applied_index, stage.applier.statistics().snapshots_restored) == (6, 1)


async def test_lets_go_of_a_snapshot_that_it_has_restored() -> None:
    storage = GatedStorage()
    await storage.open(IDENTITY, tail_bytes=0)
    async with running(make_log(), storage=storage, **NEVER) as stage:
        await install(stage)
    assert [reader.closed for reader in storage.readers] == [True]


async def test_counts_bytes_from_the_snapshot_that_it_has_restored() -> None:
    size = batch(1, 1).size
    async with running(make_log([1]), snapshot_entries=None, snapshot_bytes=2 * size) as stage:
        await stage.apply(1)
        await install(stage)
        stage.applier._log.append(batch(6, 2))
        await stage.apply(6)
        assert stage.jobs == []


async def test_does_not_restore_what_it_is_beyond_already() -> None:
    storage = await open_store()
    await store_snapshot(storage, SnapshotMetadata(1, 1), b"old")
    async with running(make_log([1, 1]), storage=storage, **NEVER) as stage:
        await stage.apply(2)
        stage.applier.tell(RestoreSnapshot(SnapshotMetadata(1, 1)))
        stage.applier.tell(RestoreSnapshot(SnapshotMetadata(3, 1)))  # the storage has none so new
        await wait_all_tasks_blocked()
        assert (stage.machine.restores, stage.applier.applied_index) == (0, 2)


async def test_restores_at_the_start_what_the_store_has() -> None:
    storage = await open_store()
    config = NodeConfig(snapshot_entries=2)
    machine = Machine()
    log = make_log(after=INSTALLED)
    jobs: list[Any] = []
    applier = Applier(
        machine,
        log=log,
        storage=storage,
        config=config,
        begin_snapshot=jobs.append,
        digester=no_digests(config),
    )
    await applier.restore()
    assert machine.restores == 0
    await store_snapshot(storage, INSTALLED, b"a", first_index=6)
    await applier.restore()
    assert (machine.commands_applied, applier.applied_index, applier.commit_index) == ([b"a"], 5, 5)
    applier._take_snapshot_if_due()
    assert jobs == []  # it counts from the snapshot


async def test_wakes_those_who_wait_for_an_entry_that_the_snapshot_covers() -> None:
    async with running(make_log(), **NEVER) as stage, trio.open_nursery() as nursery:
        nursery.start_soon(stage.applier.wait_applied, 4)
        await install(stage)
        assert not nursery.child_tasks


async def test_proposals_that_a_snapshot_skipped_are_told_that_their_result_is_lost() -> None:
    async with running(make_log([1, 1]), **NEVER) as stage:
        skipped: PendingProposal[Any] = PendingProposal(make_admission(), (b"2",), 0)
        skipped.index = skipped.last_index = 2
        stage.applier._log.reset(INSTALLED)
        await stage.apply(2, skipped)
        await install(stage)
        with pytest.raises(ResultLost) as lost:
            await skipped.wait()
        assert lost.value.index == 2


@pytest.mark.parametrize("late", [False, True])
async def test_of_a_proposal_that_was_cut_a_snapshot_loses_results_and_makes_none_of_what_was_not_committed(
    late: bool,
) -> None:
    """Whether the snapshot comes before it is known whose entries they were, or after it."""
    async with running(make_log([1, 1, 1]), **NEVER) as stage:
        cut: PendingProposals[Any] = PendingProposals(make_admission(), (b"2", b"3", b"4", b"5"), 0)
        cut.index, cut.last_index = 2, 5
        cut.cut(3, 1)
        stage.applier._log.reset(INSTALLED)
        if late:
            await install(stage)
        await stage.apply(3, cut)
        if not late:
            await install(stage)
        with pytest.raises(NotCommitted) as error:
            await cut.wait()
        assert (error.value.term, error.value.index) == (1, 4)
        assert [(type(result), result.index) for result in error.value.results] == [(ResultLost, 2), (ResultLost, 3)]


async def test_a_state_machine_that_can_not_be_restored_ends_the_node() -> None:
    class Broken(Machine):
        async def restore(self, chunks: AsyncIterable[bytes]) -> None:
            raise OSError("no memory")

    with pytest.RaisesGroup(pytest.RaisesExc(StateMachineError, match="can't restore the snapshot at index 5")):
        async with running(make_log(), machine=Broken(), **NEVER) as stage:
            await install(stage)


async def test_an_error_of_the_store_is_not_taken_for_one_of_the_state_machine() -> None:
    class Unlucky(Machine):
        async def restore(self, chunks: AsyncIterable[bytes]) -> None:
            raise StorageCorrupt("a chunk fails its checksum")

    with pytest.RaisesGroup(pytest.RaisesExc(StorageCorrupt)):
        async with running(make_log(), machine=Unlucky(), **NEVER) as stage:
            await install(stage)
