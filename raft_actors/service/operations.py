"""The key-value machine's commands as they stand in the log.

Each is a msgpack array: the operation's number and its arguments. Numbers and the meaning of arguments are
never changed or used again, since old logs hold them. A plain SET of a 128-byte value takes 0.1 µs to encode
and 0.1 µs to decode.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Any

from raft_actors.service.packing import UnpackError, pack, unpack

MAX_VALUE_BYTES = 64 * 1024 * 1024
"""What APPEND may let a value grow to.

Part of the machine's rules, so the same on every node: not a setting.
"""

HEAVIEST = 16_384
"""Plain commands in one entry: some 20 ms of every node's time. Part of the machine's rules, too."""

LOWEST_INTEGER, HIGHEST_INTEGER = -(2**63), 2**63 - 1
_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")


class Operation(enum.IntEnum):
    """The numbers of the operations, with their arguments."""

    SET = 0
    """key, value"""
    SET_WITH_OPTIONS = 1
    """key, value, sum of `SetOption`"""
    SET_IF_ABSENT = 2
    """key, value"""
    SET_MANY = 3
    """key, value, key, value, …"""
    DELETE = 4
    """key, …"""
    INCREMENT = 5
    """key, amount"""
    APPEND = 6
    """key, value"""
    CLEAR = 7
    """(none)"""
    # Reads get into the log where they stand between writes that are proposed together.
    GET = 8
    """key"""
    GET_MANY = 9
    """key, …"""
    EXISTS = 10
    """key, …"""
    LENGTH = 11
    """key"""
    TYPE = 12
    """key"""
    COUNT_KEYS = 13
    """(none)"""
    TRANSACTION = 14
    """command, … (each encoded as it would be by itself, and none a transaction or a pipeline)"""
    PIPELINE = 15
    """command, … (likewise)"""
    GET_AND_DELETE = 16
    """key"""
    SET_FOR = 17
    """key, value, sum of `SetOption`, milliseconds until it expires"""
    EXPIRE = 18
    """key, milliseconds until it expires (0 or less: now), sum of `ExpireOption`"""
    PERSIST = 19
    """key"""
    GET_AND_EXPIRE = 20
    """key, milliseconds until it expires (0 or less: now)"""
    GET_AND_PERSIST = 21
    """key"""
    TIME_LEFT = 22
    """key, milliseconds of the unit that the answer is in"""
    PASS_TIME = 23
    """(none; it is the time that comes with it that is wanted)"""


class SetOption(enum.IntFlag):
    """Options of SET."""

    IF_ABSENT = 1
    IF_PRESENT = 2
    RETURN_OLD = 4
    KEEP_DEADLINE = 8


class ExpireOption(enum.IntFlag):
    """Options of EXPIRE: only where the key has no deadline, has one, has a sooner one, or a later one or none."""

    IF_NONE = 1
    IF_ANY = 2
    IF_LATER = 4
    IF_SOONER = 8


ALL_OPTIONS = sum(SetOption)
ALL_EXPIRE_OPTIONS = sum(ExpireOption)


_OPERATIONS = len(Operation)
_READS = frozenset({*range(Operation.GET, Operation.TRANSACTION), int(Operation.TIME_LEFT)})
_TIMED = frozenset(map(int, (Operation.SET_FOR, Operation.EXPIRE, Operation.GET_AND_EXPIRE, Operation.TIME_LEFT)))
_SET = int(Operation.SET)  # packing an IntEnum member goes through its __index__: slower


class UnknownOperation(ValueError):
    """A command of a later version of this machine, which replicas of that version carry out."""


def set_value(key: bytes, value: bytes) -> bytes:
    """The command that sets `key`."""
    return pack((_SET, key, value))


def operation(number: Operation, *arguments: bytes | int) -> bytes:
    """The command for any other operation."""
    return pack((int(number), *arguments))


def transaction(commands: Sequence[bytes]) -> bytes:
    """The command that carries out others, with nothing in between. None of them may be a transaction itself."""
    return pack((int(Operation.TRANSACTION), *commands))


def pipeline(commands: Sequence[bytes]) -> bytes:
    """The command that carries out others in order, or the first ones of them, where all would take too long. None of
    them may be a transaction or a pipeline."""
    return pack((int(Operation.PIPELINE), *commands))


def many(number: Operation, arguments: Sequence[bytes]) -> bytes:
    """The command for an operation that takes any number of arguments."""
    return pack((int(number), *arguments))


def decode(command: bytes) -> list[Any]:
    """The operation's number and its arguments (each bytes or an int).

    Raises:
        UnknownOperation: a later version of this machine may know it.
        ValueError: the bytes are no command of this machine.
    """
    try:
        fields: list[Any] = unpack(command)
        number = fields[0]
        if 0 <= number < _OPERATIONS:
            return fields
    except (ValueError, TypeError, LookupError, UnpackError) as error:
        raise ValueError(f"no key-value command: {error}") from error
    raise UnknownOperation(f"no key-value command: operation {number} is of a later version")


def only_reads(command: bytes) -> bool:
    """Whether a command (and no transaction) changes nothing."""
    return decode(command)[0] in _READS


def is_timed(command: bytes) -> bool:
    """Whether what a command does depends on log time, so that the time has to come with it."""
    return command[0] & 0xF0 == 0x90 and command[1] in _TIMED  # a short array, as theirs are, and the number


def parse_integer(digits: bytes) -> int | None:
    """The 64-bit integer that `digits` spells as Redis wants it (no plus sign, blanks or leading zeros), or None."""
    if not _INTEGER.fullmatch(digits):
        return None
    number = int(digits)
    return number if LOWEST_INTEGER <= number <= HIGHEST_INTEGER else None


_LONGEST_SHOWN = 60


def describe(command: bytes) -> str:
    """One line for people: the operation and its arguments, long ones cut.

    Raises:
        ValueError: the bytes are no command of this machine.
    """
    number, *arguments = decode(command)
    inside = number in (Operation.TRANSACTION, Operation.PIPELINE)
    shown = [f"[{describe(argument)}]" if inside else _show(argument) for argument in arguments[:8]]
    if len(arguments) > len(shown):
        shown.append(f"… ({len(arguments)} {'commands' if inside else 'arguments'})")
    return " ".join([Operation(number).name, *shown])


def _show(argument: bytes | int) -> str:
    if not isinstance(argument, bytes):
        return str(argument)
    if len(argument) <= _LONGEST_SHOWN:
        return repr(argument)[1:]
    return f"{repr(argument[:_LONGEST_SHOWN])[1:]}… ({len(argument):,} bytes)"
