"""AppendEntries and its answer as arrays and back: nearly all that nodes say to each other, so written out by hand.

What `codec` makes of all other messages' fields would come to the same arrays, at twice the price. Here is also how
entry batches travel, for other messages that carry some.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

from raft_actors.errors import ProtocolError
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.membership_codec import decode_configuration
from raft_actors.raft.messages import AppendEntries, AppendEntriesAccepted

APPEND_ENTRIES, ACCEPTED = 3, 4
"""Their numbers on the wire."""

MAX_INT = 2**62
"""No honest term or index is larger, and sums of two still fit the signed 64 bits that a store has for them."""

pack_u32: Callable[[int], bytes] = struct.Struct(">I").pack
"""A length, as it is written before what has it."""


def no_int(value: Any) -> ProtocolError:
    """The error for a field that is no term, index or number."""
    return ProtocolError(f"an int from 0 to 2**62 expected, not {type(value).__name__} {str(value)[:40]}")


# --- batches -------------------------------------------------------------------------------------------------


def open_batches(value: Any, _cls: Any = None) -> tuple[EntryBatch, ...]:
    """Take entry batches out of an array of two byte strings: the lengths of all, and all of them.

    Raises:
        ProtocolError, ValueError, struct.error: they are none.
    """
    match value:
        case [bytes(packed), bytes(data)]:
            if len(packed) == 4:  # slicing and adding up is for more than one
                if packed != pack_u32(len(data)):
                    raise ProtocolError(f"an entry batch of {int.from_bytes(packed, 'big')} bytes in {len(data)}")
                return (_open_batch(data),)
            lengths = struct.unpack(f">{len(packed) // 4}I", packed)  # struct.error: not a multiple of 4
            ends = list(accumulate(lengths, initial=0))
            if ends[-1] != len(data):
                raise ProtocolError(f"entry batches of {ends[-1]} bytes in {len(data)}")
            return tuple([_open_batch(data[start:end]) for start, end in pairwise(ends)])
        case _:
            raise ProtocolError("entries must be an array of two byte strings")


def _open_batch(data: bytes) -> EntryBatch:
    batch = EntryBatch.decode(data)
    if batch.last_index > MAX_INT or batch.term > MAX_INT:
        raise ProtocolError(f"absurd entry batch: it ends at index {batch.last_index}, in term {batch.term}")
    if batch.kind is EntryKind.CONFIGURATION:
        for command in batch.commands():
            decode_configuration(command)  # ValueError: what it says can't be taken into force
    return batch


def batches_array(batches: tuple[EntryBatch, ...]) -> list[bytes]:
    """The array that `open_batches` takes. Joining (and, there, slicing) copies nothing where there is one batch."""
    if len(batches) == 1:
        data = batches[0].data
        return [pack_u32(len(data)), data]
    parts = [batch.data for batch in batches]
    return [struct.pack(f">{len(parts)}I", *map(len, parts)), b"".join(parts)]


# --- the messages --------------------------------------------------------------------------------------------


def append_entries_array(message: AppendEntries) -> list[Any]:
    """The array of its tag and fields."""
    return [
        APPEND_ENTRIES,
        message.term,
        message.prev_log_index,
        message.prev_log_term,
        message.leader_commit,
        batches_array(message.entries),
        message.wants_reply,
    ]


def accepted_array(message: AppendEntriesAccepted) -> list[Any]:
    """The array of its tag and fields."""
    return [ACCEPTED, message.term, message.match_index]


def open_append_entries(array: list[Any]) -> AppendEntries:
    """Make the message of an array of its tag and fields.

    Raises:
        ProtocolError, ValueError, struct.error: no honest leader sends it.
    """
    if len(array) != 7:
        raise ProtocolError("AppendEntries takes an array of 6 fields")
    _, term, prev_log_index, prev_log_term, leader_commit, batches, wants_reply = array
    for value in (term, prev_log_index, prev_log_term, leader_commit):
        if type(value) is not int or not 0 <= value <= MAX_INT:  # `type() is`, because a bool is an int to isinstance
            raise no_int(value)
    if type(wants_reply) is not bool:
        raise ProtocolError(f"a bool expected, not {type(wants_reply).__name__}")
    entries = open_batches(batches)
    _check_entries(entries, term, prev_log_index, prev_log_term)
    return AppendEntries(term, prev_log_index, prev_log_term, leader_commit, entries, wants_reply)


def _check_entries(entries: tuple[EntryBatch, ...], leader_term: int, index: int, term: int) -> None:
    """Refuse entries that no leader can have in its log: a gap, an overlap, or a term that goes down (§5.3)."""
    for batch in entries:
        if batch.first_index != index + 1 or batch.term < term:
            raise ProtocolError(
                f"entries at index {batch.first_index} of term {batch.term} can't follow index {index} of term {term}"
            )
        index, term = batch.last_index, batch.term
    if term > leader_term:
        raise ProtocolError(f"an entry of term {term} from a leader of term {leader_term}")


def open_accepted(array: list[Any]) -> AppendEntriesAccepted:
    """Make the message of an array of its tag and fields.

    Raises:
        ProtocolError: it is none.
    """
    if len(array) != 3:
        raise ProtocolError("AppendEntriesAccepted takes an array of 2 fields")
    _, term, match_index = array
    for value in (term, match_index):
        if type(value) is not int or not 0 <= value <= MAX_INT:
            raise no_int(value)
    return AppendEntriesAccepted(term, match_index)
