"""The fields of a handshake about starts of stores (`raft.starts`): who does not know them skips them.

START  number u64  nonce (8 bytes)               of the sender's store
MET    number u64  nonce (8 bytes)  incarnation  of the receiver's, as the sender remembers it
"""

from __future__ import annotations

import struct

from raft_actors.errors import ProtocolError
from raft_actors.raft.starts import NONCE_BYTES, Met, Start
from raft_actors.transports.wire.fields import Tag, text

MAX_INCARNATION_BYTES = 64

_START = struct.Struct(f">Q{NONCE_BYTES}s")


def start_fields(start: Start | None, met: Met | None) -> dict[Tag, bytes]:
    """What a node says of the start that it is in, and of the one that it has met."""
    fields: dict[Tag, bytes] = {}
    if start is not None:
        fields[Tag.START] = _packed(start)
    if met is not None:
        fields[Tag.MET] = _packed(met.start) + met.incarnation.encode()
    return fields


def start_of(fields: dict[int, bytes]) -> Start | None:
    """The start that a node is in; None where it does not say."""
    return _start(fields[Tag.START], Tag.START) if Tag.START in fields else None


def met_of(fields: dict[int, bytes]) -> Met | None:
    """The start that a node has met; None where it says none."""
    value = fields.get(Tag.MET)
    if value is None:
        return None
    if len(value) > _START.size + MAX_INCARNATION_BYTES:
        raise ProtocolError(f"a handshake whose met has {len(value)} bytes")
    return Met(text({Tag.MET: value[_START.size :]}, Tag.MET), _start(value[: _START.size], Tag.MET))


def _packed(start: Start) -> bytes:
    return _START.pack(start.number, bytes.fromhex(start.nonce))


def _start(value: bytes, tag: Tag) -> Start:
    if len(value) != _START.size:
        raise ProtocolError(f"a handshake whose {tag.name.lower()} has {len(value)} bytes, not {_START.size}")
    number, nonce = _START.unpack(value)
    if not number:
        raise ProtocolError("a handshake with a start of number 0")
    return Start(number, nonce.hex())
