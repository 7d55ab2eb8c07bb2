"""The fields of a handshake: each a tag, a length and a value. A tag that a node does not know is skipped."""

from __future__ import annotations

import enum
import struct

from raft_actors.errors import InternalError, ProtocolError

FIELD = struct.Struct(">BH")


class Tag(enum.IntEnum):
    """What a field is. The numbers are the wire's, and keep their meaning for ever."""

    OLDEST_VERSION = 1
    FEATURES = 2
    CLUSTER_ID = 3
    SENDER = 4
    RECEIVER = 5
    DETAIL = 6
    INITIAL_VOTERS = 7
    TIMING = 8
    INCARNATION = 9
    ADDRESS = 10
    CONFIGURATION_INDEX = 11
    LEASES = 12
    CLIENT = 13
    SKIPPED_COMMANDS = 14
    START = 15
    MET = 16
    CONFIGURATION_TERM = 17


def pack_fields(fields: dict[Tag, bytes]) -> bytes:
    parts: list[bytes] = []
    for tag, value in fields.items():
        if len(value) > 0xFFFF:
            raise InternalError(f"{tag.name} of {len(value)} bytes in a handshake")
        parts += (FIELD.pack(tag, len(value)), value)
    return b"".join(parts)


def unpack_fields(data: bytes, start: int, what: str) -> dict[int, bytes]:
    """The fields by their tags, unknown ones among them."""
    fields: dict[int, bytes] = {}
    while start < len(data):
        if start + FIELD.size > len(data):
            raise ProtocolError(f"a {what} that breaks off")
        tag, length = FIELD.unpack_from(data, start)
        start += FIELD.size + length
        if start > len(data):
            raise ProtocolError(f"a {what} that breaks off")
        fields[tag] = data[start - length : start]
    return fields


def short_text(fields: dict[int, bytes], tag: Tag, most_bytes: int) -> str:
    if tag not in fields:
        return ""
    if len(fields[tag]) > most_bytes:
        raise ProtocolError(f"a handshake whose {tag.name.lower()} has {len(fields[tag])} bytes")
    return text(fields, tag)


def text(fields: dict[int, bytes], tag: Tag) -> str:
    try:
        return fields[tag].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"a handshake whose {tag.name.lower()} can't be read: {error}") from error


def number(value: bytes, kind: struct.Struct) -> int:
    if len(value) != kind.size:
        raise ProtocolError(f"a handshake with a number of {len(value)} bytes, not {kind.size}")
    number: int = kind.unpack(value)[0]
    return number
