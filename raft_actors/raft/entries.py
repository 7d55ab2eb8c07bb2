"""Log entries, in the form they keep from proposal to disk.

The log is a sequence of *batches*: runs of consecutive entries of one term and one kind, encoded once by the leader
that created them. The same bytes are sent, stored, read back and forwarded, and are taken apart only where a state
machine applies them. A batch of one is an ordinary entry.

Encoded form, big-endian:

    crc32 of all that follows  u32
    first index                u64
    term                       u64
    kind                       u8
    count of entries           u32
    length of each command     u32 × count
    the commands, concatenated
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import accumulate, pairwise

import attrs

from raft_actors.records import frozen, record

_U32 = struct.Struct(">I")
_HEADER = struct.Struct(">QQBI")
_HEADER_OF_ONE = struct.Struct(">QQBII")  # with the length of the only command
_BEGINNING = struct.Struct(">IQQBI")
_PREFIX = _BEGINNING.size
_LENGTH = _U32.size
_LARGE_COMMAND = 4096

#: Bytes that a batch of `n` commands needs beyond the commands themselves: `BATCH_OVERHEAD + n * ENTRY_OVERHEAD`.
BATCH_OVERHEAD = _PREFIX
ENTRY_OVERHEAD = _LENGTH


class EntryKind(enum.IntEnum):
    """What an entry is for."""

    NOOP = 0
    """Starts a leader's term, or marks a point for a read; never reaches the state machine (Raft paper §8)."""
    COMMAND = 1
    """A command for the state machine."""
    SESSION = 3
    """Changes the table of sessions; a session's command reaches the state machine at most once (`raft.sessions`)."""
    CONFIGURATION = 2
    """Who is in the cluster from here on (`membership_codec`); never reaches the state machine (§6)."""


_KINDS = {kind.value: kind for kind in EntryKind}


@frozen
class Entry:
    """One entry taken out of its batch."""

    index: int
    term: int
    kind: EntryKind
    command: bytes


@record
class EntryBatch:
    """Consecutive entries `first_index … last_index` of one term and kind, with their encoded bytes.

    Make one with `encode` or `decode`: the fields repeat what `data` says.
    """

    first_index: int = attrs.field(eq=False)
    last_index: int = attrs.field(eq=False)
    term: int = attrs.field(eq=False)
    kind: EntryKind = attrs.field(eq=False)
    data: bytes = attrs.field(repr=False)

    @classmethod
    def encode(cls, first_index: int, term: int, kind: EntryKind, commands: Sequence[bytes]) -> EntryBatch:
        """Encode one or more commands as the entries from `first_index` on."""
        count = len(commands)
        if count == 1:
            size = len(commands[0])
            head = _HEADER_OF_ONE.pack(first_index, term, kind, 1, size)
        else:
            lengths = list(map(len, commands))
            size = sum(lengths)
            head = _HEADER.pack(first_index, term, kind, count) + struct.pack(f">{count}I", *lengths)
        if size < _LARGE_COMMAND * count:
            body = b"".join((head, *commands))
            data = _U32.pack(zlib.crc32(body)) + body
        else:  # one call for each costs less than to copy them once more
            checksum = reduce(lambda value, command: zlib.crc32(command, value), commands, zlib.crc32(head))
            data = b"".join((_U32.pack(checksum), head, *commands))
        return cls(first_index, first_index + count - 1, term, kind, data)

    @classmethod
    def decode(cls, data: bytes) -> EntryBatch:
        """Check and open an encoded batch.

        Raises:
            ValueError: the checksum, a length or a field is wrong; the message says which.
        """
        if len(data) < _PREFIX:
            raise ValueError(f"an entry batch of {len(data)} bytes is shorter than its header")
        checksum, first_index, term, kind_number, count = _BEGINNING.unpack_from(data)
        if checksum != zlib.crc32(memoryview(data)[_U32.size :]):
            raise ValueError(f"the entry batch that says it starts at index {first_index} fails its checksum")
        if not first_index or not term or not count or len(data) < _PREFIX + count * _LENGTH:
            raise ValueError(f"impossible entry batch: index {first_index}, term {term}, {count} entries")
        lengths = _U32.unpack_from(data, _PREFIX) if count == 1 else struct.unpack_from(f">{count}I", data, _PREFIX)
        if _PREFIX + count * _LENGTH + sum(lengths) != len(data):
            raise ValueError(f"the commands of the entry batch at index {first_index} do not fill it")
        kind = _KINDS.get(kind_number)
        if kind is None:
            raise ValueError(f"the entry batch at index {first_index} is of kind {kind_number}, which there is not")
        return cls(first_index, first_index + count - 1, term, kind, data)

    def __len__(self) -> int:
        """How many entries the batch holds."""
        return self.last_index - self.first_index + 1

    @property
    def size(self) -> int:
        """Encoded size in bytes."""
        return len(self.data)

    def commands(self) -> list[bytes]:
        """Each entry's command, in order of index."""
        data, count = self.data, len(self)
        start = _PREFIX + count * _LENGTH
        if count == 1:
            return [data[start:]]
        ends = list(accumulate(struct.unpack_from(f">{count}I", data, _PREFIX), initial=start))
        return [data[a:b] for a, b in pairwise(ends)]

    def entries(self) -> Iterator[Entry]:
        """Each entry on its own, in order of index."""
        for offset, command in enumerate(self.commands()):
            yield Entry(self.first_index + offset, self.term, self.kind, command)

    def since(self, index: int) -> EntryBatch:
        """The part from `index` on (the batch itself where that is all of it)."""
        if index <= self.first_index:
            return self
        return EntryBatch.encode(index, self.term, self.kind, self.commands()[index - self.first_index :])

    def before(self, index: int) -> EntryBatch:
        """The part below `index`, which must not be empty (the batch itself where that is all of it)."""
        if index > self.last_index:
            return self
        return EntryBatch.encode(self.first_index, self.term, self.kind, self.commands()[: index - self.first_index])
