"""Batches of entries: what is encoded comes back, cuts agree with lists, and no damage goes unnoticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD, Entry, EntryBatch, EntryKind

INDEXES = st.integers(1, 2**60)
COMMANDS = st.lists(st.binary(max_size=40), min_size=1, max_size=12)
BATCHES = st.builds(EntryBatch.encode, INDEXES, st.integers(1, 2**60), st.sampled_from(EntryKind), COMMANDS)


@given(first_index=INDEXES, term=INDEXES, kind=st.sampled_from(EntryKind), commands=COMMANDS)
def test_what_is_encoded_comes_back(first_index: int, term: int, kind: EntryKind, commands: list[bytes]) -> None:
    encoded = EntryBatch.encode(first_index, term, kind, commands)
    decoded = EntryBatch.decode(encoded.data)
    assert decoded == encoded
    for batch in (encoded, decoded):
        assert (batch.first_index, batch.last_index) == (first_index, first_index + len(commands) - 1)
        assert (batch.term, batch.kind) == (term, kind)
        assert type(batch.kind) is EntryKind
        assert len(batch) == len(commands)
        assert batch.commands() == commands
        assert list(batch.entries()) == [
            Entry(first_index + offset, term, kind, command) for offset, command in enumerate(commands)
        ]
    assert encoded.size == len(encoded.data)
    assert encoded.size == BATCH_OVERHEAD + len(commands) * ENTRY_OVERHEAD + sum(map(len, commands))


@given(batch=BATCHES, data=st.data())
def test_cuts_agree_with_lists(batch: EntryBatch, data: st.DataObject) -> None:
    entries = list(batch.entries())
    cut = data.draw(st.integers(max(0, batch.first_index - 2), batch.last_index))
    assert list(batch.since(cut).entries()) == [entry for entry in entries if entry.index >= cut]
    assert (batch.since(cut) is batch) == (cut <= batch.first_index)
    cut = data.draw(st.integers(batch.first_index + 1, batch.last_index + 3))
    assert list(batch.before(cut).entries()) == [entry for entry in entries if entry.index < cut]
    assert (batch.before(cut) is batch) == (cut > batch.last_index)
    assert EntryBatch.decode(batch.before(cut).data) == batch.before(cut)


@given(batch=BATCHES)
def test_every_flipped_bit_is_noticed(batch: EntryBatch) -> None:
    data = bytearray(batch.data)
    for position in range(len(data)):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises(ValueError, match="batch"):
                EntryBatch.decode(bytes(data))
            data[position] ^= 1 << bit


@given(batch=BATCHES, extra=st.binary(min_size=1, max_size=9))
def test_every_other_length_is_noticed(batch: EntryBatch, extra: bytes) -> None:
    for length in range(batch.size):
        with pytest.raises(ValueError, match="batch"):
            EntryBatch.decode(batch.data[:length])
    with pytest.raises(ValueError, match="batch"):
        EntryBatch.decode(batch.data + extra)


@given(data=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        EntryBatch.decode(data)


@pytest.mark.parametrize(("first_index", "term", "commands"), [(0, 1, [b""]), (1, 0, [b""]), (1, 1, []), (0, 0, [])])
def test_impossible_fields_are_refused_although_the_checksum_fits(
    first_index: int, term: int, commands: list[bytes]
) -> None:
    with pytest.raises(ValueError, match="impossible entry batch"):
        EntryBatch.decode(EntryBatch.encode(first_index, term, EntryKind.COMMAND, commands).data)


def test_an_unknown_kind_is_refused() -> None:
    encoded = EntryBatch.encode(1, 1, 77, [b"x"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="77"):
        EntryBatch.decode(encoded.data)


def test_lengths_that_do_not_fill_the_batch_are_refused() -> None:
    import zlib

    batch = EntryBatch.encode(1, 1, EntryKind.COMMAND, [b"abc", b"de"])
    body = batch.data[4:] + b"more than the lengths say"
    with pytest.raises(ValueError, match="do not fill"):
        EntryBatch.decode(zlib.crc32(body).to_bytes(4, "big") + body)


def test_the_count_alone_costs_no_memory() -> None:
    """A header that promises four billion commands is refused before anything is made for them."""
    import struct
    import zlib

    body = struct.pack(">QQBI", 1, 1, 1, 2**32 - 1)
    with pytest.raises(ValueError, match="impossible"):
        EntryBatch.decode(zlib.crc32(body).to_bytes(4, "big") + body)
