"""The commands on data: from a request to what the log gets, or to what is asked of the state machine.

`prepare_…` functions take a request whose number of arguments was checked. Those of writes return the bytes for the
log, those of reads a question for the state machine (or a walk over its keys); all return an `ErrorReply` where the
arguments themselves can't be right. In which order mistakes are found follows Redis 7.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from raft_actors.records import frozen
from raft_actors.service.glob import MAX_PATTERN_BYTES, matching
from raft_actors.service.keyvalue import NOT_AN_INTEGER, KeyValue, Question
from raft_actors.service.operations import (
    HIGHEST_INTEGER,
    LOWEST_INTEGER,
    Operation,
    SetOption,
    many,
    operation,
    parse_integer,
)
from raft_actors.service.replies import ErrorReply, Reply
from raft_actors.service.resp import Request


@frozen
class Listing:
    """Keys of which those that match make the reply. Matching is left for after the read: it can take long.

    Attributes:
        cursor: SCAN's, or None where the reply is the bare list.
    """

    keys: list[bytes]
    pattern: bytes
    cursor: int | None = None

    async def reply(self) -> Reply:
        """The finished reply; other tasks run in between."""
        found = await matching(self.keys, self.pattern)
        return found if self.cursor is None else [b"%d" % self.cursor, found]


Walk = Callable[[KeyValue], Listing]
"""A read that may look at all keys. It takes too long for the log, where every node would carry it out."""

SYNTAX_ERROR = ErrorReply("ERR syntax error")
_PATTERN_TOO_LONG = ErrorReply(f"ERR a pattern of more than {MAX_PATTERN_BYTES} bytes is refused")
_GET = int(Operation.GET)
_CURSOR = re.compile(rb"([+-]?)0*([0-9]{1,20})|")
_CURSORS = 2**64

# --- writes ---


def prepare_setnx(request: Request) -> bytes:
    """SETNX key value"""
    return operation(Operation.SET_IF_ABSENT, request[1], request[2])


def prepare_getset(request: Request) -> bytes:
    """GETSET key value"""
    return operation(Operation.SET_WITH_OPTIONS, request[1], request[2], int(SetOption.RETURN_OLD))


def prepare_mset(request: Request) -> bytes | ErrorReply:
    """MSET key value [key value …]"""
    if len(request) % 2 == 0:
        return ErrorReply("ERR wrong number of arguments for 'mset' command")
    return many(Operation.SET_MANY, request[1:])


def prepare_del(request: Request) -> bytes:
    """DEL key [key …]"""
    return many(Operation.DELETE, request[1:])


def prepare_incr(request: Request) -> bytes:
    """INCR key"""
    return operation(Operation.INCREMENT, request[1], 1)


def prepare_decr(request: Request) -> bytes:
    """DECR key"""
    return operation(Operation.INCREMENT, request[1], -1)


def prepare_incrby(request: Request) -> bytes | ErrorReply:
    """INCRBY key increment"""
    amount = parse_integer(request[2])
    return NOT_AN_INTEGER if amount is None else operation(Operation.INCREMENT, request[1], amount)


def prepare_decrby(request: Request) -> bytes | ErrorReply:
    """DECRBY key decrement"""
    amount = parse_integer(request[2])
    if amount is None:
        return NOT_AN_INTEGER
    if amount == LOWEST_INTEGER:  # its negative is no 64-bit integer
        return ErrorReply("ERR decrement would overflow")
    return operation(Operation.INCREMENT, request[1], -amount)


def prepare_append(request: Request) -> bytes:
    """APPEND key value"""
    return operation(Operation.APPEND, request[1], request[2])


def prepare_getdel(request: Request) -> bytes:
    """GETDEL key"""
    return operation(Operation.GET_AND_DELETE, request[1])


def prepare_flushall(request: Request) -> bytes | ErrorReply:
    """FLUSHALL [ASYNC | SYNC], and FLUSHDB: there is one database."""
    if len(request) > 2 or (len(request) == 2 and request[1].upper() not in (b"ASYNC", b"SYNC")):
        return SYNTAX_ERROR
    return operation(Operation.CLEAR)


# --- reads ---


def prepare_get(request: Request) -> Question:
    """GET key"""
    return _GET, request[1]


def prepare_mget(request: Request) -> Question:
    """MGET key [key …]"""
    return int(Operation.GET_MANY), *request[1:]


def prepare_exists(request: Request) -> Question:
    """EXISTS key [key …]: a key that is named twice counts twice."""
    return int(Operation.EXISTS), *request[1:]


def prepare_strlen(request: Request) -> Question:
    """STRLEN key"""
    return int(Operation.LENGTH), request[1]


def prepare_type(request: Request) -> Question:
    """TYPE key"""
    return int(Operation.TYPE), request[1]


def prepare_dbsize(_request: Request) -> Question:
    """DBSIZE"""
    return (int(Operation.COUNT_KEYS),)


def prepare_keys(request: Request) -> Walk | ErrorReply:
    """KEYS pattern"""
    pattern = request[1]
    if len(pattern) > MAX_PATTERN_BYTES:
        return _PATTERN_TOO_LONG
    return lambda machine: Listing(machine.list_keys(), pattern)


def prepare_scan(request: Request) -> Walk | ErrorReply:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]"""
    cursor = _parse_cursor(request[1])
    if cursor is None:
        return ErrorReply("ERR invalid cursor")
    pattern, count, only_type = b"*", 10, b"string"
    words = request[2:]
    for name, value in zip(words[::2], words[1::2], strict=False):
        match name.upper():
            case b"MATCH":
                pattern = value
            case b"COUNT":
                number = parse_integer(value)
                if number is None:
                    return NOT_AN_INTEGER
                if number < 1:
                    return SYNTAX_ERROR
                count = min(number, HIGHEST_INTEGER)
            case b"TYPE":
                only_type = value.lower()
            case _:
                return SYNTAX_ERROR
    if len(words) % 2:
        return SYNTAX_ERROR
    if len(pattern) > MAX_PATTERN_BYTES:
        return _PATTERN_TOO_LONG

    def walk(machine: KeyValue) -> Listing:
        following, found = machine.scan(cursor, count)
        return Listing(found if only_type == b"string" else [], pattern, following)

    return walk


def _parse_cursor(text: bytes) -> int | None:
    """A cursor as Redis reads one, which is as C's `strtoul` does: a sign may stand before it, nothing is 0, and a zero
    byte ends it."""
    sign_and_digits = _CURSOR.fullmatch(text.partition(b"\0")[0])
    if sign_and_digits is None:
        return None
    sign, digits = sign_and_digits.groups(default=b"")
    cursor = int(digits or b"0")
    if cursor >= _CURSORS:
        return None
    return -cursor % _CURSORS if sign == b"-" else cursor
