"""Messages as bytes and back.

A message is a msgpack array: a small number that names its class, then its fields in the order of the class, an attrs
class inside it as an array of its own. Names are not on the wire, so a field or class may be renamed.

How it may grow, so that nodes of different versions understand each other:

- A new class gets a new number. A node that does not know the number drops the message (`UnknownMessage`).
- A new field goes to the end of its message, with a default and `metadata={SINCE: version}`. A node that does not know
  it drops it; where it is missing, because the sender is older, it has its default. It holds an int, a bool, bytes or
  None: what else there is to say goes into bytes with an encoding of their own. A class inside a message never grows.
- Anything else, above all another meaning of what is there, needs a protocol version that a peer has agreed to
  (`handshake.ProtocolRange`).

Entry batches travel as the opaque bytes that they were encoded as when they were proposed: an array of two byte
strings, the length of each batch (u32, big-endian) and the batches, one after another.

Everything that a peer can send is either a valid message or a `ProtocolError`, and costs memory in proportion to its
size. That is why batches are no array of their own: msgpack's strings, maps and extension types are refused outright,
and so are long arrays, and more of them than a message has (an empty array takes one byte to send and 64 to hold).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import MappingProxyType, NoneType
from typing import Any

import attrs
import msgpack  # pyright: ignore[reportMissingTypeStubs]
from cattrs.preconf.msgpack import MsgpackConverter, make_converter

from raft_actors.errors import InternalError, ProtocolError
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.membership_codec import decode_configuration
from raft_actors.raft.messages import (
    DIGEST_BYTES,
    SINCE,
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    ConfirmLeader,
    ConfirmLeaderReply,
    ForwardProposals,
    ForwardReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    ReadIndexReply,
    RequestLeave,
    RequestPreVote,
    RequestPreVoteReply,
    RequestReadIndex,
    RequestVote,
    RequestVoteReply,
    StateDigest,
    TimeoutNow,
)
from raft_actors.strict import forbid_coercion
from raft_actors.transports.abc import PeerStatistics
from raft_actors.transports.wire.appends import (
    ACCEPTED,
    APPEND_ENTRIES,
    MAX_INT,
    accepted_array,
    append_entries_array,
    batches_array,
    no_int,
    open_accepted,
    open_append_entries,
    open_batches,
    pack_u32,
)

TAGS = MappingProxyType(
    {
        1: RequestVote,
        2: RequestVoteReply,
        APPEND_ENTRIES: AppendEntries,
        ACCEPTED: AppendEntriesAccepted,
        5: AppendEntriesRejected,
        6: InstallSnapshot,
        7: InstallSnapshotReply,
        8: RequestPreVote,
        9: RequestPreVoteReply,
        10: TimeoutNow,
        11: ConfirmLeader,
        12: ConfirmLeaderReply,
        13: RequestReadIndex,
        14: ReadIndexReply,
        15: RequestLeave,
        16: ForwardProposals,
        17: ForwardReply,
        18: StateDigest,
    }
)
"""The number, from 1 to 127, that stands for each class on the wire. Once used, it keeps its meaning for ever."""

_LENGTHS = MappingProxyType({tag: 1 + len(attrs.fields(cls)) for tag, cls in TAGS.items()})

_MAX_ARRAYS = 2  # the message, and its entries or its snapshot's metadata
_MAX_ARRAY_LENGTH = 16  # more than the fields of any message, those of newer versions among them

_ENVELOPE_BYTES = 96  # more than all of a message but its entries and snapshot data can take
_LENGTH_BYTES = 4

# msgpack, where it is read by hand: an array of up to 15, a longer one; a small number is a byte of its own.
_FIXARRAY, _MAX_FIXED, _ARRAY_16, _MAX_TAG = 0x90, 15, 0xDC, 127
# Where it is written by hand: an array of two, a byte string by its length in 8 and in 32 bits.
_TWO, _BIN_8, _BIN_32 = b"\x92", b"\xc4", b"\xc6"
_NO_BYTES = _BIN_8 + b"\0"
_NO_ENTRIES = _TWO + 2 * _NO_BYTES


class UnknownMessage(ProtocolError):
    """A message of a class that this version does not know: from a newer node, and to be dropped."""

    def __init__(self, tag: int) -> None:
        self.tag = tag
        super().__init__(f"a message of kind {tag}, which this version does not know")


_Structure = Callable[[Any, Any], Any]
_Unstructure = Callable[[Any], list[Any]]


# --- the hooks -----------------------------------------------------------------------------------------------


def _structure_int(value: Any, _cls: Any) -> int:
    # `type() is`, because a bool is an int to isinstance.
    if type(value) is not int or not 0 <= value <= MAX_INT:
        raise no_int(value)
    return value


def structure_fields(cls: type[Any], converter: MsgpackConverter) -> _Structure:
    """Make the hook that takes an array of `cls`'s fields, in order; those with `SINCE` may be missing."""
    attrs.resolve_types(cls)
    fields = attrs.fields(cls)
    hooks = [(converter.get_structure_hook(field.type), field.type) for field in fields]
    most, least = len(fields), sum(SINCE not in field.metadata for field in fields)

    def structure(value: Any, _cls: Any) -> Any:
        items: list[Any] = value
        if type(value) is not list or not least <= len(items) <= most:
            raise ProtocolError(f"{cls.__name__} takes an array of {most} fields")
        return cls(*[hook(item, kind) for item, (hook, kind) in zip(items, hooks, strict=False)])

    return structure


def _unstructure_fields(cls: type[Any], converter: MsgpackConverter) -> _Unstructure:
    """Make the hook that turns a `cls` into the array of its fields, a message with its tag in front."""
    attrs.resolve_types(cls)
    plain = (int, bool, bytes, int | None)  # msgpack packs these as they are
    hooks = [
        (field.name, None if field.type in plain else converter.get_unstructure_hook(field.type))
        for field in attrs.fields(cls)
    ]
    tag = [number for number, tagged in TAGS.items() if tagged is cls]

    def unstructure(value: Any) -> list[Any]:
        return tag + [getattr(value, name) if hook is None else hook(getattr(value, name)) for name, hook in hooks]

    return unstructure


def _check_snapshot(message: InstallSnapshot) -> None:
    """Refuse a snapshot of a later term than its leader's, and a configuration that is none, or that a snapshot which
    ends before it can't end with.
    """
    if message.snapshot.term > message.term:
        raise ProtocolError(f"a snapshot of term {message.snapshot.term} from a leader of term {message.term}")
    stored = message.stored_configuration()
    if stored is not None:
        if not 0 < stored.index <= message.snapshot.index:
            raise ProtocolError(f"a snapshot to index {message.snapshot.index} with a configuration of {stored.index}")
        decode_configuration(stored.data)


def _check_digest(message: StateDigest) -> None:
    if len(message.digest) != DIGEST_BYTES:
        raise ProtocolError(f"a state digest of {len(message.digest)} bytes")


def _make_converter() -> MsgpackConverter:
    converter = make_converter(detailed_validation=False, forbid_extra_keys=True)
    forbid_coercion(converter)
    converter.register_structure_hook(int, _structure_int)
    converter.register_structure_hook_func(lambda cls: cls == tuple[EntryBatch, ...], open_batches)
    converter.register_unstructure_hook_func(lambda cls: cls == tuple[EntryBatch, ...], batches_array)

    def structure_factory(cls: type[Any]) -> _Structure:
        return structure_fields(cls, converter)

    def unstructure_factory(cls: type[Any]) -> _Unstructure:
        return _unstructure_fields(cls, converter)

    converter.register_structure_hook_factory(attrs.has, structure_factory)
    converter.register_unstructure_hook_factory(attrs.has, unstructure_factory)
    return converter


def _opener(cls: type[Any], converter: MsgpackConverter) -> Callable[[list[Any]], Any]:
    """Make what makes a `cls` of the array of its tag and fields."""
    hook = converter.get_structure_hook(cls)
    checks: dict[type[Any], Callable[[Any], None]] = {InstallSnapshot: _check_snapshot, StateDigest: _check_digest}
    check = checks.get(cls)

    def open_message(array: list[Any]) -> Any:
        message = hook(array[1:], cls)
        if check is not None:
            check(message)
        return message

    return open_message


_converter = _make_converter()
# Looked up once, because to look costs as much as to use it.
_OPENERS: dict[int, Callable[[list[Any]], Message]] = {
    **{tag: _opener(cls, _converter) for tag, cls in TAGS.items()},
    APPEND_ENTRIES: open_append_entries,
    ACCEPTED: open_accepted,
}
_ARRAYS: dict[type[Any], _Unstructure] = {
    **{cls: _converter.get_unstructure_hook(cls) for cls in TAGS.values()},
    AppendEntries: append_entries_array,
    AppendEntriesAccepted: accepted_array,
}
_msgpack: Any = msgpack


# --- encode and decode ---------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Return the message's bytes.

    Raises:
        InternalError: the message is none, or holds what no message may.
    """
    array_of = _ARRAYS.get(type(message))
    if array_of is None:
        raise InternalError(f"{type(message).__name__} has no number on the wire")
    try:
        data: bytes = _msgpack.packb(array_of(message))
    except (TypeError, ValueError, OverflowError) as error:
        raise InternalError(f"{type(message).__name__} can't be encoded: {error!r}") from error
    return data


def encode_parts(message: AppendEntries | InstallSnapshot) -> list[bytes]:
    """Return the message's bytes in parts: those before its batches or chunk, each of these, not copied, and the rest.

    Raises:
        InternalError: as `encode`.
    """
    if isinstance(message, InstallSnapshot):
        # Without a chunk, the message is what comes before it, an empty string, and what comes after.
        after: bytes = _msgpack.packb(message.done) + _msgpack.packb(message.configuration)
        before = encode(attrs.evolve(message, data=b"")).removesuffix(_NO_BYTES + after)
        return [b"".join((before, _BIN_32, pack_u32(len(message.data)))), message.data, after]
    batches = [batch.data for batch in message.entries]
    lengths = struct.pack(f">{len(batches)}I", *map(len, batches))
    # Without entries, the message is what comes before them, two empty strings, and what comes after.
    before, after = encode(attrs.evolve(message, entries=())).rsplit(_NO_ENTRIES, 1)
    size = sum(map(len, batches))
    head = b"".join((before, _TWO, _BIN_32, pack_u32(len(lengths)), lengths, _BIN_32, pack_u32(size)))
    return [head, *batches, after]


def decode(data: bytes | memoryview, counted: PeerStatistics | None = None) -> Message:
    """Return the message that `data` encodes.

    Args:
        data: the bytes, all of them.
        counted: where to count fields that this version does not know.

    Raises:
        UnknownMessage: it is of a class that only a newer version knows.
        ProtocolError: the bytes are no message, or one that no honest peer sends.
    """
    try:
        return _decode(data, counted)
    except ProtocolError:
        raise
    except Exception as error:  # msgpack, cattrs and EntryBatch raise whatever the bytes provoke
        raise ProtocolError(f"{len(data)} bytes are no message: {error!r}") from error


def _decode(data: bytes | memoryview, counted: PeerStatistics | None) -> Message:
    if len(data) >= 2 and data[1] not in TAGS:
        _check_known(data)
    arrays = 0

    def count_array(items: list[Any]) -> list[Any]:
        nonlocal arrays
        arrays += 1
        if arrays > _MAX_ARRAYS:
            raise ProtocolError(f"more than {_MAX_ARRAYS} arrays in one message")
        return items

    unpacked: Any = _msgpack.unpackb(
        data,
        list_hook=count_array,
        max_array_len=_MAX_ARRAY_LENGTH,
        max_str_len=0,
        max_map_len=0,
        max_ext_len=0,
    )
    array: list[Any] = unpacked
    if type(unpacked) is not list or not array or type(array[0]) is not int or array[0] not in _OPENERS:
        raise ProtocolError("a message is an array that starts with a number")
    surplus = len(array) - _LENGTHS[array[0]]
    if surplus > 0:
        _drop_unknown_fields(array, surplus, counted)
    return _OPENERS[array[0]](array)


def _check_known(data: bytes | memoryview) -> None:
    """Raise `UnknownMessage` where the bytes begin as a message of a newer version; what follows may be anything."""
    is_short = _FIXARRAY < data[0] <= _FIXARRAY | _MAX_FIXED
    tag = data[1] if is_short else data[3] if data[0] == _ARRAY_16 and len(data) >= 4 else 0
    if 0 < tag <= _MAX_TAG and tag not in TAGS:
        raise UnknownMessage(tag)


def _drop_unknown_fields(array: list[Any], surplus: int, counted: PeerStatistics | None) -> None:
    for value in array[-surplus:]:
        if type(value) not in (int, bool, bytes, NoneType):
            raise ProtocolError(f"a field that can be in no message: {type(value).__name__}")
    del array[-surplus:]
    if counted is not None:
        counted.unknown_fields += surplus


def size_bound(message: Message) -> int:
    """Return a number of bytes, cheap to find, that the encoded message does not exceed (and comes close to)."""
    if isinstance(message, AppendEntries | ForwardProposals):
        size = _ENVELOPE_BYTES
        for batch in message.entries:
            size += len(batch.data) + _LENGTH_BYTES
        return size
    if type(message) is InstallSnapshot:
        return _ENVELOPE_BYTES + len(message.data) + len(message.configuration)
    return _ENVELOPE_BYTES
