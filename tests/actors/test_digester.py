"""When digests of the state are taken, and of what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import pytest
from trio.testing import wait_all_tasks_blocked

from raft_actors.errors import StateMachineError
from raft_actors.raft.entries import EntryBatch, EntryKind
from tests.actors.applying import running
from tests.actors.machines import Machine
from tests.unit.builders import batch, make_log


class Counting(Machine):
    def state_digest(self) -> bytes:
        return b"%d" % len(self.commands_applied)


def hashed(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


async def test_the_state_is_hashed_in_the_middle_of_a_batch() -> None:
    log = make_log([1])
    log.append(batch(2, 1, 4))
    async with running(log, state_check_entries=2) as stage:
        await stage.apply(1)
        assert stage.digested == []
        await stage.apply(5)
        [two] = stage.digested  # that of 4 came before that of 2 was made
        machine = stage.machine
        assert (two.index, two.digest) == (2, hashed(b",".join(machine.commands_applied[:2])))
        assert len(machine.commands_applied) == 5


async def test_a_digest_of_the_machines_own_stands_for_its_state() -> None:
    async with running(make_log([1] * 5), machine=Counting(), state_check_entries=5) as stage:
        await stage.apply(5)
        assert [(one.index, one.digest) for one in stage.digested] == [(5, hashed(b"5"))]


async def test_where_it_is_not_wanted_none_is_taken() -> None:
    async with running(make_log([1] * 5)) as stage:
        await stage.apply(5)
        assert stage.digested == []


async def test_entries_without_commands_count_too() -> None:
    log = make_log([1])
    log.append(EntryBatch.encode(2, 1, EntryKind.NOOP, [b""] * 5))
    async with running(log, machine=Counting(), state_check_entries=4) as stage:
        await stage.apply(6)
        assert [(one.index, one.digest) for one in stage.digested] == [(4, hashed(b"1"))]
        assert stage.applier.applied_index == 6


async def test_the_state_is_that_of_the_index_though_later_commands_are_applied_meanwhile() -> None:
    class Slow(Machine):
        def snapshot(self) -> Iterable[bytes]:
            taken = list(self.commands_applied)

            def chunks() -> Iterator[bytes]:
                seen.append(len(self.commands_applied))
                yield b",".join(taken)

            return chunks()

    seen: list[int] = []
    async with running(make_log([1] * 3), machine=Slow(), state_check_entries=1) as stage:
        await stage.apply(3)
        [one] = stage.digested
        assert (one.index, seen) == (1, [3])
        assert one.digest == hashed(stage.machine.commands_applied[0])


async def test_a_machine_that_can_not_tell_its_state_ends_the_node() -> None:
    class Broken(Machine):
        def state_digest(self) -> bytes:
            raise OSError("no memory")

    with pytest.RaisesGroup(pytest.RaisesExc(StateMachineError, match="the digest of its state at index 1")):
        async with running(make_log([1]), machine=Broken(), state_check_entries=1) as stage:
            await stage.apply(1)
            await wait_all_tasks_blocked()
