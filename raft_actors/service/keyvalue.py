"""The state machine: a dictionary of byte strings, and what each operation of the log does to it.

Keys live in a fixed number of buckets, chosen by a checksum of the key, because of SCAN. Its cursor is the
number of the next bucket, so it means the same on every node and after every restart, costs nothing to keep,
and a key that is there throughout a scan is returned however many others come and go: no key ever changes its
bucket. The price is about 0.1 µs for each access.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from itertools import chain
from typing import Any, ClassVar
from zlib import crc32

from typing_extensions import override

from raft_actors.commands import CommandCodec
from raft_actors.service.kept import KEPT_REPLIES
from raft_actors.service.operations import (
    ALL_OPTIONS,
    HEAVIEST,
    HIGHEST_INTEGER,
    LOWEST_INTEGER,
    MAX_VALUE_BYTES,
    Operation,
    SetOption,
    UnknownOperation,
    decode,
    parse_integer,
)
from raft_actors.service.packing import open_packer, open_unpacker
from raft_actors.service.replies import OK, ErrorReply, Reply, SimpleString
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
_COMPOUND = frozenset({int(Operation.TRANSACTION), int(Operation.PIPELINE)})
_WEIGHTS = {int(Operation.CLEAR): 1000, int(Operation.COUNT_KEYS): 500}
_BYTES_PER_WEIGHT = 4096  # copied in about the time of a plain command
_SNAPSHOT_MARK = b"raft_actors key-value 1"
_SNAPSHOT_PIECE_BYTES = 64 * 1024

Bucket = dict[bytes, bytes]
Question = tuple[Any, ...]
"""A read: its `Operation`'s number and arguments."""


class KeyValue(StateMachine[bytes, Reply]):
    """Byte strings by key. Results of `apply` are replies, ready to be encoded.

    A value or a key is limited by the size of a command, and a value that APPEND grows by `MAX_VALUE_BYTES`.
    """

    # A replica of an older version can't carry out what newer ones do: as an outcome it would part ways with them.
    fatal_errors: ClassVar[tuple[type[Exception], ...]] = (UnknownOperation,)
    results: ClassVar[CommandCodec[Any]] = KEPT_REPLIES

    def __init__(self) -> None:
        self._buckets: list[Bucket] = [{} for _ in range(BUCKETS)]

    # --- the replicated operations ---

    @override
    def apply(self, command: bytes) -> Reply:
        """Carry out one operation.

        Raises:
            UnknownOperation: it is one of a later version, which ends the node; nothing has changed.
            ValueError, TypeError: the bytes are no command of this machine; nothing has changed.
        """
        number, *arguments = decode(command)
        if number == _SET:
            key, value = arguments
            self._buckets[crc32(key) % BUCKETS][key] = value
            return OK
        return self._operations[number](self, *arguments)

    def query(self, question: Question) -> Reply:
        """Answer one of the operations that read."""
        return self._operations[question[0]](self, *question[1:])

    def _transaction(self, *commands: bytes) -> Reply:
        """Carry out one after the other; the reply is the list of theirs.

        What APPEND makes is bounded: a few thousand to one large value would hold up every node for minutes, and the
        replies to reads between them would hold all of its versions in memory.
        """
        decoded = _decode_parts(commands)
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
        for number, *arguments in _decode_parts(commands):
            weight += _WEIGHTS.get(number, 1)
            if number == _APPEND:
                weight += (len(self.get(arguments[0]) or b"") + len(arguments[1])) // _BYTES_PER_WEIGHT
            if weight > HEAVIEST and replies:
                break
            replies.append(self._set(*arguments) if number == _SET else self._operations[number](self, *arguments))
        return replies

    def _set(self, key: bytes, value: bytes) -> Reply:
        self._bucket(key)[key] = value
        return OK

    def _set_with_options(self, key: bytes, value: bytes, options: int) -> Reply:
        if options & ~ALL_OPTIONS:
            raise UnknownOperation(f"no key-value command: options {options} of SET are of a later version")
        bucket = self._bucket(key)
        old = bucket.get(key)
        refused = options & SetOption.IF_ABSENT if old is not None else options & SetOption.IF_PRESENT
        if not refused:
            bucket[key] = value
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
            self._bucket(key)[key] = value
        return OK

    def _delete(self, *keys: bytes) -> Reply:
        return sum(self._bucket(key).pop(key, None) is not None for key in keys)

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
        return OK

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
        return _encode_snapshot([bucket.copy() for bucket in self._buckets if bucket])

    @override
    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Replace the state by a snapshot's, once all of it was read.

        Raises:
            ValueError: the bytes are no snapshot of this machine, or end early.
        """
        buckets: list[Bucket] = [{} for _ in range(BUCKETS)]
        unpacker = open_unpacker()
        expected, count = None, 0
        fields: list[Any] = []
        async for chunk in chunks:
            unpacker.feed(chunk)
            fields.extend(unpacker)
            if expected is None and len(fields) >= 2:
                mark, expected = fields[:2]
                if mark != _SNAPSHOT_MARK or type(expected) is not int:
                    raise ValueError("no snapshot of a key-value machine, or one of a later version")
                del fields[:2]
            if expected is not None:
                whole = len(fields) // 2 * 2
                for key, value in zip(fields[0:whole:2], fields[1:whole:2], strict=True):
                    buckets[crc32(key) % BUCKETS][key] = value
                del fields[:whole]
                count += whole // 2
        if fields or count != expected:
            raise ValueError(f"the snapshot ends early: {count} keys of {expected}")
        self._buckets = buckets


def _decode_parts(commands: Iterable[bytes]) -> list[list[Any]]:
    """The commands within one, of which none has any itself.

    Raises as `decode` does.
    """
    decoded = list(map(decode, commands))
    if any(number in _COMPOUND for number, *_ in decoded):
        raise ValueError("no key-value command: a transaction in a transaction")
    return decoded


def _encode_snapshot(buckets: list[Bucket]) -> Iterator[bytes]:
    """A mark, the number of keys, then key and value by turns, each as msgpack."""
    packer = open_packer()
    packer.pack(_SNAPSHOT_MARK)
    packer.pack(sum(map(len, buckets)))
    buckets.reverse()
    while buckets:
        for key, value in buckets.pop().items():  # what is encoded need not be kept alive any longer
            packer.pack(key)
            if len(value) < _SNAPSHOT_PIECE_BYTES:
                packer.pack(value)
            else:
                # The header by hand and then the value itself: a large value is never copied.
                yield packer.bytes() + b"\xc6" + len(value).to_bytes(4, "big")
                packer.reset()
                yield value
        if len(packer.getbuffer()) >= _SNAPSHOT_PIECE_BYTES:
            yield packer.bytes()
            packer.reset()
    yield packer.bytes()
