from __future__ import annotations

import random
from typing import Any, get_args

import attrs
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.errors import InternalError, ProtocolError
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.messages import (
    SINCE,
    AppendEntries,
    ForwardReply,
    InstallSnapshot,
    Message,
    RequestVote,
)
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.transports.wire.appends import MAX_INT
from raft_actors.transports.wire.codec import (
    TAGS,
    decode,
    encode,
    encode_parts,
    size_bound,
)
from tests.transports.messages import MESSAGES
from tests.transports.support import BATCHES, SAMPLES


def pack(value: object) -> bytes:
    data: Any = msgpack.packb(value)
    return bytes(data)


def packed(message: Message) -> list[Any]:
    fields: Any = msgpack.unpackb(encode(message))
    return list(fields)


WRONG_TERM: Any = {1j}


def batch_of(index: int, term: int, count: int = 1) -> EntryBatch:
    return EntryBatch.encode(index, term, EntryKind.COMMAND, [b"x"] * count)


# --- round trips ---------------------------------------------------------------------------------------------


@given(MESSAGES)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    copy = decode(encode(message))
    assert copy == message
    assert type(copy) is type(message)


@given(MESSAGES)
def test_the_size_bound_is_none_too_low_and_close(message: Message) -> None:
    size = len(encode(message))
    assert size <= size_bound(message) <= size + 100 + 4 * 6


def test_the_size_bound_counts_every_batch() -> None:
    message = AppendEntries(4, 0, 0, 0, tuple(batch_of(index, 1) for index in range(1, 1_001)))
    size = len(encode(message))
    assert size <= size_bound(message) <= size + 100


def test_decoded_batches_know_what_they_hold() -> None:
    message = AppendEntries(4, 7, 2, 6, (batch_of(8, 2, 3), batch_of(11, 4)))
    copy = decode(encode(message))
    assert isinstance(copy, AppendEntries)
    assert copy.last_index == 11
    assert [(b.first_index, b.last_index, b.term, b.kind) for b in copy.entries] == [
        (8, 10, 2, EntryKind.COMMAND),
        (11, 11, 4, EntryKind.COMMAND),
    ]


def test_batches_travel_as_the_bytes_they_were_encoded_as() -> None:
    batch = batch_of(8, 2, 3)
    assert batch.data in encode(AppendEntries(4, 7, 2, 6, (batch,)))


@given(MESSAGES)
def test_a_message_in_parts_is_the_same_message(message: Message) -> None:
    if isinstance(message, AppendEntries):
        head, *batches, rest = encode_parts(message)
        assert decode(b"".join([head, *batches, rest])) == message
        assert all(part is batch.data for part, batch in zip(batches, message.entries, strict=True))
    if isinstance(message, InstallSnapshot):
        for data in (message.data, bytes(100_000)):
            with_data = attrs.evolve(message, data=data)
            head, chunk, rest = encode_parts(with_data)
            assert decode(head + chunk + rest) == with_data
            assert chunk is data


def test_every_message_has_a_number() -> None:
    assert set(TAGS.values()) == set(get_args(Message))
    assert len(set(TAGS.values())) == len(TAGS)
    assert {type(message) for message in SAMPLES.values()} == set(TAGS.values())  # which are all looked at below


def test_the_wire_format_stays_what_it_is() -> None:
    """The module's text says what may be added to these bytes; any other change needs a new protocol version."""
    one, two = (batch.data.hex() for batch in BATCHES)
    assert {name: encode(message).hex() for name, message in SAMPLES.items()} == {
        "RequestPreVote": "95 08 04 0b 03 02".replace(" ", ""),
        "RequestPreVoteReply": "94 09 04 02 c3".replace(" ", ""),
        "TimeoutNow": "93 0a 04 c2".replace(" ", ""),
        "RequestLeave": "92 0f 04".replace(" ", ""),
        "ConfirmLeader": "93 0b 04 07".replace(" ", ""),
        "ConfirmLeaderReply": "93 0c 04 07".replace(" ", ""),
        "RequestReadIndex": "93 0d 04 09".replace(" ", ""),
        "ReadIndexReply": "94 0e 04 09 0c".replace(" ", ""),
        "ForwardProposals": "96 10 04 07 03 02 92 c404 0000002d c42d".replace(" ", "") + two,
        "ForwardReply": "98 11 04 07 03 01 0b c400 00".replace(" ", ""),
        "no room": "98 11 04 07 03 03 00 c4046469736b 64".replace(" ", ""),
        "StateDigest": "94 12 04 0b c410".replace(" ", "") + bytes(range(16)).hex(),
        "RequestVote": "95 01 04 0b 03 c2".replace(" ", ""),
        "RequestVote of a transfer": "95 01 04 0b 03 c3".replace(" ", ""),
        "RequestVoteReply": "93 02 04 c3".replace(" ", ""),
        "heartbeat": "97 03 04 07 02 06 92 c400 c400 c3".replace(" ", ""),
        "quiet heartbeat": "97 03 04 07 02 06 92 c400 c400 c2".replace(" ", ""),
        "one batch": "97 03 04 07 02 06 92 c404 0000001d c41d".replace(" ", "") + one + "c3",
        "two batches": "97 03 04 07 02 06 92 c408 0000001d 0000002d c44a".replace(" ", "") + one + two + "c3",
        "AppendEntriesAccepted": "93 04 04 0b".replace(" ", ""),
        "log too short": "95 05 04 07 c0 05".replace(" ", ""),
        "conflict": "95 05 04 07 01 05".replace(" ", ""),
        "InstallSnapshot": "97 06 04 92 06 02 00 c405 6368756e6b c2 c400".replace(" ", ""),
        "InstallSnapshotReply": "95 07 04 92 06 02 01 c3".replace(" ", ""),
    }


# --- what a hostile peer can send ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_cut_short_or_continued_is_refused(name: str) -> None:
    data = encode(SAMPLES[name])
    for end in range(len(data)):
        with pytest.raises(ProtocolError):
            decode(data[:end])
    with pytest.raises(ProtocolError):
        decode(data + b"\0")


WRONG_VALUES: dict[str, Any] = {
    "negative": -1,
    "too large": MAX_INT + 1,
    "largest": 2**64 - 1,
    "text": "7",
    "empty text": "",
    "bytes": b"7",
    "float": 1.0,
    "map": {1: 2},
    "empty map": {},
    "array": [1],
    "empty array": [],
    "extension": msgpack.ExtType(5, b"x"),
    "empty extension": msgpack.ExtType(5, b""),
    "time": msgpack.Timestamp(1, 2),
}


def _positions(value: list[Any]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for position, item in enumerate(value):
        found.append((position,))
        if isinstance(item, list):
            found += [(position, *inner) for inner in _positions(item)]
    return found


@pytest.mark.parametrize("wrong", WRONG_VALUES)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_wrong_value_is_refused_wherever_it_stands(name: str, wrong: str) -> None:
    value = WRONG_VALUES[wrong]
    for path in _positions(packed(SAMPLES[name])):
        message = packed(SAMPLES[name])
        place: Any = message
        for step in path[:-1]:
            place = place[step]
        may_be_any = isinstance(SAMPLES[name], InstallSnapshot | ForwardReply)
        if wrong == "bytes" and isinstance(place[path[-1]], bytes) and may_be_any:
            continue  # bytes for bytes
        place[path[-1]] = value
        with pytest.raises(ProtocolError):
            decode(pack(message))


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("wrong", [True, None], ids=str)
def test_true_and_nothing_are_no_ints(name: str, wrong: bool | None) -> None:
    message = packed(SAMPLES[name])
    message[1] = wrong  # the term, in every message
    with pytest.raises(ProtocolError):
        decode(pack(message))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_field_too_few_is_refused(name: str) -> None:
    message = packed(SAMPLES[name])
    needed = 1 + sum(SINCE not in field.metadata for field in attrs.fields(type(SAMPLES[name])))
    for wrong in (message[: needed - 1], [message], [message[0]], []):
        with pytest.raises(ProtocolError):
            decode(pack(wrong))


@pytest.mark.parametrize("tag", [0, 128, -1, True, "1", None, [1], b"\1", 1.0], ids=repr)
def test_what_can_be_no_tag_is_refused(tag: object) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(pack([tag, 4, 11, 3]))
    assert caught.type is ProtocolError


@pytest.mark.parametrize("value", [None, 1, b"", b"x", {}, "text", msgpack.ExtType(1, b"x")], ids=repr)
def test_what_is_no_array_is_refused(value: object) -> None:
    with pytest.raises(ProtocolError):
        decode(pack(value))


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ([1] * 17, "max_array_len"),
        ({1: 2}, "max_map_len"),
        ("x", "max_str_len"),
        (msgpack.ExtType(1, b"x"), "max_ext_len"),
    ],
    ids=["array", "map", "text", "extension"],
)
def test_what_no_message_holds_is_refused_before_it_takes_memory(value: object, limit: str) -> None:
    with pytest.raises(ProtocolError, match=limit):
        decode(pack([1, value]))


@pytest.mark.parametrize("depth", [3, 100, 600, 2_000, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(ProtocolError):
        decode(b"\x91" * depth + b"\x01")


def test_many_arrays_are_refused_before_they_are_all_there() -> None:
    many = b"\x9f" + (b"\x9f" + b"\x90" * 15) * 15
    with pytest.raises(ProtocolError, match="more than 2 arrays"):
        decode(many)


@pytest.mark.parametrize(
    "header", [b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"]
)
def test_a_length_that_promises_more_than_there_is_costs_nothing(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(header + b"\1")


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ((batch_of(9, 2),), "gap before the first"),
        ((batch_of(7, 2),), "overlap with what is there"),
        ((batch_of(8, 2, 3), batch_of(12, 2)), "gap"),
        ((batch_of(8, 2, 3), batch_of(10, 2)), "overlap"),
        ((batch_of(8, 2), batch_of(8, 2)), "twice"),
        ((batch_of(8, 1),), "older than the entry before"),
        ((batch_of(8, 3), batch_of(9, 2)), "term goes down"),
        ((batch_of(8, 5),), "newer than the leader"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_entries_that_no_leader_has_are_refused(entries: tuple[EntryBatch, ...], why: str) -> None:
    with pytest.raises(ProtocolError, match="term"):
        decode(encode(AppendEntries(4, 7, 2, 6, entries)))


@pytest.mark.parametrize(
    "batch",
    [batch_of(MAX_INT + 1, 2), batch_of(MAX_INT, 2, 2), batch_of(8, MAX_INT + 1), batch_of(2**64 - 1, 2)],
    ids=repr,
)
def test_absurd_batches_are_refused(batch: EntryBatch) -> None:
    with pytest.raises(ProtocolError, match="absurd"):
        decode(encode(AppendEntries(4, 7, 2, 6, (batch,))))


@pytest.mark.parametrize(
    "entries",
    [
        [b"\0\0\0", b""],
        [b"\0\0\0\0", b""],
        [b"\0\0\0\5", b""],
        [b"", b"x"],
        [b"\0\0\0\1", b"x"],
        [b""],
        [b"", b"", b""],
    ],
    ids=repr,
)
def test_batches_whose_lengths_are_wrong_are_refused(entries: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        decode(pack([3, 4, 7, 2, 6, entries]))


def test_a_batch_that_fails_its_checksum_is_refused() -> None:
    data = bytearray(encode(SAMPLES["one batch"]))
    data[-2] ^= 1  # of the batch; one more byte follows it
    with pytest.raises(ProtocolError, match="checksum"):
        decode(bytes(data))


@given(MESSAGES, st.integers(0, 2**32), st.integers(1, 5))
def test_mutations_are_a_message_or_a_protocol_error(message: Message, seed: int, count: int) -> None:
    rng, data = random.Random(seed), bytearray(encode(message))
    for _ in range(count):
        position = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[position : position + 1] = rng.randbytes(1)
            case 1:
                data[position:position] = rng.randbytes(rng.randrange(1, 4))
            case 2:
                del data[position : position + rng.randrange(1, 4)]
            case _:
                data[position : position + 1] = bytes([rng.choice((0x90, 0xC0, 0xC1, 0xC4, 0xC7, 0xCF, 0xDD, 0xFF))])
        data = data or bytearray(b"\0")
    check_never_another_error(bytes(data))


@given(st.binary(max_size=100))
def test_noise_is_a_message_or_a_protocol_error(data: bytes) -> None:
    check_never_another_error(data)


def check_never_another_error(data: bytes) -> None:
    try:
        message = decode(data)
    except ProtocolError:
        return
    assert decode(encode(message)) == message
    for field in attrs.fields(type(message)):
        value = getattr(message, field.name)
        assert type(value) is not int or 0 <= value <= MAX_INT


# --- our own bugs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        None,
        SnapshotMetadata(1, 1),
        RequestVote(2**64, 1, 1),
        RequestVote(-(2**64), 1, 1),
        RequestVote(WRONG_TERM, 1, 1),
    ],
    ids=repr,
)
def test_what_is_no_message_is_our_bug(wrong: Any) -> None:
    with pytest.raises(InternalError):
        encode(wrong)
