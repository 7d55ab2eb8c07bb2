"""The applier: committed entries to the state machine in order, results to who waits for them."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from raft_actors.errors import CommandFailed, InternalError, StateMachineError
from raft_actors.node.proposals import PendingOutcome, PendingProposal, PendingProposals, PendingRead
from raft_actors.raft.effects import Apply, RestoreSnapshot
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.log import Log
from raft_actors.raft.persistent_state import SnapshotMetadata
from tests.actors.applying import running
from tests.actors.machines import Machine
from tests.actors.stores import forgetful, open_store
from tests.unit.builders import batch, make_admission, make_log, recovered


def proposal(first_index: int, *commands: bytes) -> PendingProposals[Any]:
    """A proposal that a leader has appended."""
    made: PendingProposals[Any] = PendingProposals(make_admission(), commands, 0)
    made.index, made.last_index = first_index, first_index + len(commands) - 1
    return made


def single(index: int, command: bytes) -> PendingProposal[Any]:
    """A proposal of one command that a leader has appended."""
    made: PendingProposal[Any] = PendingProposal(make_admission(), (command,), 0)
    made.index = made.last_index = index
    return made


def read_at(index: int, query: Callable[[Machine], Any]) -> PendingRead[Any]:
    """A read that a leader has placed behind an entry."""
    made: PendingRead[Any] = PendingRead(make_admission(), query)
    made.index = made.last_index = index
    return made


async def outcome(pending: PendingOutcome[Any]) -> Any:
    """What must be there already."""
    assert pending.done
    return await pending.wait()


async def test_applies_what_is_committed_and_nothing_beyond() -> None:
    async with running(make_log([1, 1, 2])) as stage:
        await stage.apply(2)
        assert stage.machine.commands_applied == [b"1", b"2"]
        await stage.apply(3)
        assert stage.machine.commands_applied == [b"1", b"2", b"3"]
        assert stage.applier.applied_index == 3


async def test_a_commit_index_that_falls_back_changes_nothing() -> None:
    async with running(make_log([1, 1, 2])) as stage:
        await stage.apply(3)
        await stage.apply(1)
        assert stage.applier.commit_index == 3
        assert stage.machine.commands_applied == [b"1", b"2", b"3"]


async def test_entries_without_a_command_never_reach_the_state_machine() -> None:
    log = make_log([1])
    log.append(EntryBatch.encode(2, 2, EntryKind.NOOP, [b""]))
    log.append(batch(3, 2))
    async with running(log) as stage:
        waiting = single(3, b"3")
        await stage.apply(3, waiting)
        assert stage.machine.commands_applied == [b"1", b"3"]
        assert await outcome(waiting) == "result of 3"


async def test_each_proposal_gets_the_results_of_its_own_commands() -> None:
    async with running(make_log([1, 1, 1, 1])) as stage:
        first, many, last = single(1, b"1"), proposal(2, b"2", b"3"), single(4, b"4")
        await stage.apply(4, first, many, last)
        assert await outcome(first) == "result of 1"
        assert await outcome(many) == ["result of 2", "result of 3"]
        assert await outcome(last) == "result of 4"


async def test_a_proposal_that_is_committed_in_two_parts_gets_all_its_results() -> None:
    async with running(make_log([1, 1, 1, 1])) as stage:
        many = proposal(2, b"2", b"3", b"4")
        await stage.apply(3, keep_from=2)
        assert not many.done
        await stage.apply(4, many)
        assert await outcome(many) == ["result of 2", "result of 3", "result of 4"]


async def test_results_that_nobody_will_ask_for_are_not_kept() -> None:
    async with running(make_log([1, 1, 1])) as stage:
        await stage.apply(2, keep_from=2)
        assert stage.applier._waiting.results == ["result of 2"]
        await stage.apply(3)  # the leadership that kept them is over
        assert stage.applier._waiting.results == []


async def test_a_failing_apply_is_the_outcome_of_that_command_alone() -> None:
    log = make_log([1])
    log.append(EntryBatch.encode(2, 1, EntryKind.COMMAND, [b"bad", b"good"]))
    async with running(log) as stage:
        bad, good = single(2, b"bad"), single(3, b"good")
        await stage.apply(3, bad, good)
        with pytest.raises(CommandFailed, match="index 2") as caught:
            await bad.wait()
        assert isinstance(caught.value.__cause__, ValueError)
        assert await outcome(good) == "result of good"
        statistics = stage.applier.statistics()
        assert (statistics.applied_commands, statistics.failed_commands) == (3, 1)


async def test_a_failing_apply_among_many_does_not_hide_the_results_of_the_others() -> None:
    log = make_log()
    log.append(EntryBatch.encode(1, 1, EntryKind.COMMAND, [b"bad", b"good"]))
    async with running(log) as stage:
        many = proposal(1, b"bad", b"good")
        await stage.apply(2, many)
        failure, result = await outcome(many)
        assert isinstance(failure, CommandFailed)
        assert result == "result of good"


class Unknown:
    """A codec of a version that does not know what it reads."""

    def encode(self, command: bytes) -> bytes:
        return command

    def decode(self, data: bytes) -> bytes:
        raise ValueError("unknown tag")


async def test_a_command_that_no_version_here_knows_ends_the_node() -> None:
    class Picky(Machine):
        commands = Unknown()

    with pytest.RaisesGroup(pytest.RaisesExc(StateMachineError, match="index 1 can't be decoded")):
        async with running(make_log([1]), machine=Picky()) as stage:
            stage.applier.commit_to(Apply(1))
            stage.applier.end_step()
            await trio.sleep_forever()


async def test_a_slow_state_machine_gives_others_their_turns(mock_clock: MockClock) -> None:
    log = make_log()
    log.append(batch(1, 1, count=100))
    turns: list[int] = []
    machine = Machine(on_apply=lambda _: mock_clock.jump(0.002))
    async with running(log, machine=machine, apply_slice_s=0.005) as stage:

        async def other() -> None:
            while stage.applier.applied_index < 100:
                turns.append(stage.applier.applied_index)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            stage.applier.commit_to(Apply(100))
            stage.applier.end_step()
        # It looks at the clock every 4 commands, each time too late; the other task comes before or after it.
        assert max(later - earlier for earlier, later in pairwise([*turns, 100])) <= 8


async def test_what_memory_holds_is_applied_before_the_step_ends() -> None:
    async with running(make_log([1, 1, 1])) as stage:
        await wait_all_tasks_blocked()
        waiting = single(2, b"2")
        stage.applier.commit_to(Apply(2, (waiting,)))
        stage.applier.end_step()
        assert (stage.applier.applied_index, waiting.result_nowait()) == (2, "result of 2")
        stage.applier.end_step()  # a step that commits nothing
        assert stage.machine.commands_applied == [b"1", b"2"]


async def test_a_step_applies_for_one_slice_of_time_and_leaves_the_rest(mock_clock: MockClock) -> None:
    log = make_log()
    for index in range(1, 9):
        log.append(batch(index, 1))
    machine = Machine(on_apply=lambda _: mock_clock.jump(0.002))
    async with running(log, machine=machine, apply_slice_s=0.005) as stage:
        await wait_all_tasks_blocked()
        stage.applier.commit_to(Apply(8))
        stage.applier.end_step()
        assert stage.applier.applied_index == 3
        await wait_all_tasks_blocked()
        assert stage.applier.applied_index == 8


async def test_a_step_leaves_to_the_actor_what_comes_behind_what_it_was_told() -> None:
    log = make_log([1, 1, 1])
    async with running(log) as stage:
        await wait_all_tasks_blocked()
        stage.applier.tell(RestoreSnapshot(SnapshotMetadata(1, 1)))  # which the storage has not
        stage.applier.commit_to(Apply(2))
        stage.applier.end_step()
        assert stage.applier.applied_index == 0
        await wait_all_tasks_blocked()
        assert stage.applier.applied_index == 2


async def test_commands_are_applied_in_the_actors_context_whoever_ends_the_step() -> None:
    who: ContextVar[str] = ContextVar("who")
    seen: list[str] = []
    machine = Machine(on_apply=lambda _: seen.append(who.get()))
    who.set("the node")
    async with running(make_log([1]), machine=machine) as stage:
        await wait_all_tasks_blocked()
        who.set("a transport")
        stage.applier.commit_to(Apply(1))
        stage.applier.end_step()
    assert seen == ["the node"]


async def test_those_who_wait_for_an_early_command_do_not_wait_for_the_slice_after_next(mock_clock: MockClock) -> None:
    log = make_log()
    log.append(batch(1, 1, count=100))
    machine = Machine(on_apply=lambda _: mock_clock.jump(0.01))
    async with running(log, machine=machine) as stage:
        early, late = single(2, b"2"), single(90, b"90")
        stage.applier.commit_to(Apply(100, (early, late)))
        stage.applier.end_step()
        assert await early.wait() == "result of 2"
        assert stage.applier.applied_index < 10
        assert await late.wait() == "result of 90"


async def test_entries_that_memory_does_not_hold_come_from_the_store() -> None:
    log, storage = await forgetful([1, 1, 2])
    async with running(log, storage=storage) as stage:
        waiting = single(3, b"3")
        await stage.apply(3, waiting)
        assert stage.machine.commands_applied == [b"1", b"2", b"3"]
        assert await outcome(waiting) == "result of 3"


async def test_nothing_is_applied_from_a_log_that_a_leaders_snapshot_is_about_to_replace() -> None:
    """The store still holds the old log, and in it entries that were never committed."""
    log = make_log([1, 1, 1, 1])
    storage = await open_store(*[batch(index, 1) for index in range(1, 5)])
    async with running(log, storage=storage) as stage:
        await stage.apply(2)
        log.reset(SnapshotMetadata(8, 3))
        log.append(batch(9, 3))
        await stage.apply(9)
        assert stage.machine.commands_applied == [b"1", b"2"]


async def test_a_committed_entry_that_nobody_holds_is_our_bug() -> None:
    log = Log(recovered([1, 1]), cache_bytes=1)
    with pytest.RaisesGroup(pytest.RaisesExc(InternalError, match="entry 1 is committed but can't be read")):
        async with running(log) as stage:
            log._tail.clear()
            stage.applier.commit_to(Apply(2))
            stage.applier.end_step()
            await trio.sleep_forever()


async def test_a_committed_entry_that_is_neither_in_memory_nor_durable_is_our_bug() -> None:
    log = Log(recovered([1, 1]), cache_bytes=1)
    with pytest.RaisesGroup(pytest.RaisesExc(InternalError, match="neither in memory nor on disk")):
        async with running(log) as stage:
            log._tail.clear()
            log.durable_index = 0
            stage.applier.commit_to(Apply(2))
            stage.applier.end_step()
            await trio.sleep_forever()


async def test_an_entry_out_of_turn_is_our_bug() -> None:
    log = make_log([1, 1, 1])
    with pytest.RaisesGroup(pytest.RaisesExc(InternalError, match="can't be applied after 0")):
        async with running(log) as stage:
            log._tail[0] = batch(2, 1)
            log.recent = lambda *_: [batch(2, 1)]  # type: ignore[method-assign]
            stage.applier.commit_to(Apply(2))
            stage.applier.end_step()
            await trio.sleep_forever()


# --- reads and waiting ----------------------------------------------------------------------------------------


async def test_a_read_sees_all_before_it() -> None:
    async with running(make_log([1, 1, 1])) as stage:
        read = read_at(2, lambda machine: list(machine.commands_applied))
        await stage.apply(1, read)
        assert not read.done
        await stage.apply(2)
        assert await outcome(read) == [b"1", b"2"]


async def test_a_read_that_raises_is_its_callers_affair() -> None:
    async with running(make_log([1, 1])) as stage:
        read = read_at(1, lambda _: 1 / 0)
        await stage.apply(2, read)
        with pytest.raises(ZeroDivisionError):
            await read.wait()
        assert stage.applier.applied_index == 2


async def test_wait_applied_returns_once_the_entry_is_applied() -> None:
    async with running(make_log([1, 1])) as stage, trio.open_nursery() as nursery:
        nursery.start_soon(stage.applier.wait_applied, 2)
        await stage.apply(1)
        assert nursery.child_tasks
        await stage.apply(2)
        assert not nursery.child_tasks


async def test_wait_applied_returns_when_the_node_ends() -> None:
    async with running(make_log([1])) as stage, trio.open_nursery() as nursery:
        nursery.start_soon(stage.applier.wait_applied, 2)
        await wait_all_tasks_blocked()
        stage.applier.stop()
    assert stage.applier.stopped


async def test_more_requests_than_its_mailbox_takes_do_not_keep_it_from_applying() -> None:
    async with running(make_log([1, 1])) as stage:
        waiting = [trio.Event() for _ in range(1100)]
        refused = 0
        for _ in waiting:
            try:
                stage.applier.tell(None)  # type: ignore[arg-type]
            except trio.WouldBlock:
                refused += 1
        assert refused
        await stage.apply(2)
        assert stage.applier.applied_index == 2
