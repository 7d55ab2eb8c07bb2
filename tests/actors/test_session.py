"""What a session tells its callers, whatever its attempts meet: never that nothing was done where something may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from raft_actors.client.errors import Unavailable
from raft_actors.errors import (
    CommandFailed,
    CommandTooLarge,
    ConfigurationError,
    LeadershipLost,
    NodeStopped,
    NotCommitted,
    NotLeader,
    NotMember,
    ProposalError,
    RaftError,
    ResultLost,
    SessionExpired,
)
from raft_actors.node import sessions
from raft_actors.node.sessions import Session, SessionState
from raft_actors.raft.sessions import REGISTER, SessionEntry, SessionTable

ID = 7
LEFT = SessionState(ID, 3, {1: b"a", 2: b"b"})


@attrs.define
class Cluster:
    """What becomes of each attempt, in order: an error, or else a result. After the last one all go well.

    Attributes:
        says: that.
        begins: the same of attempts to begin a session.
        proposed, entries: the numbers of commands, one for each attempt, and what was proposed.
        held: command → what its next attempt waits for.
    """

    says: list[Exception | int] = attrs.field(factory=list)
    begins: list[Exception] = attrs.field(factory=list)
    proposed: list[int] = attrs.field(factory=list)
    entries: list[bytes] = attrs.field(factory=list)
    held: dict[bytes, trio.Event] = attrs.field(factory=dict)

    async def propose(self, data: bytes) -> Any:
        await trio.lowlevel.checkpoint()
        entry = SessionEntry.decode(data)
        if entry.kind == REGISTER:
            if self.begins:
                raise self.begins.pop(0)
            return ID
        self.proposed.append(entry.number)
        self.entries.append(data)
        said = self.says.pop(0) if self.says else entry.number
        if entry.value in self.held:
            await self.held.pop(entry.value).wait()
        if isinstance(said, Exception):
            raise said
        return said

    async def propose_many(self, entries: list[bytes]) -> list[Any]:
        return [await self.propose(entry) for entry in entries]

    def session(self, state: SessionState | None = None) -> Session[bytes, int]:
        return Session(self.propose, bytes, state)


def nothing() -> tuple[Any, bytes]:
    raise NotImplementedError


async def told(function: Callable[..., Any], *arguments: Any) -> Exception:
    """What a call raises."""
    with pytest.raises(RaftError) as raised:
        await function(*arguments)
    return raised.value


@pytest.mark.parametrize(
    ("met", "kind", "certain"),
    [
        (CommandFailed(3), CommandFailed, None),
        (LeadershipLost(2, 3), SessionExpired, False),
        (ResultLost(3), SessionExpired, False),  # the entry was applied: perhaps after the session's end
        (SessionExpired(ID, certain=False), SessionExpired, False),
        (SessionExpired(ID), SessionExpired, True),
        (NotCommitted(2, 3), SessionExpired, True),
        (NotLeader("n2"), NotLeader, None),
    ],
)
async def test_what_a_command_has_met_counts_though_another_one_finds_the_session_ended(
    met: ProposalError, kind: type[Exception], certain: bool | None
) -> None:
    answered = trio.Event()
    cluster = Cluster([met, SessionExpired(ID)], held={b"a": answered})
    session = cluster.session()
    await session.begin()
    errors: list[Exception] = []
    async with trio.open_nursery() as nursery:

        async def propose() -> None:
            errors.append(await told(session.propose, b"a"))

        nursery.start_soon(propose)
        await wait_all_tasks_blocked()
        assert isinstance(await told(session.propose, b"b"), SessionExpired)
        answered.set()
    [error] = errors
    assert (type(error), getattr(error, "certain", None)) == (kind, certain)


async def test_what_another_process_has_left_may_be_carried_out_already_and_what_is_prepared_here_is_not() -> None:
    cluster = Cluster([SessionExpired(ID)])
    session = cluster.session(LEFT)
    prepared = session.prepare(b"c")
    outcomes = await session.outcomes()
    assert {number: error.certain for number, error in outcomes.items() if isinstance(error, SessionExpired)} == {
        1: False,
        2: False,
        prepared: True,
    }
    assert session.state().open == {}


@pytest.mark.parametrize(
    ("met", "refusal", "kind"),
    [
        (LeadershipLost(3, None, "n1"), NotMember("n2", None, 4), LeadershipLost),
        (LeadershipLost(3, None, "n1"), ConfigurationError("of another version"), LeadershipLost),
        (LeadershipLost(3, None, "n1"), CommandFailed(9), CommandFailed),
        (ResultLost(9), NotMember("n2", None, 4), ResultLost),
        (ResultLost(9), Unavailable("nobody could propose this"), ResultLost),
        (ResultLost(9), CommandTooLarge(9, 8), ResultLost),
        (NotCommitted(3, 9), NotMember("n2", None, 4), NotMember),
    ],
)
async def test_that_nothing_was_proposed_is_not_said_where_an_earlier_attempt_may_be_carried_out(
    met: ProposalError, refusal: RaftError, kind: type[Exception]
) -> None:
    assert type(await told(Cluster([met, refusal]).session().propose, b"a")) is kind


@pytest.mark.parametrize("met", [LeadershipLost(3, None, "n1"), ResultLost(9), None])
async def test_a_node_that_ends_says_whether_a_command_of_a_session_is_under_way(met: ProposalError | None) -> None:
    stopped = NodeStopped("n1")
    stopped.__cause__ = crash = OSError("the disk")
    session = Cluster([stopped] if met is None else [met, stopped]).session()
    error = await told(session.propose, b"a")
    assert isinstance(error, NodeStopped)
    assert (error.under_way, error.__cause__) == (met is not None, crash)
    assert session.state().open == {1: b"a"}


@pytest.mark.parametrize(
    ("again", "kind"),
    [(SessionExpired(ID), SessionExpired), (Unavailable("nobody is there"), ResultLost), (ResultLost(9), ResultLost)],
)
async def test_commands_that_go_together_are_in_doubt_once_their_results_were_lost(
    again: Exception, kind: type[Exception]
) -> None:
    cluster = Cluster([ResultLost(9), again])
    session = cluster.session()
    await session.begin()
    error = await told(session.propose_encoded, [b"a", b"b"], cluster.propose_many)
    assert type(error) is kind
    assert getattr(error, "certain", False) is False


async def test_nothing_is_said_of_a_command_while_its_session_is_only_to_begin() -> None:
    cluster = Cluster(begins=[LeadershipLost(2, 3), NotCommitted(2, 3), ResultLost(3), ResultLost(4)])
    assert await cluster.session().propose(b"a") == 1
    cluster = Cluster(begins=[ResultLost(3), NodeStopped("n1", 5)])
    error = await told(cluster.session().propose, b"a")
    assert isinstance(error, NodeStopped)
    assert not error.under_way
    cluster = Cluster(begins=[ResultLost(3), NotMember("n2")])
    assert type(await told(cluster.session().propose, b"a")) is NotMember
    assert cluster.proposed == []


@pytest.mark.parametrize("error", [NodeStopped("n1"), NotMember("n2"), Unavailable("nobody"), CommandTooLarge(9, 8)])
async def test_outcomes_that_can_not_be_known_now_are_asked_for_again(error: ProposalError) -> None:
    cluster = Cluster([11, error])
    session = cluster.session(LEFT)
    assert type(await told(session.outcomes)) is type(error)
    assert session.state().open == LEFT.open
    with trio.CancelScope() as scope:
        scope.cancel()
        await session.outcomes()
    assert session.state().open == LEFT.open
    assert await session.outcomes() == {1: 1, 2: 2}
    assert session.state().open == {}


async def test_what_is_given_up_can_take_effect_until_one_is_applied_that_came_when_none_before_it_was_open() -> None:
    end = trio.Event()
    cluster = Cluster(held={b"open": end, b"given up": trio.Event()})
    session, table = cluster.session(), SessionTable()
    await session.begin()
    assert table.apply(ID, SessionEntry(REGISTER), nothing) == ID

    def carried_out(data: bytes) -> bool:
        return bool(table.apply(ID + 1, SessionEntry.decode(data), lambda: ("carried out", b"")) == "carried out")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.propose, b"open")
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as inner:
            inner.start_soon(session.propose, b"given up")
            await wait_all_tasks_blocked()
            inner.cancel_scope.cancel()
        await session.propose(b"parallel")
        end.set()
    await session.propose(b"later")
    first, given_up, parallel, later = cluster.entries
    assert carried_out(parallel)
    assert carried_out(first)
    before = SessionTable.decode(table.encode())
    assert carried_out(given_up)
    table = before
    assert carried_out(later)
    assert not carried_out(given_up)


async def test_who_needs_room_for_several_goes_before_those_that_need_it_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As fast as commands end, others come: there would never be room for two."""
    monkeypatch.setattr(sessions, "WINDOW", 4)
    ends = {b"%d" % number: trio.Event() for number in range(12)}
    cluster = Cluster(held=dict(ends))
    session = cluster.session()
    results: list[Any] = []

    async def propose_many(commands: Sequence[bytes]) -> None:
        await session.wait_room(len(commands))
        results.append(await session.propose_encoded(commands, cluster.propose_many))

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(session.propose, b"%d" % number)
            await wait_all_tasks_blocked()
        assert not session.is_ready
        nursery.start_soon(propose_many, [b"x", b"y"])
        await wait_all_tasks_blocked()
        for number in range(4):
            nursery.start_soon(session.propose, b"%d" % (number + 4))
            await wait_all_tasks_blocked()
            ends[b"%d" % number].set()
            await wait_all_tasks_blocked()
        assert results == [[5, 6]]
        for end in ends.values():
            end.set()
    assert sorted(cluster.proposed) == list(range(1, 11))
    assert session.is_ready


@pytest.mark.usefixtures("autojump_clock")
async def test_what_nobody_learned_the_outcome_of_takes_no_room_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept for who goes on elsewhere, as long as there is room for the next ones."""
    monkeypatch.setattr(sessions, "WINDOW", 2)
    cluster = Cluster(says=[LeadershipLost(1, 5), NotMember(None)])
    session = cluster.session()
    assert isinstance(await told(session.propose, b"a"), LeadershipLost)
    assert session.state().open == {1: b"a"}
    with trio.fail_after(1.0):
        assert [await session.propose(b"b") for _ in range(3)] == [2, 3, 4]
        await session.wait_room(2)
    assert not session.state().open
