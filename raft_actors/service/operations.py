"""The key-value machine's commands as they stand in the log.

Each is a msgpack array: the operation's number and its arguments. Numbers and the meaning of arguments are
never changed or used again, since old logs hold them. A plain SET of a 128-byte value takes 0.1 µs to encode
and 0.1 µs to decode.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence
from typing import Any

from raft_actors.commands import RAW_BYTES, CommandCodec
from raft_actors.service.packing import UnpackError, pack, unpack_flat

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
_MANY = None
"""As many byte strings as there are."""

_KINDS: dict[int, list[type] | None] = {
    Operation.SET: [bytes, bytes],
    Operation.SET_WITH_OPTIONS: [bytes, bytes, int],
    Operation.SET_IF_ABSENT: [bytes, bytes],
    Operation.SET_MANY: _MANY,
    Operation.DELETE: _MANY,
    Operation.INCREMENT: [bytes, int],
    Operation.APPEND: [bytes, bytes],
    Operation.CLEAR: [],
    Operation.GET: [bytes],
    Operation.GET_MANY: _MANY,
    Operation.EXISTS: _MANY,
    Operation.LENGTH: [bytes],
    Operation.TYPE: [bytes],
    Operation.COUNT_KEYS: [],
    Operation.TRANSACTION: _MANY,
    Operation.PIPELINE: _MANY,
    Operation.GET_AND_DELETE: [bytes],
    Operation.SET_FOR: [bytes, bytes, int, int],
    Operation.EXPIRE: [bytes, int, int],
    Operation.PERSIST: [bytes],
    Operation.GET_AND_EXPIRE: [bytes, int],
    Operation.GET_AND_PERSIST: [bytes],
    Operation.TIME_LEFT: [bytes, int],
    Operation.PASS_TIME: [],
}
_OPTIONS: dict[int, tuple[int, int]] = {  # which argument they are, and all that there are
    Operation.SET_WITH_OPTIONS: (3, ALL_OPTIONS),
    Operation.SET_FOR: (3, ALL_OPTIONS),
    Operation.EXPIRE: (3, ALL_EXPIRE_OPTIONS),
}
COMPOUND = frozenset({int(Operation.TRANSACTION), int(Operation.PIPELINE)})
"""Operations whose arguments are commands."""

_PLAIN = frozenset(range(_OPERATIONS)) - COMPOUND - _OPTIONS.keys()
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
    """The operation's number and its arguments: as many as it takes, and of the kinds that it takes.

    Raises:
        UnknownOperation: a later version of this machine may know it.
        ValueError: the bytes are no command of this machine.
    """
    try:
        fields: list[Any] = unpack_flat(command)
    except (ValueError, TypeError, UnpackError) as error:
        raise ValueError(f"no key-value command: {error}") from error
    if type(fields) is not list or not fields or type(fields[0]) is not int or fields[0] < 0:
        raise ValueError("no key-value command: it names no operation")
    number = fields[0]
    if number == _SET and len(fields) == 3 and type(fields[1]) is bytes and type(fields[2]) is bytes:
        return fields  # most of them, without the rest
    if number >= _OPERATIONS:
        raise UnknownOperation(f"no key-value command: operation {number} is of a later version")
    _check_arguments(number, fields)
    return fields


def _check_arguments(number: int, fields: list[Any]) -> None:
    kinds = _KINDS[number]
    given = [*map(type, fields)][1:]
    if (given != kinds) if kinds is not None else any(kind is not bytes for kind in given):
        raise ValueError(f"no key-value command: {Operation(number).name} with other arguments than it takes")
    if number in COMPOUND and len(given) > HEAVIEST:
        raise ValueError(f"no key-value command: {len(given):,} in one, where {HEAVIEST:,} are allowed")
    if number == Operation.SET_MANY and len(given) % 2:
        raise ValueError("no key-value command: a key without a value")
    if number in _OPTIONS:
        position, known = _OPTIONS[number]
        if fields[position] & ~known:
            raise UnknownOperation(
                f"no key-value command: options {fields[position]} of {Operation(number).name} are of a later version"
            )
    if any(type(value) is int and value > HIGHEST_INTEGER for value in fields):
        raise ValueError("no key-value command: a number of more than 64 bits")
    if number == Operation.TIME_LEFT and fields[2] < 1:
        raise ValueError("no key-value command: time in no unit")


def decode_parts(commands: Iterable[bytes]) -> list[list[Any]]:
    """The commands within one, of which none has any itself.

    Raises as `decode` does.
    """
    decoded = list(map(decode, commands))
    if any(number in COMPOUND for number, *_ in decoded):
        raise ValueError("no key-value command: a transaction in a transaction")
    return decoded


class _Commands:
    """Commands are bytes already, and what is wrong with them is an outcome of `apply`. But one of a later version ends
    the node that applies it: a node looks for that before it takes a command from afar into the log.
    """

    def encode(self, command: bytes) -> bytes:
        return RAW_BYTES.encode(command)

    def decode(self, data: bytes) -> bytes:
        if len(data) > 1 and data[0] & 0xF0 == 0x90 and data[1] in _PLAIN:
            return data
        try:
            number, *arguments = decode(data)
            if number in COMPOUND:
                decode_parts(arguments)
        except UnknownOperation:
            raise
        except ValueError:
            pass  # `apply` refuses it, on every replica
        return data


KEY_VALUE_COMMANDS: CommandCodec[bytes] = _Commands()
"""The codec of the key-value machine's commands."""


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
