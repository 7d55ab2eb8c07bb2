"""The fields of a handshake about which store speaks for a node, and what it knows of the members.

INCARNATION          text  of the sender's store
CONFIGURATION_INDEX  u64   of the newest configuration that it knows
CONFIGURATION_TERM   u64   of the same (`raft.newest`); a node that does not know it compares indexes alone
"""

from __future__ import annotations

import struct

from raft_actors.transports.wire.fields import Tag, number

_NUMBER = struct.Struct(">Q")


def identity_fields(incarnation: str, configuration_index: int, configuration_term: int) -> dict[Tag, bytes]:
    """What a node says of its store and of the members. What it does not know is left out."""
    fields: dict[Tag, bytes] = {}
    if incarnation:
        fields[Tag.INCARNATION] = incarnation.encode()
    if configuration_index:
        fields[Tag.CONFIGURATION_INDEX] = _NUMBER.pack(configuration_index)
    if configuration_term:
        fields[Tag.CONFIGURATION_TERM] = _NUMBER.pack(configuration_term)
    return fields


def configuration_index(fields: dict[int, bytes]) -> int:
    """The index of the newest configuration that a node knows; 0 where it does not say."""
    return _number(fields, Tag.CONFIGURATION_INDEX)


def configuration_term(fields: dict[int, bytes]) -> int:
    """The term of the same; 0 where it does not say."""
    return _number(fields, Tag.CONFIGURATION_TERM)


def _number(fields: dict[int, bytes], tag: Tag) -> int:
    return number(fields[tag], _NUMBER) if tag in fields else 0
