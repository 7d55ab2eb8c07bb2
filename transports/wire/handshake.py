"""The handshake: who is calling, whom, and in which cluster.

The dialer says `Hello`; the other side answers with a `Verdict` and, where it accepts, from then on only listens.
One frame each way, and much smaller ones than messages may be:

    hello    magic "RAFT"  version u16  then cluster id, sender's id, receiver's id, each as length u16 and UTF-8
    answer   magic "RAFT"  version u16  verdict u8

Magic and version stand first in every version of this protocol, so that versions can refuse each other by name. Naming
the receiver catches addresses that were mixed up or handed on: Raft's safety rests on a node being who it is taken for.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Container

import attrs

from raft_actors.errors import ProtocolError

VERSION = 2

MAGIC = b"RAFT"

MAX_ID_BYTES = 4 * 255  # ids have up to 255 characters
_PREFIX = struct.Struct(">4sH")
_LENGTH = struct.Struct(">H")
_VERDICT = struct.Struct(">B")

MAX_HELLO_BYTES = _PREFIX.size + 3 * (_LENGTH.size + MAX_ID_BYTES)
ANSWER_BYTES = _PREFIX.size + _VERDICT.size


class Verdict(enum.IntEnum):
    """The answer to a hello. The numbers are the wire's."""

    ACCEPTED = 0
    OTHER_VERSION = 1
    """The two sides speak different versions of the protocol."""
    OTHER_CLUSTER = 2
    """The receiver belongs to a cluster with another id."""
    ITSELF = 3
    """The sender has reached itself: a peer's address is its own."""
    WRONG_RECEIVER = 4
    """Another node than the one called answers at this address."""
    UNKNOWN_NODE = 5
    """The receiver has no peer with the sender's id."""


@attrs.frozen
class Hello:
    """What a dialer says first."""

    cluster_id: str
    sender: str
    receiver: str
    version: int = VERSION

    def encode(self) -> bytes:
        """Return the hello's bytes, not yet framed."""
        parts = [_PREFIX.pack(MAGIC, self.version)]
        for text in (self.cluster_id, self.sender, self.receiver):
            data = text.encode()
            parts += (_LENGTH.pack(len(data)), data)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        """Open a hello. One of another version comes out with its version and no ids.

        Raises:
            ProtocolError: whatever it is, no node of raft_actors said it.
        """
        version = _check_prefix(data, "hello")
        if version != VERSION:
            return cls("", "", "", version)
        texts: list[str] = []
        start = _PREFIX.size
        try:
            for _ in range(3):
                (length,) = _LENGTH.unpack_from(data, start)
                start += _LENGTH.size
                texts.append(data[start : start + length].decode())
                start += length
        except (struct.error, UnicodeDecodeError) as error:
            raise ProtocolError(f"a hello that can't be read: {error}") from error
        if start != len(data):
            raise ProtocolError(f"a hello of {len(data)} bytes that says it has {start}")
        cluster_id, sender, receiver = texts
        return cls(cluster_id, sender, receiver)


def judge(hello: Hello, cluster_id: str, node_id: str, peers: Container[str]) -> Verdict:
    """Decide whether `node_id`, whose peers these are, takes messages from the one who says this hello."""
    if hello.version != VERSION:
        return Verdict.OTHER_VERSION
    if hello.cluster_id != cluster_id:
        return Verdict.OTHER_CLUSTER
    if hello.sender == node_id:
        return Verdict.ITSELF
    if hello.receiver != node_id:
        return Verdict.WRONG_RECEIVER
    if hello.sender not in peers:
        return Verdict.UNKNOWN_NODE
    return Verdict.ACCEPTED


def encode_answer(verdict: Verdict) -> bytes:
    """Return the answer's bytes, not yet framed."""
    return _PREFIX.pack(MAGIC, VERSION) + _VERDICT.pack(verdict)


def decode_answer(data: bytes) -> Verdict:
    """Open an answer. One of another version means that the versions differ, whatever else it says.

    Raises:
        ProtocolError: it is none.
    """
    if _check_prefix(data, "answer") != VERSION:
        return Verdict.OTHER_VERSION
    if len(data) != ANSWER_BYTES:
        raise ProtocolError(f"an answer of {len(data)} bytes, not {ANSWER_BYTES}")
    try:
        return Verdict(data[-1])
    except ValueError as error:
        raise ProtocolError(f"an answer with the unknown verdict {data[-1]}") from error


def _check_prefix(data: bytes, what: str) -> int:
    if len(data) < _PREFIX.size or not data.startswith(MAGIC):
        raise ProtocolError(f"this is no {what} of raft_actors: {data[:16]!r}")
    version: int = _PREFIX.unpack_from(data)[1]
    return version
