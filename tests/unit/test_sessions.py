"""The table of sessions: each number of a session is carried out once, on every replica alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from raft_actors.errors import SessionExpired, StateMachineError
from raft_actors.raft import sessions
from raft_actors.raft.sessions import KeptReply, LogClock, SessionEntry, SessionTable, close, numbered, register, tick


class Replica:
    """A table, and how often each command was carried out."""

    def __init__(self, table: SessionTable | None = None) -> None:
        self.table = table or SessionTable()
        self.carried_out: list[bytes] = []
        self.index = 0

    def apply(self, data: bytes) -> Any:
        """Apply an entry; return what its proposer gets, or the kept bytes."""
        self.index += 1
        entry = SessionEntry.decode(data)

        def carry_out() -> tuple[Any, bytes]:
            self.carried_out.append(entry.value)
            return b"result of " + entry.value, b"kept of " + entry.value

        return self.table.apply(self.index, entry, carry_out)


def test_a_session_is_named_by_the_index_of_its_first_entry() -> None:
    replica = Replica()
    assert [replica.apply(register()), replica.apply(register())] == [1, 2]
    assert len(replica.table) == 2


def test_a_command_that_comes_again_is_answered_with_what_was_kept() -> None:
    replica = Replica()
    session = replica.apply(register())
    assert replica.apply(numbered(session, 1, 0, b"a")) == b"result of a"
    assert replica.apply(numbered(session, 1, 0, b"a")) == KeptReply(b"kept of a")
    assert replica.carried_out == [b"a"]
    assert [replica.table.was_carried_out(index) for index in (2, 3)] == [True, False]


def test_commands_of_a_window_may_come_in_any_order() -> None:
    replica = Replica()
    session = replica.apply(register())
    for number in (3, 1, 2, 1, 3):
        replica.apply(numbered(session, number, number - 1, b"%d" % number))
    assert replica.carried_out == [b"3", b"1", b"2"]


@pytest.mark.parametrize("numbers", [(1, 2, 3, 40), (2, 3, 40), (5, 6, 7, 8)])
def test_replies_below_the_window_make_room_however_far_it_moves(numbers: tuple[int, ...]) -> None:
    replica = Replica()
    session = replica.apply(register())
    before = replica.table.reply_bytes
    for number in numbers:
        replica.apply(numbered(session, number, 0, b"x"))  # each says that all before it are settled
    one = Replica()
    alone = one.apply(register())
    one.apply(numbered(alone, numbers[-1], 0, b"x"))
    assert replica.table.reply_bytes == one.table.reply_bytes > before


def test_a_reply_is_forgotten_once_its_client_has_it_and_the_command_never_carried_out_again() -> None:
    replica = Replica()
    session = replica.apply(register())
    replica.apply(numbered(session, 1, 0, b"a"))
    kept = replica.table.reply_bytes
    replica.apply(numbered(session, 2, 0, b"b"))
    assert replica.table.reply_bytes == kept
    assert replica.apply(numbered(session, 1, 0, b"a")) == KeptReply(None)
    assert replica.carried_out == [b"a", b"b"]


def test_an_ended_or_unknown_session_is_an_error_and_never_a_second_apply() -> None:
    replica = Replica()
    session = replica.apply(register())
    replica.apply(numbered(session, 1, 0, b"a"))
    replica.apply(close(session))
    again = replica.apply(numbered(session, 1, 0, b"a"))
    assert isinstance(again, SessionExpired)
    assert again.session == session
    assert replica.carried_out == [b"a"]
    assert replica.table.reply_bytes == 0


def test_sessions_expire_by_log_time_alone_the_least_used_first() -> None:
    replica = Replica()
    first, second = replica.apply(register()), replica.apply(register())
    replica.apply(tick(sessions.TTL_MS - 1))
    replica.apply(numbered(first, 1, 0, b"a"))
    replica.apply(tick(1))
    assert isinstance(replica.apply(numbered(second, 1, 0, b"b")), SessionExpired)
    assert replica.apply(numbered(first, 2, 1, b"c")) == b"result of c"


@pytest.mark.parametrize(("name", "limit"), [("MOST_SESSIONS", 3), ("MOST_REPLY_BYTES", 450)])
def test_there_are_never_too_many(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(sessions, name, limit)
    replica = Replica()
    ids = [replica.apply(register()) for _ in range(4)]
    answers = [replica.apply(numbered(session, 1, 0, b"x")) for session in ids[1:] + ids[:1]]
    assert len(replica.table) == 3
    assert any(isinstance(answer, SessionExpired) for answer in answers) == (name == "MOST_SESSIONS")


def test_a_hundred_thousand_sessions_fit_into_64_mib() -> None:
    import tracemalloc

    tracemalloc.start()
    replica = Replica()
    for _ in range(10_000):
        session = replica.apply(register())
        replica.apply(numbered(session, 1, 0, b"a command's reply"))
    replica.carried_out.clear()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 10 * size < 64 * 1024 * 1024


def test_the_table_comes_back_from_its_bytes_and_an_unused_one_has_none() -> None:
    assert SessionTable().encode() == b""
    replica = Replica()
    session = replica.apply(register())
    replica.apply(tick(5))
    replica.apply(numbered(session, 1, 0, b"a"))
    replica.apply(numbered(session, 1, 0, b"a"))
    copy = SessionTable.decode(replica.table.encode())
    assert copy.encode() == replica.table.encode()
    assert copy.reply_bytes == replica.table.reply_bytes
    assert copy.log_time_ms == 5


def test_a_table_of_a_newer_version_is_refused() -> None:
    import msgpack

    data: Any = msgpack.packb([99, 0, [], []])
    with pytest.raises(StateMachineError, match="version 99"):
        SessionTable.decode(data)


@pytest.mark.parametrize("data", [b"", b"\x09", b"\x02\0", tick(1)[:-1], close(1) + b"x"])
def test_what_is_no_entry_of_a_session_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"session|kind"):
        SessionEntry.decode(data)


def test_a_leader_says_how_much_time_has_passed_and_loses_none_of_it() -> None:
    clock = LogClock()
    clock.begin(100.0)
    assert clock.tick(100.0005) is None
    told = [clock.tick(now) for now in (101.25, 101.2505, 102.5, 105.0)]
    passed = [SessionEntry.decode(entry).value for entry in told if entry is not None]
    assert sum(passed) == 5000
    assert len(passed) == 3


class Sessions(RuleBasedStateMachine):
    """Clients that repeat themselves, answers that are lost, replicas that restart: each command once."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = Replica(), Replica()
        self.next: dict[int, int] = {}
        self.floors: dict[int, int] = {}
        self.ended: set[int] = set()

    def both(self, data: bytes) -> Any:
        first, second = self.one.apply(data), self.other.apply(data)
        assert repr(first) == repr(second)
        return first

    @precondition(lambda self: len(self.next) < 3)  # few, so that each comes to something
    @rule(target=ids)
    def begin(self) -> int:
        session: int = self.both(register())
        self.next[session] = self.floors[session] = 1
        return session

    @rule(session=ids, backs=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
    def propose_some(self, session: int, backs: list[tuple[int, bool]]) -> None:
        for back, settle in backs:
            self.propose(session, back, settle)

    def propose(self, session: int, back: int, settle: bool) -> None:
        """A new command, or one of the last again; and maybe all before are settled."""
        number = max(self.floors[session], self.next[session] - back)
        if settle:
            self.floors[session] = number
        self.next[session] = max(self.next[session], number + 1)
        command = b"%d of %d" % (number, session)
        answer = self.both(numbered(session, number, number - self.floors[session], command))
        if session in self.ended:
            assert isinstance(answer, SessionExpired)
        else:
            assert answer in (b"result of " + command, KeptReply(b"kept of " + command))

    @precondition(lambda self: max(self.floors.values(), default=1) > 1)
    @rule(session=ids)
    def late_copy(self, session: int) -> None:
        """Of a command that is settled: it is not carried out again."""
        if self.floors[session] > 1:
            answer = self.both(numbered(session, 1, 0, b"1 of %d" % session))
            assert isinstance(answer, SessionExpired) or (session not in self.ended and answer == KeptReply(None))

    @precondition(lambda self: len(self.ended) < len(self.next))
    @rule(session=ids)
    def end(self, session: int) -> None:
        self.both(close(session))
        self.ended.add(session)

    @rule(passed_ms=st.integers(0, 5000))
    def time_passes(self, passed_ms: int) -> None:
        before = self.one.table.log_time_ms
        self.both(tick(passed_ms))
        assert self.one.table.log_time_ms == before + passed_ms

    @rule()
    def restart(self) -> None:
        self.other.table = SessionTable.decode(self.other.table.encode())

    @invariant()
    def once(self) -> None:
        carried_out = self.one.carried_out
        assert len(set(carried_out)) == len(carried_out)
        assert carried_out == self.other.carried_out
        assert self.one.table.encode() == self.other.table.encode()


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
