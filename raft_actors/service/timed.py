"""The commands by which keys expire: from a request to what the log gets, as in `data`.

What a client says of a moment is turned into how much time is left until then by the clock of the node that it asks,
once; from there on it is log time that counts, on every replica.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from raft_actors.records import frozen
from raft_actors.service.data import SYNTAX_ERROR
from raft_actors.service.keyvalue import NOT_AN_INTEGER, Question
from raft_actors.service.operations import (
    HIGHEST_INTEGER,
    LOWEST_INTEGER,
    ExpireOption,
    Operation,
    SetOption,
    operation,
    parse_integer,
    set_value,
)
from raft_actors.service.replies import ErrorReply
from raft_actors.service.resp import Request
from raft_actors.service.today import unix_ms

Preparer = Callable[[Request], bytes | ErrorReply]
"""Makes an operation of a request, or says what is wrong with it."""

_SECOND_MS = 1000
_SET_OPTIONS = {b"NX": SetOption.IF_ABSENT, b"XX": SetOption.IF_PRESENT, b"GET": SetOption.RETURN_OLD}
_UNITS = {b"EX": (_SECOND_MS, False), b"PX": (1, False), b"EXAT": (_SECOND_MS, True), b"PXAT": (1, True)}


def _invalid(name: str) -> ErrorReply:
    return ErrorReply(f"ERR invalid expire time in '{name}' command")


@frozen
class _Moment:
    """When a key is to expire, as it was asked for.

    Attributes:
        number: in units.
        unit_ms: of the unit.
        absolute: since 1970, not from now on.
    """

    number: bytes
    unit_ms: int
    absolute: bool

    def prepare(self, name: str, make: Callable[[int], bytes], *, past: bool = False) -> bytes | ErrorReply:
        """The command that is made of how much time that is (0: it is over); or what is wrong with it.

        Args:
            name: of the request, for what is wrong.
            make: makes the command, of milliseconds.
            past: whether a number below 1 is right.
        """
        number = parse_integer(self.number)
        if number is None:
            return NOT_AN_INTEGER
        if not past and number <= 0:
            return _invalid(name)
        if not LOWEST_INTEGER <= number * self.unit_ms <= HIGHEST_INTEGER:
            return _invalid(name)
        now_ms, moment_ms = unix_ms(), number * self.unit_ms
        if self.absolute:
            return make(max(0, moment_ms - now_ms))
        return _invalid(name) if moment_ms > HIGHEST_INTEGER - now_ms else make(max(0, moment_ms))


def _moment(words: Sequence[bytes], position: int, other: _Moment | None) -> _Moment | None:
    """The moment that the option at a position names; None where it is none, or contradicts the one before."""
    unit = _UNITS.get(words[position].upper())
    if unit is None or position + 1 == len(words) or (other is not None and (other.unit_ms, other.absolute) != unit):
        return None
    return _Moment(words[position + 1], *unit)


def prepare_set(request: Request) -> bytes | ErrorReply:
    """SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT seconds | PXAT milliseconds | KEEPTTL]"""
    key, value = request[1], request[2]
    if len(request) == 3:
        return set_value(key, value)
    options, moment, position = SetOption(0), None, 3
    while position < len(request):
        word = request[position].upper()
        if word in _SET_OPTIONS:
            options |= _SET_OPTIONS[word]
        elif word == b"KEEPTTL" and moment is None:
            options |= SetOption.KEEP_DEADLINE
        else:
            moment = _moment(request, position, moment)
            if moment is None or SetOption.KEEP_DEADLINE in options:
                return SYNTAX_ERROR
            position += 1
        position += 1
    if SetOption.IF_ABSENT in options and SetOption.IF_PRESENT in options:
        return SYNTAX_ERROR
    if moment is None:
        return operation(Operation.SET_WITH_OPTIONS, key, value, int(options))
    return moment.prepare("set", lambda left_ms: operation(Operation.SET_FOR, key, value, int(options), left_ms))


def _prepare_set_for(name: str, unit_ms: int) -> Preparer:
    def prepare(request: Request) -> bytes | ErrorReply:
        moment = _Moment(request[2], unit_ms, absolute=False)
        return moment.prepare(name, lambda left_ms: operation(Operation.SET_FOR, request[1], request[3], 0, left_ms))

    return prepare


prepare_setex: Preparer = _prepare_set_for("setex", _SECOND_MS)
"""SETEX key seconds value"""

prepare_psetex: Preparer = _prepare_set_for("psetex", 1)
"""PSETEX key milliseconds value"""

_EXPIRE_OPTIONS = {
    b"NX": ExpireOption.IF_NONE,
    b"XX": ExpireOption.IF_ANY,
    b"GT": ExpireOption.IF_LATER,
    b"LT": ExpireOption.IF_SOONER,
}


def _prepare_expire(name: str, unit_ms: int, *, absolute: bool) -> Preparer:
    def prepare(request: Request) -> bytes | ErrorReply:
        options = ExpireOption(0)
        for word in request[3:]:
            if word.upper() not in _EXPIRE_OPTIONS:
                shown = word.partition(b"\0")[0].decode(errors="surrogateescape")
                return ErrorReply(f"ERR Unsupported option {shown}")
            options |= _EXPIRE_OPTIONS[word.upper()]
        if ExpireOption.IF_NONE in options and options != ExpireOption.IF_NONE:
            return ErrorReply("ERR NX and XX, GT or LT options at the same time are not compatible")
        if ExpireOption.IF_LATER in options and ExpireOption.IF_SOONER in options:
            return ErrorReply("ERR GT and LT options at the same time are not compatible")
        return _Moment(request[2], unit_ms, absolute).prepare(
            name, lambda left_ms: operation(Operation.EXPIRE, request[1], left_ms, int(options)), past=True
        )

    return prepare


prepare_expire: Preparer = _prepare_expire("expire", _SECOND_MS, absolute=False)
"""EXPIRE key seconds [NX | XX | GT | LT]; a negative number of seconds deletes it."""

prepare_pexpire: Preparer = _prepare_expire("pexpire", 1, absolute=False)
"""PEXPIRE key milliseconds [NX | XX | GT | LT]"""

prepare_expireat: Preparer = _prepare_expire("expireat", _SECOND_MS, absolute=True)
"""EXPIREAT key seconds [NX | XX | GT | LT]"""

prepare_pexpireat: Preparer = _prepare_expire("pexpireat", 1, absolute=True)
"""PEXPIREAT key milliseconds [NX | XX | GT | LT]"""


def prepare_persist(request: Request) -> bytes:
    """PERSIST key"""
    return operation(Operation.PERSIST, request[1])


def prepare_getex(request: Request) -> bytes | ErrorReply:
    """GETEX key [EX seconds | PX milliseconds | EXAT seconds | PXAT milliseconds | PERSIST]"""
    moment, persist, position = None, False, 2
    while position < len(request):
        if request[position].upper() == b"PERSIST" and moment is None:
            persist = True
        else:
            moment = _moment(request, position, moment)
            if moment is None or persist:
                return SYNTAX_ERROR
            position += 1
        position += 1
    if moment is None:
        return operation(Operation.GET_AND_PERSIST if persist else Operation.GET, request[1])
    return moment.prepare("getex", lambda left_ms: operation(Operation.GET_AND_EXPIRE, request[1], left_ms))


def prepare_ttl(request: Request) -> Question:
    """TTL key: seconds, rounded; −1: it never expires; −2: there is none."""
    return int(Operation.TIME_LEFT), request[1], _SECOND_MS


def prepare_pttl(request: Request) -> Question:
    """PTTL key: the same in milliseconds."""
    return int(Operation.TIME_LEFT), request[1], 1
