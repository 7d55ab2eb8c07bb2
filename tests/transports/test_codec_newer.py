"""What a newer peer sends is dropped and counted; what no version may send is refused."""

from __future__ import annotations

from typing import Any

import attrs
import msgpack
import pytest
from cattrs.preconf.msgpack import make_converter

from raft_actors.errors import ProtocolError
from raft_actors.raft.messages import SINCE
from raft_actors.strict import forbid_coercion
from raft_actors.transports.abc import PeerStatistics
from raft_actors.transports.wire.codec import TAGS, UnknownMessage, decode, encode, structure_fields
from tests.transports.support import SAMPLES
from tests.transports.test_codec import pack, packed

NEWER_TAGS = [number for number in range(1, 128) if number not in TAGS]


@pytest.mark.parametrize("name", SAMPLES)
def test_fields_that_only_a_newer_version_knows_are_dropped_and_counted(name: str) -> None:
    counted = PeerStatistics()
    newer = pack([*packed(SAMPLES[name]), 1, None, True, b"bytes"])
    assert decode(newer, counted) == SAMPLES[name]
    assert (counted.unknown_fields, counted.unknown_messages) == (4, 0)
    assert decode(newer) == SAMPLES[name]
    assert decode(encode(SAMPLES[name]), counted) == SAMPLES[name]
    assert counted.unknown_fields == 4


@pytest.mark.parametrize("value", ["text", 1.0, [1], {}, msgpack.ExtType(1, b"x")], ids=repr)
@pytest.mark.parametrize("name", SAMPLES)
def test_a_field_that_no_version_may_have_is_refused(name: str, value: object) -> None:
    with pytest.raises(ProtocolError):
        decode(pack([*packed(SAMPLES[name]), value]))


def test_a_class_inside_a_message_does_not_grow() -> None:
    message = packed(SAMPLES["InstallSnapshot"])
    message[2].append(1)
    with pytest.raises(ProtocolError, match="SnapshotMetadata"):
        decode(pack(message))


@pytest.mark.parametrize(
    "fields",
    [[4], [4, 11, 3], ["text", {"a": [[[1]]]}, 1.5], [[[]] * 100] * 14, [0] * 15, [0] * 70_000],
    ids=lambda fields: f"{len(fields)} fields, {str(fields)[:20]}",
)
def test_a_message_of_a_class_that_only_a_newer_version_knows_is_told_from_garbage(fields: list[Any]) -> None:
    for tag in (NEWER_TAGS[0], NEWER_TAGS[-1]):
        data = pack([tag, *fields])
        if len(fields) < 2**16:
            with pytest.raises(UnknownMessage, match=f"kind {tag},"):
                decode(data)
            with pytest.raises(UnknownMessage):
                decode(memoryview(data))
        else:
            with pytest.raises(ProtocolError):
                decode(data)


@attrs.frozen
class Grown:
    """As a class might look after two versions."""

    term: int
    granted: bool
    priority: int = attrs.field(default=5, metadata={SINCE: 4})
    reason: bytes = attrs.field(default=b"none", metadata={SINCE: 5})


def test_a_field_that_an_older_version_does_not_send_has_its_default() -> None:
    converter = make_converter(detailed_validation=False)
    forbid_coercion(converter)
    structure = structure_fields(Grown, converter)
    assert structure([4, True], Grown) == Grown(4, True)
    assert structure([4, True, 6], Grown) == Grown(4, True, 6)
    assert structure([4, True, 6, b"x"], Grown) == Grown(4, True, 6, b"x")
    for wrong in ([4], [4, True, "6"], [4, True, 6, b"x", 1]):
        with pytest.raises((ProtocolError, TypeError)):
            structure(wrong, Grown)
