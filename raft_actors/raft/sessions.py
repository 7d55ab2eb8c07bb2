"""Sessions: each numbered command of a client is carried out once, however often it is proposed (dissertation §6.3).

The table of sessions is a part of the replicated state, beside the application's: entries of kind SESSION change it, in
log order, alike on every replica, and it goes into snapshots. A session begins with an entry of its own, whose index is
its id, so no id is ever used twice; a command of a session that is not in the table is refused, never carried out. A
session ends when it is closed, when nobody has used it for `TTL_MS` of *log time*, or when there are too many.

Log time is counted by leaders: the first entry of a batch may say how long the leader has led since it last said so.
It only grows, goes by no wall clock, and stands still while nobody uses sessions, so nothing is written for it then.

An entry, big-endian:

    tick      0 u8  milliseconds u32
    register  1 u8
    command   2 u8  session u48  number u32  window u16  the command
    close     3 u8  session u48

`window`: how many numbers below this one the client may still want the replies of; older ones are forgotten.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import attrs
import msgpack  # pyright: ignore[reportMissingTypeStubs]

from raft_actors.errors import InternalError, SessionExpired, StateMachineError
from raft_actors.records import define, frozen, record

TICK, REGISTER, COMMAND, CLOSE = range(4)
WINDOW = 1024
"""Commands of one session that may be under way at a time."""

TTL_MS = 3_600_000
MOST_SESSIONS = 131_072
MOST_REPLY_BYTES = 64 * 1024 * 1024
"""Of all sessions together: beyond it, those that were used least lately end."""

TICK_MS = 1
"""A leader says how much time has passed at most so often, and only where it appends what sessions propose."""

_REPLY_OVERHEAD = 128
_MOST_PASSED = 65_536
_TICK = struct.Struct(">BI")
_COMMAND = struct.Struct(">BHIIH")
_CLOSE = struct.Struct(">BHI")
COMMAND_OVERHEAD = _COMMAND.size
_open_command = _COMMAND.unpack_from
_pack_command = _COMMAND.pack
_VERSION = 1
_msgpack: Any = msgpack


def tick(milliseconds: int) -> bytes:
    """The entry that lets log time pass."""
    return _TICK.pack(TICK, min(milliseconds, 2**32 - 1))


def register() -> bytes:
    """The entry that begins a session."""
    return bytes([REGISTER])


def opened(data: bytes) -> tuple[int, int, int, bytes]:
    """What `numbered` made, without an object for it: session, number, floor and command.

    Raises:
        struct.error: it is too short.
    """
    _, high, low, number, window = _open_command(data)
    return high << 32 | low, number, number - window, data[COMMAND_OVERHEAD:]


def numbered(session: int, number: int, window: int, command: bytes) -> bytes:
    """A session's command as an entry."""
    return _pack_command(COMMAND, session >> 32, session & 0xFFFFFFFF, number, window) + command


def close(session: int) -> bytes:
    """The entry that ends a session."""
    return _CLOSE.pack(CLOSE, session >> 32, session & 0xFFFFFFFF)


@record
class SessionEntry:
    """An entry of kind SESSION, taken apart.

    Attributes:
        kind: TICK, REGISTER, COMMAND or CLOSE.
        session: whose, by its id.
        number: of the command, counted by the client from 1.
        floor: numbers below are settled.
        value: the milliseconds of a tick; the command's bytes.
    """

    kind: int
    session: int = 0
    number: int = 0
    floor: int = 0
    value: Any = None

    @classmethod
    def decode(cls, data: bytes) -> SessionEntry:
        """Take it apart.

        Raises:
            ValueError: this version knows no such entry.
        """
        try:
            if data[0] == COMMAND:  # first, as nearly all are commands
                return cls(COMMAND, *opened(data))
            match data[0]:
                case 0:
                    return cls(TICK, value=_TICK.unpack(data)[1])
                case 1:
                    return cls(REGISTER)
                case 3:
                    _, high, low = _CLOSE.unpack(data)
                    return cls(CLOSE, high << 32 | low)
                case other:
                    raise ValueError(f"kind {other}")
        except (IndexError, struct.error) as error:
            raise ValueError(f"no entry of a session: {error}") from error


@define
class _Session:
    used_at_ms: int
    floor: int = 1
    replies: dict[int, bytes] = attrs.field(factory=dict[int, bytes])


class SessionTable:
    """The sessions of a replicated state machine, as of the entry applied last.

    Attributes:
        log_time_ms: how much time the leaders have counted.
    """

    def __init__(self) -> None:
        self.log_time_ms: int = 0
        self._sessions: dict[int, _Session] = {}  # in the order of their last use
        self._last: _Session | None = None  # of that order, if it was used by a command, and its id
        self._last_id = 0
        self._reply_bytes = 0
        self._passed: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def reply_bytes(self) -> int:
        """About how much room the kept replies take."""
        return self._reply_bytes

    def was_carried_out(self, index: int) -> bool:
        """Whether the command in this entry was given to the state machine: not where it was there before, or its
        session had ended. Of older entries than it remembers, it says that they were.
        """
        return index not in self._passed

    def apply(self, index: int, entry: SessionEntry, carry_out: Callable[[], tuple[Any, bytes]]) -> Any:
        """Apply an entry.

        Args:
            index: where it stands in the log.
            entry: the entry.
            carry_out: gives the command to the state machine; returns what to answer, and what to keep of it. What it
                raises ends the node.

        Returns:
            A session's id where one begins; what `carry_out` returned; the reply that was kept, as `bytes` within a
            `KeptReply`; `SessionExpired` where the session is not there.
        """
        match entry.kind:
            case 0:
                self.log_time_ms += entry.value
                self._expire()
                return None
            case 1:
                self._sessions[index] = _Session(self.log_time_ms)
                self._last = None
                self._make_room()
                return index
            case 3:
                self._end(entry.session)
                return None
            case _:
                told = self.find(index, entry.session, entry.number, entry.floor)
                if told is not None:
                    return told
                answer, reply = carry_out()
                self.keep(entry.number, reply)
                return answer

    def find(self, index: int, session_id: int, number: int, floor: int) -> KeptReply | SessionExpired | None:
        """Look a command up that stands in the log at `index`: what its proposer gets, or None for one that is to be
        carried out now, and its reply given to `keep`.

        What `apply` does with a command, for who applies many: nothing is made for one of them.
        """
        session = self._last
        if session is None or session_id != self._last_id:
            session = self._sessions.pop(session_id, None)
            if session is None:
                self._pass(index)
                return SessionExpired(session_id)
            self._sessions[session_id] = self._last = session  # the last in the order
            self._last_id = session_id
        session.used_at_ms = self.log_time_ms
        if floor > session.floor:
            self._settle(session, floor)
        if number < session.floor:
            self._pass(index)
            return KeptReply(None)
        kept = session.replies.get(number)
        if kept is None:
            return None
        self._pass(index)
        return KeptReply(kept)

    def keep(self, number: int, reply: bytes) -> None:
        """Keep the reply of the command that `find` has just said is to be carried out.

        Raises:
            InternalError: it has not.
        """
        session = self._last
        if session is None:
            raise InternalError(f"nobody has looked up the command {number} whose reply is to be kept")
        session.replies[number] = reply
        self._reply_bytes += len(reply) + _REPLY_OVERHEAD
        if self._reply_bytes > MOST_REPLY_BYTES:
            self._make_room()

    def _pass(self, index: int) -> None:
        self._passed[index] = None
        if len(self._passed) > _MOST_PASSED:
            del self._passed[next(iter(self._passed))]

    def _settle(self, session: _Session, floor: int) -> None:
        replies, passed = session.replies, range(session.floor, floor)
        session.floor = floor
        # The numbers that are passed are few, as a rule one; a client that skips many has fewer replies than that.
        for number in passed if len(passed) <= len(replies) else [number for number in replies if number < floor]:
            reply = replies.pop(number, None)
            if reply is not None:
                self._reply_bytes -= len(reply) + _REPLY_OVERHEAD

    def _end(self, session_id: int) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            if session is self._last:
                self._last = None
            self._reply_bytes -= sum(len(reply) + _REPLY_OVERHEAD for reply in session.replies.values())

    def _expire(self) -> None:
        while self._sessions:
            oldest = next(iter(self._sessions))
            if self.log_time_ms - self._sessions[oldest].used_at_ms < TTL_MS:
                return
            self._end(oldest)

    def _make_room(self) -> None:
        while len(self._sessions) > MOST_SESSIONS or (self._reply_bytes > MOST_REPLY_BYTES and self._sessions):
            self._end(next(iter(self._sessions)))

    # --- snapshots -------------------------------------------------------------------------------------------

    def encode(self) -> bytes:
        """The whole table; equal tables have equal bytes. Empty for one that nobody has used."""
        if not self._sessions and not self.log_time_ms and not self._passed:
            return b""
        sessions = [
            [number, session.used_at_ms, session.floor, list(session.replies.items())]
            for number, session in self._sessions.items()
        ]
        data: bytes = _msgpack.packb([_VERSION, self.log_time_ms, sessions, list(self._passed)])
        return data

    @classmethod
    def decode(cls, data: bytes) -> SessionTable:
        """Open an encoded table.

        Raises:
            StateMachineError: a newer version wrote it.
            ValueError: it is none.
        """
        table = cls()
        if not data:
            return table
        version, *rest = _msgpack.unpackb(data, strict_map_key=False)
        if type(version) is int and version > _VERSION:
            raise StateMachineError(f"the snapshot's sessions are of version {version}: upgrade this node")
        log_time_ms, sessions, passed = rest
        _check_table(log_time_ms, sessions, passed)
        table.log_time_ms = log_time_ms
        for number, used_at_ms, floor, replies in sessions:
            table._sessions[number] = session = _Session(used_at_ms, floor, dict(replies))
            table._reply_bytes += sum(len(reply) + _REPLY_OVERHEAD for reply in session.replies.values())
        table._passed = dict.fromkeys(passed)
        return table


def _check_table(log_time_ms: Any, sessions: Any, passed: Any) -> None:
    """See that each value is what it stands for: what is not would raise at some later entry, half applied.

    Raises:
        ValueError: one is not.
    """
    numbers: list[Any] = [log_time_ms, *passed]
    for number, used_at_ms, floor, replies in sessions:
        numbers += (number, used_at_ms, floor)
        for reply_number, reply in replies:
            numbers.append(reply_number)
            if type(reply) is not bytes:
                raise ValueError("a reply that is no byte string")
    if any(type(number) is not int or not 0 <= number < 2**63 for number in numbers):
        raise ValueError("what should count is no number")


@frozen
class KeptReply:
    """A command was carried out before: what was kept of its result; None where the client had said that it has it."""

    data: bytes | None


class LogClock:
    """A leader's: how much time has passed since it last said so in the log."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def begin(self, now: float) -> None:
        """The leadership begins."""
        self._told_at = now

    def tick(self, now: float) -> bytes | None:
        """The entry to append before entries of sessions, if one is due."""
        passed_ms = int((now - self._told_at) * 1000)
        if passed_ms < TICK_MS:
            return None
        self._told_at += passed_ms / 1000
        return tick(passed_ms)


__all__ = [
    "KeptReply",
    "LogClock",
    "SessionEntry",
    "SessionTable",
    "close",
    "numbered",
    "opened",
    "register",
    "tick",
]
