"""Writes of many clients are proposed together while others are under way, and each is answered for itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from typing_extensions import override

from raft_actors import LeadershipLost, NotCommitted, NotLeader, ProposalError
from raft_actors.service.gathering import GatheredWrites
from raft_actors.service.operations import Operation, operation
from raft_actors.service.patience import PatientReplica
from tests.service.support import LoneReplica

FEW = 8
"""So many writes under way are few."""


@attrs.define
class Gated(LoneReplica):
    """What is proposed waits for its own gate; `calls` has what was proposed together.

    Attributes:
        proposed: the commands of each call, with what opens it.
        errors: what to raise for calls by their number.
    """

    proposed: list[tuple[list[bytes], trio.Event]] = attrs.field(factory=list)
    errors: dict[int, Exception] = attrs.field(factory=dict)

    @override
    async def propose_many(self, commands: Sequence[bytes], *, forward: bool = True) -> list[Any]:
        number, gate = len(self.proposed), trio.Event()
        self.proposed.append((list(commands), gate))
        await gate.wait()
        if number in self.errors:
            raise self.errors[number]
        return [self.machine.apply(command) for command in commands]

    @property
    def sizes(self) -> list[int]:
        """How many commands were proposed at a time."""
        return [len(commands) for commands, _ in self.proposed]


@attrs.define
class Clients:
    """Tasks that write by way of one replica."""

    replica: Gated
    gathered: GatheredWrites
    nursery: trio.Nursery
    outcomes: dict[bytes, Any] = attrs.field(factory=dict)

    async def write(self, *names: bytes, copies: int = 1, size: int = 0) -> list[trio.CancelScope]:
        """For each name a client that increments its key so many times; once they wait, what cancels each."""
        scopes: list[trio.CancelScope] = []
        for name in names:
            command = operation(Operation.INCREMENT, name, 1) if not size else b"x" * size
            scopes.append(scope := trio.CancelScope())
            self.nursery.start_soon(self.write_within, scope, name, [command] * copies)
            await wait_all_tasks_blocked()
        return scopes

    async def write_within(self, scope: trio.CancelScope, name: bytes, commands: list[bytes]) -> None:
        """Be one client, and note what comes of it."""
        with scope:
            try:
                self.outcomes[name] = await self.gathered.write(commands)
            except ProposalError as error:
                self.outcomes[name] = error

    async def answer(self, number: int) -> None:
        """Let the call of this number go on."""
        self.replica.proposed[number][1].set()
        await wait_all_tasks_blocked()


@asynccontextmanager
async def clients() -> AsyncGenerator[Clients]:
    """Clients, of whom the first `FEW + 1` have one command each under way."""
    replica = Gated()
    gathered = GatheredWrites(replica)
    async with gathered.open(), trio.open_nursery() as nursery:
        some = Clients(replica, gathered, nursery)
        await wait_all_tasks_blocked()
        await some.write(*(b"first:%d" % number for number in range(FEW + 1)))
        assert replica.sizes == [1] * (FEW + 1), "each goes at once while they are few"
        yield some
        nursery.cancel_scope.cancel()


NAMES = [b"%d" % number for number in range(30)]


async def test_writes_wait_until_they_are_as_many_as_are_under_way(autojump_clock: MockClock) -> None:
    async with clients() as some:
        await some.write(*NAMES[:FEW])
        assert some.replica.sizes[FEW + 1 :] == []
        await some.write(NAMES[FEW], copies=2)
        assert some.replica.sizes[FEW + 1 :] == [FEW + 2]
        await some.answer(FEW + 1)
        assert some.outcomes == {**{name: [1] for name in NAMES[:FEW]}, NAMES[FEW]: [1, 2]}
        await some.write(*NAMES[10:15])
        assert some.replica.sizes[FEW + 2 :] == [], "the first ones are still under way"
        await some.answer(0)
        assert some.replica.sizes[FEW + 2 :] == [5], "no more than a few are"
        await some.write(*NAMES[15:18])
        await some.answer(FEW + 2)
        assert some.replica.sizes[FEW + 3 :] == [3]


async def test_those_who_come_together_are_expected_to_come_together_again(autojump_clock: MockClock) -> None:
    async with clients() as some:
        for number in range(FEW + 1):
            await some.answer(number)

        async def proposed_of(count: int) -> list[int]:
            """How many commands are proposed at a time, for so many clients that come in one turn of the loop."""
            begun = len(some.replica.proposed)
            for name in NAMES[:count]:
                command = operation(Operation.INCREMENT, name, 1)
                some.nursery.start_soon(some.write_within, trio.CancelScope(), name, [command])
            await trio.sleep(0.001)
            sizes = some.replica.sizes[begun:]
            await trio.sleep(0.002)
            for number in range(begun, len(some.replica.proposed)):
                await some.answer(number)
            return sizes

        assert await proposed_of(5) == [1, 4], "the first one knows of no other"
        assert await proposed_of(5) == [5]
        assert await proposed_of(2) == [], "others may come"
        assert await proposed_of(1) == [1], "there were not many, last time"
        assert some.replica.machine.get(NAMES[0]) == b"4"
        assert await proposed_of(3) == [1, 2]
        some.replica.errors[len(some.replica.proposed)] = NotLeader("n2")
        assert await proposed_of(3) == [3]
        assert await proposed_of(1) == [1], "those who were refused go elsewhere"


async def test_a_write_waits_two_milliseconds_at_most(autojump_clock: MockClock) -> None:
    async with clients() as some:
        begun_at = trio.current_time()
        await some.write(b"a")
        await trio.sleep(0.0015)
        await some.write(b"b")
        assert some.replica.sizes[FEW + 1 :] == []
        await trio.sleep(0.0006)
        assert some.replica.sizes[FEW + 1 :] == [2]
        await some.write(b"c")
        await trio.sleep(0.0019)
        assert some.replica.sizes[FEW + 1 :] == [2], "its own time has not come yet"
        await trio.sleep(0.0002)
        assert some.replica.sizes[FEW + 1 :] == [2, 1]
        assert trio.current_time() - begun_at == pytest.approx(0.0042)
        under_way = FEW + 4
        await some.write(*NAMES[:under_way])
        assert some.replica.sizes[FEW + 3 :] == [under_way]
        await some.write(b"d")
        await trio.sleep(0.0015)
        await some.write(*NAMES[: 2 * under_way - 1])
        assert some.replica.sizes[FEW + 4 :] == [2 * under_way]
        await some.write(b"e")
        await trio.sleep(0.001)
        assert some.replica.sizes[FEW + 5 :] == [], "the time of those before it is over, but they have gone"


async def test_a_client_that_goes_takes_its_own_write_along_and_no_other(autojump_clock: MockClock) -> None:
    async with clients() as some:
        gone, _, later = await some.write(*NAMES[:3])
        gone.cancel()
        await trio.sleep(0.003)
        commands, _ = some.replica.proposed[FEW + 1]
        assert commands == [operation(Operation.INCREMENT, name, 1) for name in NAMES[1:3]]
        later.cancel()  # it is under way, and takes effect
        await some.answer(FEW + 1)
        assert some.outcomes == {NAMES[1]: [1]}
        assert some.replica.machine.get(NAMES[2]) == b"1"


async def test_each_has_its_part_of_what_a_leader_could_not_finish(autojump_clock: MockClock) -> None:
    async with clients() as some:
        some.replica.errors[FEW + 1] = NotCommitted(3, 17, (1, 2, 1))
        await some.write(*NAMES[:3], copies=2)
        await trio.sleep(0.003)
        await some.answer(FEW + 1)
        done, begun, not_begun = (some.outcomes[name] for name in NAMES[:3])
        assert done == [1, 2]
        assert [(type(error), error.term, error.results) for error in (begun, not_begun)] == [
            (NotCommitted, 3, (1,)),
            (NotCommitted, 3, ()),
        ]


async def test_a_common_fate_is_told_to_each_and_the_next_ones_have_their_own(autojump_clock: MockClock) -> None:
    async with clients() as some:
        some.replica.errors[FEW + 1] = LeadershipLost(4, 17)
        await some.write(*NAMES[:2])
        await trio.sleep(0.003)
        await some.write(*NAMES[2:4])
        await some.answer(FEW + 1)
        await trio.sleep(0.003)
        await some.answer(FEW + 2)
        assert [type(some.outcomes[name]) for name in NAMES[:2]] == [LeadershipLost] * 2
        assert [some.outcomes[name] for name in NAMES[2:4]] == [[1], [1]]


async def test_large_writes_go_alone_and_what_waits_is_bounded(autojump_clock: MockClock) -> None:
    async with clients() as some:
        await some.write(b"a", copies=600)
        await some.write(b"large", size=256 * 1024)
        assert some.replica.sizes[FEW + 1 :] == [1]
        await some.write(b"b", copies=423)
        assert some.replica.sizes[FEW + 2 :] == []
        await some.write(b"c")
        assert some.replica.sizes[FEW + 2 :] == [1024]
        for name in (b"d", b"e", b"f"):
            await some.write(name, size=100 * 1024)
        assert some.replica.sizes[FEW + 3 :] == [3]


async def test_a_replica_that_serves_nobody_gathers_nothing() -> None:
    replica = Gated()
    patient = PatientReplica(replica, 1.0, 1000)
    async with trio.open_nursery() as nursery:
        for name in NAMES:
            nursery.start_soon(patient.write, [operation(Operation.INCREMENT, name, 1)])
        await wait_all_tasks_blocked()
        assert replica.sizes == [1] * len(NAMES)
        nursery.cancel_scope.cancel()
