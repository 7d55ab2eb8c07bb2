"""The state machine: a dictionary of byte strings, and what each operation of the log does to it.

Keys live in a fixed number of buckets, chosen by a checksum of the key, because of SCAN. Its cursor is the
number of the next bucket, so it means the same on every node and after every restart, costs nothing to keep,
and a key that is there throughout a scan is returned however many others come and go: no key ever changes its
bucket. The price is about 0.1 µs for each access.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from itertools import chain
from typing import Any, ClassVar
from zlib import crc32

from typing_extensions import override

from raft_actors.commands import CommandCodec
from raft_actors.service.deadlines import Deadlines
from raft_actors.service.kept import KEPT_REPLIES
from raft_actors.service.operations import (
    HEAVIEST,
    HIGHEST_INTEGER,
    KEY_VALUE_COMMANDS,
    LOWEST_INTEGER,
    MAX_VALUE_BYTES,
    ExpireOption,
    Operation,
    SetOption,
    UnknownOperation,
    decode,
    decode_parts,
    parse_integer,
)
from raft_actors.service.replies import OK, ErrorReply, Reply, SimpleString
from raft_actors.service.snapshots import encode_snapshot, read_snapshot
from raft_actors.state_machine import StateMachine

BUCKETS = 1 << 14
"""With a million keys, 61 to a bucket: SCAN returns at least one whole bucket at a time."""

NOT_AN_INTEGER = ErrorReply("ERR value is not an integer or out of range")
_OVERFLOW = ErrorReply("ERR increment or decrement would overflow")
_TOO_LONG = ErrorReply("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
_TOO_MUCH_APPENDED = ErrorReply(
    f"ERR the values that APPEND makes in one transaction may have {MAX_VALUE_BYTES} bytes together"
)
_STRING, _NONE = SimpleString("string"), SimpleString("none")

_SET = int(Operation.SET)
_APPEND = int(Operation.APPEND)
_WEIGHTS = {int(Operation.CLEAR): 1000, int(Operation.COUNT_KEYS): 500}
_BYTES_PER_WEIGHT = 4096  # copied in about the time of a plain command
_GET = int(Operation.GET)
_TIME_LEFT = int(Operation.TIME_LEFT)

Bucket = dict[bytes, bytes]
Question = tuple[Any, ...]
"""A read: its `Operation`'s number and arguments."""


class KeyValue(StateMachine[bytes, Reply]):
    """Byte strings by key. Results of `apply` are replies, ready to be encoded.

    A value or a key is limited by the size of a command, and a value that APPEND grows by `MAX_VALUE_BYTES`.
    """

    # A replica of an older version can't carry out what newer ones do: as an outcome it would part ways with them.
    fatal_errors: ClassVar[tuple[type[Exception], ...]] = (UnknownOperation,)
    commands: ClassVar[CommandCodec[Any]] = KEY_VALUE_COMMANDS
    results: ClassVar[CommandCodec[Any]] = KEPT_REPLIES

    def __init__(self, clock: Callable[[], float] = lambda: 0.0) -> None:
        """Begin empty. `clock`: seconds, for how much time a key has left between two entries of the log."""
        self._buckets: list[Bucket] = [{} for _ in range(BUCKETS)]
        self.deadlines: Deadlines = Deadlines(clock)

    # --- the replicated operations ---

    @override
    def apply(self, command: bytes) -> Reply:
        """Carry out one operation.

        Raises:
            UnknownOperation: it is one of a later version, which ends the node; nothing has changed.
            ValueError: the bytes are no command of this machine; nothing has changed.
        """
        number, *arguments = decode(command)
        if number == _SET:
            key, value = arguments
            self._buckets[crc32(key) % BUCKETS][key] = value
            if self.deadlines.at:
                self.deadlines.at.pop(key, None)
            return OK
        return self._operations[number](self, *arguments)

    @override
    def pass_time(self, now_ms: int) -> None:
        for key in self.deadlines.pass_time(now_ms):
            del self._bucket(key)[key]

    def query(self, question: Question) -> Reply:
        """Answer one of the operations that read."""
        number = question[0]
        if number == _GET:
            key = question[1]
            return self._buckets[crc32(key) % BUCKETS].get(key)
        if number == _TIME_LEFT:
            return self._time_left(*question[1:], passed_ms=self.deadlines.passed_ms())
        return self._operations[number](self, *question[1:])

    def _transaction(self, *commands: bytes) -> Reply:
        """Carry out one after the other; the reply is the list of theirs.

        What APPEND makes is bounded: a few thousand to one large value would hold up every node for minutes, and the
        replies to reads between them would hold all of its versions in memory.
        """
        decoded = decode_parts(commands)
        weight = sum(_WEIGHTS.get(number, 1) for number, *_ in decoded)
        if weight > HEAVIEST:  # the service does not propose it; but a client that talks to the node itself may
            raise ValueError(f"a transaction that takes as long as {weight:,} commands, where {HEAVIEST:,} are allowed")
        replies: list[Reply] = []
        appended = 0
        for number, *arguments in decoded:
            if number == _APPEND:
                appended += len(self.get(arguments[0]) or b"") + len(arguments[1])
                if appended > MAX_VALUE_BYTES:
                    replies.append(_TOO_MUCH_APPENDED)
                    continue
            replies.append(self._set(*arguments) if number == _SET else self._operations[number](self, *arguments))
        return replies

    def _pipeline(self, *commands: bytes) -> Reply:
        """Carry out one after the other, and end early where that takes long; the reply is the list of theirs.

        Nobody has asked for all or nothing, so whoever proposed it proposes the rest once more. The first one is
        carried out in any case.
        """
        replies: list[Reply] = []
        weight = 0
        for number, *arguments in decode_parts(commands):
            weight += _WEIGHTS.get(number, 1)
            if number == _APPEND:
                weight += (len(self.get(arguments[0]) or b"") + len(arguments[1])) // _BYTES_PER_WEIGHT
            if weight > HEAVIEST and replies:
                break
            replies.append(self._set(*arguments) if number == _SET else self._operations[number](self, *arguments))
        return replies

    def _set(self, key: bytes, value: bytes) -> Reply:
        self._bucket(key)[key] = value
        self.deadlines.at.pop(key, None)
        return OK

    def _set_with_options(self, key: bytes, value: bytes, options: int) -> Reply:
        bucket = self._bucket(key)
        old = bucket.get(key)
        refused = options & SetOption.IF_ABSENT if old is not None else options & SetOption.IF_PRESENT
        if not refused:
            bucket[key] = value
            if not options & SetOption.KEEP_DEADLINE:
                self.deadlines.at.pop(key, None)
        if options & SetOption.RETURN_OLD:
            return old
        return None if refused else OK

    def _set_if_absent(self, key: bytes, value: bytes) -> Reply:
        bucket = self._bucket(key)
        if key in bucket:
            return 0
        bucket[key] = value
        return 1

    def _set_many(self, *pairs: bytes) -> Reply:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            self._set(key, value)
        return OK

    def _delete(self, *keys: bytes) -> Reply:
        return sum(self._pop(key) is not None for key in keys)

    def _pop(self, key: bytes) -> bytes | None:
        self.deadlines.at.pop(key, None)
        return self._bucket(key).pop(key, None)

    def _increment(self, key: bytes, amount: int) -> Reply:
        bucket = self._bucket(key)
        number = parse_integer(bucket.get(key, b"0"))
        if number is None:
            return NOT_AN_INTEGER
        number += amount
        if not LOWEST_INTEGER <= number <= HIGHEST_INTEGER:
            return _OVERFLOW
        bucket[key] = b"%d" % number
        return number

    def _append(self, key: bytes, value: bytes) -> Reply:
        bucket = self._bucket(key)
        old = bucket.get(key, b"")
        if len(old) + len(value) > MAX_VALUE_BYTES:
            return _TOO_LONG
        bucket[key] = old + value
        return len(old) + len(value)

    def _clear(self) -> Reply:
        self._buckets = [{} for _ in range(BUCKETS)]
        self.deadlines.replace(self.deadlines.now_ms, {})
        return OK

    # --- time ---

    def _set_for(self, key: bytes, value: bytes, options: int, left_ms: int) -> Reply:
        before = self.get(key) is not None
        reply = self._set_with_options(key, value, options)
        if not options & (SetOption.IF_PRESENT if not before else SetOption.IF_ABSENT):
            self._expire_in(key, left_ms)
        return reply

    def _expire_in(self, key: bytes, left_ms: int) -> None:
        if left_ms > 0:
            self.deadlines.set(key, self.deadlines.now_ms + left_ms)
        else:
            self._pop(key)

    def _expire(self, key: bytes, left_ms: int, options: int) -> Reply:
        if self.get(key) is None:
            return 0
        before_ms = self.deadlines.left_ms(key)
        never = before_ms < 0
        if (
            (options & ExpireOption.IF_NONE and not never)
            or (options & (ExpireOption.IF_ANY | ExpireOption.IF_LATER) and never)
            or (options & ExpireOption.IF_LATER and left_ms <= before_ms)
            or (options & ExpireOption.IF_SOONER and not never and left_ms >= before_ms)
        ):
            return 0
        self._expire_in(key, left_ms)
        return 1

    def _persist(self, key: bytes) -> Reply:
        return int(self.deadlines.at.pop(key, None) is not None)

    def _get_and_expire(self, key: bytes, left_ms: int) -> Reply:
        value = self.get(key)
        if value is not None:
            self._expire_in(key, left_ms)
        return value

    def _get_and_persist(self, key: bytes) -> Reply:
        self._persist(key)
        return self.get(key)

    def _time_left(self, key: bytes, unit_ms: int, *, passed_ms: int = 0) -> Reply:
        if self.get(key) is None:
            return -2
        left_ms = self.deadlines.left_ms(key, passed_ms)
        return left_ms if left_ms < 0 else (left_ms + unit_ms // 2) // unit_ms

    def _time_passed(self) -> Reply:
        return OK

    # --- reading ---

    def _get_many(self, *keys: bytes) -> Reply:
        return list(map(self.get, keys))

    def _exists(self, *keys: bytes) -> Reply:
        return sum(self.get(key) is not None for key in keys)

    def _length(self, key: bytes) -> Reply:
        return len(self.get(key) or b"")

    def _type(self, key: bytes) -> Reply:
        return _NONE if self.get(key) is None else _STRING

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        return self._buckets[crc32(key) % BUCKETS].get(key)

    def __len__(self) -> int:
        """How many keys there are."""
        return sum(map(len, self._buckets))

    def _bucket(self, key: bytes) -> Bucket:
        return self._buckets[crc32(key) % BUCKETS]

    _operations: ClassVar[dict[int, Callable[..., Reply]]] = {
        Operation.SET_WITH_OPTIONS: _set_with_options,
        Operation.SET_IF_ABSENT: _set_if_absent,
        Operation.SET_MANY: _set_many,
        Operation.DELETE: _delete,
        Operation.INCREMENT: _increment,
        Operation.APPEND: _append,
        Operation.CLEAR: _clear,
        Operation.GET: get,
        Operation.GET_MANY: _get_many,
        Operation.EXISTS: _exists,
        Operation.LENGTH: _length,
        Operation.TYPE: _type,
        Operation.COUNT_KEYS: __len__,
        Operation.TRANSACTION: _transaction,
        Operation.PIPELINE: _pipeline,
        Operation.GET_AND_DELETE: _pop,
        Operation.SET_FOR: _set_for,
        Operation.EXPIRE: _expire,
        Operation.PERSIST: _persist,
        Operation.GET_AND_EXPIRE: _get_and_expire,
        Operation.GET_AND_PERSIST: _get_and_persist,
        Operation.TIME_LEFT: _time_left,
        Operation.PASS_TIME: _time_passed,
    }

    # --- reading all keys, or some of them ---

    def list_keys(self) -> list[bytes]:
        """All keys; for a million, 30 ms."""
        return list(chain.from_iterable(self._buckets))

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """About `count` keys (whole buckets) from `cursor` on, and the cursor to go on with: 0 at the end."""
        found: list[bytes] = []
        for number in range(cursor, BUCKETS):
            found += self._buckets[number]
            if len(found) >= count and number + 1 < BUCKETS:
                return number + 1, found
        return 0, found

    # --- snapshots ---

    @override
    def snapshot(self) -> Iterable[bytes]:
        """The state as it is now.

        Copies references at once (a million keys: 80 ms), and encodes while it is drawn from.
        """
        buckets = [bucket.copy() for bucket in self._buckets if bucket]
        return encode_snapshot(buckets, self.deadlines.now_ms, self.deadlines.at.copy())

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Replace the state by a snapshot's, once all of it was read.

        Raises:
            ValueError: the bytes are no snapshot of this machine, or end early.
        """
        buckets: list[Bucket] = [{} for _ in range(BUCKETS)]

        def put(key: bytes, value: bytes) -> None:
            buckets[crc32(key) % BUCKETS][key] = value

        now_ms, at = await read_snapshot(chunks, put)
        if not all(key in buckets[crc32(key) % BUCKETS] for key in at):
            raise ValueError("no snapshot of a key-value machine: a key that is not there is to expire")
        self._buckets = buckets
        self.deadlines.replace(now_ms, at)
