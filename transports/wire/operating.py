"""What operators, and nodes that want to join, ask of a node: one request, one reply, over its own port.

It is the nodes' port because that is where every node can be reached, also one that is embedded in a program without a
service of its own; and because a node that joins knows that address alone. A connection that begins with this magic is
no peer's: it is answered and closed. Both sides send one frame:

    magic "RAOP"  version u16  JSON

What the JSON says is the affair of `node.operating`. A version need not change for what is added to that: who does not
know a member of an object skips it, and who does not know an operation says so.
"""

from __future__ import annotations

import struct

from raft_actors.errors import ProtocolError

MAGIC = b"RAOP"
VERSION = 1

MAX_REQUEST_BYTES = 8 * 1024 - 16
"""A request fits the frame that a connection may begin with."""
MAX_REPLY_BYTES = 4 * 1024 * 1024

_PREFIX = struct.Struct(">4sH")


def is_request(payload: bytes) -> bool:
    """Whether what a connection begins with is such a request."""
    return payload.startswith(MAGIC)


def seal(body: bytes) -> bytes:
    """The payload of a frame for a request or a reply."""
    return _PREFIX.pack(MAGIC, VERSION) + body


def unseal(payload: bytes) -> bytes:
    """What a request or reply says.

    Raises:
        ProtocolError: it is none, or of another version.
    """
    if len(payload) < _PREFIX.size or not payload.startswith(MAGIC):
        raise ProtocolError(f"what answers there is no node of raft_actors: {payload[:16]!r}")
    version: int = _PREFIX.unpack_from(payload)[1]
    if version != VERSION:
        older = "this side" if version > VERSION else "the other side"
        raise ProtocolError(f"operators are spoken to in version {version}, and here in {VERSION}: upgrade {older}")
    return payload[_PREFIX.size :]
