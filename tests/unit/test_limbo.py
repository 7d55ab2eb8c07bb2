"""What a new leader can't know yet to be committed, and what that touches."""

from __future__ import annotations

from collections.abc import AsyncIterable, Collection, Hashable, Iterable

import pytest
from typing_extensions import override

from raft_actors import StateMachine
from raft_actors.node.limbo import Limbo
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.roles import Leader
from raft_actors.raft.sessions import close, numbered, register, tick
from tests.unit.builders import make_state


class Keyed(StateMachine[bytes, None]):
    """Each command touches what it names; one without a name, anything."""

    def apply(self, command: bytes) -> None:
        raise NotImplementedError

    def touches(self, command: bytes) -> Collection[Hashable] | None:
        return (command,) if command else None

    def snapshot(self) -> Iterable[bytes]:
        raise NotImplementedError

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        raise NotImplementedError


class Timed(Keyed):
    """What it holds may end with time."""

    @override
    def pass_time(self, now_ms: int) -> None:
        raise NotImplementedError


def new_leader(kind: EntryKind, *entries: bytes) -> Leader:
    """One that has inherited these entries of term 1, behind a first one that is known to be committed."""
    state = make_state((1,), commit_index=1)
    state.append(EntryBatch.encode(2, 1, kind, entries))
    state.term = 2
    return Leader(state)


@pytest.mark.parametrize(
    ("kind", "entry"), [(EntryKind.COMMAND, b"alice"), (EntryKind.SESSION, numbered(1, 1, 0, b"alice"))]
)
def test_what_an_open_command_touches_waits_and_nothing_else(kind: EntryKind, entry: bytes) -> None:
    """Whether the command was proposed by itself or in a session."""
    limbo, leader = Limbo(Keyed()), new_leader(kind, entry)
    assert limbo.concerns(leader, ("alice", b"alice"))
    assert not limbo.concerns(leader, (b"bob",))
    assert limbo.concerns(leader, None)


def test_what_begins_and_ends_sessions_touches_nothing() -> None:
    leader = new_leader(EntryKind.SESSION, tick(5), register(), close(1))
    assert not Limbo(Keyed()).concerns(leader, (b"alice",))


def test_what_lets_time_pass_may_touch_anything_where_that_changes_something() -> None:
    assert Limbo(Timed()).concerns(new_leader(EntryKind.SESSION, tick(5)), (b"alice",))
    assert not Limbo(Timed()).concerns(new_leader(EntryKind.SESSION, register(), close(1)), (b"alice",))


@pytest.mark.parametrize("entry", [b"", b"\xff of a newer version", numbered(1, 1, 0, b"")])
def test_an_entry_of_which_nothing_is_known_touches_anything(entry: bytes) -> None:
    assert Limbo(Keyed()).concerns(new_leader(EntryKind.SESSION, entry), (b"alice",))


def test_what_is_known_to_be_committed_concerns_nobody() -> None:
    leader = new_leader(EntryKind.COMMAND, b"alice")
    leader.state.commit(2)
    assert not Limbo(Keyed()).concerns(leader, (b"alice",))
