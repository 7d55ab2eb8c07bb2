"""What a client and the node that it is connected to say to each other, after their handshake.

A payload is a kind, the number of the request that it belongs to, and a body:

    kind u8  number u32  body

The client counts its requests, so many may be under way at a time (the node says how many), and answers come in any
order. Bodies are msgpack:

    PROPOSE   entries of one session, in order, each as `raft.sessions` makes it: a list of byte strings
    READ      {"query": bytes, "level": name, "bound": number}
    CANCEL    nothing: nobody waits for that request any more
    PING      nothing; it is answered by PONG
    RESULTS   [token, one for each entry]: [0, bytes] or [other `Outcome`, what is known of it]
    ANSWER    [index, term, age or nil, bytes]
    REFUSAL   {"kind": name of the error, "text": what it says, …}
    NOTICE    {…}: where the node is, who leads, and who the members are; the first thing that a node says, and again
              whenever it changes. Its number is 0.

Who does not know a member of a map skips it. A node refuses a kind that it does not know; a client skips it.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs
import msgpack  # pyright: ignore[reportMissingTypeStubs]

from raft_actors.errors import ProtocolError
from raft_actors.read_levels import BoundedStale, Lease, Linearizable, Local, ReadLevel, ReadYourWrites
from raft_actors.records import frozen

_msgpack: Any = msgpack
_HEAD = struct.Struct(">BI")

MOST_NUMBER = 2**32 - 1
MOST_TOGETHER_BYTES = 1024 * 1024
"""Of commands that are proposed together; a larger one goes alone."""

OVERHEAD_BYTES = 64 * 1024
"""What a request may have beside its commands."""


class Ask(enum.IntEnum):
    """What a client says. The numbers are the wire's, and keep their meaning for ever."""

    PROPOSE = 1
    READ = 2
    CANCEL = 3
    PING = 4


class Tell(enum.IntEnum):
    """What a node says."""

    RESULTS = 1
    ANSWER = 2
    REFUSAL = 3
    NOTICE = 4
    PONG = 5


class Outcome(enum.IntEnum):
    """What became of an entry that was applied."""

    RESULT = 0
    """Its result follows, as bytes."""
    FAILED = 1
    """The state machine raised: [index, text]."""
    LOST = 2
    """It took effect, and its result is not there, or can't travel: [index]."""
    EXPIRED = 3
    """Its session is not known: [session]."""
    BEGUN = 4
    """A session, which has this id."""


def pack(kind: int, number: int, body: bytes = b"") -> bytes:
    """A payload."""
    return _HEAD.pack(kind, number) + body


def unpack(payload: bytes) -> tuple[int, int, memoryview]:
    """Kind, number and body of a payload.

    Raises:
        ProtocolError: it is none.
    """
    if len(payload) < _HEAD.size:
        raise ProtocolError(f"a payload of {len(payload)} bytes")
    kind, number = _HEAD.unpack_from(payload)
    return kind, number, memoryview(payload)[_HEAD.size :]


def packed(body: Any) -> bytes:
    """A body as bytes. Of a text that is none (a state machine may put any bytes into its errors) what can be told."""
    data: bytes = _msgpack.packb(body, unicode_errors="backslashreplace")
    return data


_LITTLE_BYTES = 4096
MOST_ENTRIES = 65_536
"""In one proposal."""


def unpacked(body: bytes | memoryview, *, containers: int = 16, items: int = 1024) -> Any:
    """A body of these bytes.

    Args:
        body: the bytes.
        containers: how many lists and maps there may be in it: an empty one takes one byte, and sixty to hold.
        items: how many items one of them may have.

    Raises:
        ProtocolError: they are none, or something larger.
    """
    few: dict[str, Any] = {}
    if len(body) > _LITTLE_BYTES:
        counted = _Counted(containers)
        few = {"list_hook": counted, "object_hook": counted, "max_array_len": items, "max_map_len": items}
    try:
        return _msgpack.unpackb(body, strict_map_key=True, **few)
    except Exception as error:  # msgpack raises whatever the bytes provoke
        raise ProtocolError(f"{len(body)} bytes are no body: {error!r}") from error


class _Counted:
    def __init__(self, most: int) -> None:
        self._left = most

    def __call__(self, container: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many lists and maps")
        return container


def entries_of(body: bytes | memoryview) -> list[bytes]:
    """The entries that a PROPOSE has.

    Raises:
        ProtocolError: it has none, or what is none.
    """
    given: Any = unpacked(body, containers=1, items=MOST_ENTRIES)
    entries: list[Any] = [*given] if type(given) is list else []
    if not entries or any(type(entry) is not bytes for entry in entries):
        raise ProtocolError("a proposal is a list of byte strings")
    return entries


def results_of(body: bytes | memoryview, count: int) -> tuple[int, list[tuple[int, Any]]]:
    """The token and the outcomes that a RESULTS has, for so many entries.

    Raises:
        ProtocolError: it has none, or for another number of entries.
    """
    match unpacked(body, containers=1 + 2 * count, items=1 + count):
        case [int(token), *rest]:
            outcomes: list[Any] = rest
            if len(outcomes) == count and all(map(_is_outcome, outcomes)):
                return token, [(outcome[0], outcome[1]) for outcome in outcomes]
        case _:
            pass
    raise ProtocolError("results that are none")


def _is_outcome(outcome: Any) -> bool:
    match outcome:
        case [Outcome.RESULT, known]:
            return type(known) is bytes
        case [Outcome.FAILED, known]:
            return type(known) is list and [*map(type, cast("list[object]", known))] == [int, str]
        case [Outcome.LOST | Outcome.EXPIRED | Outcome.BEGUN, known]:
            return type(known) is int
        case [int(), _]:
            return True  # of a newer version
        case _:
            return False


# --- reads ---------------------------------------------------------------------------------------------------


def read_body(query: bytes, level: ReadLevel) -> bytes:
    """The body of a READ."""
    said: dict[str, Any] = {"query": query, "level": type(level).__name__}
    match level:
        case BoundedStale(seconds=None, entries=entries):
            said |= {"level": "BoundedStaleEntries", "bound": entries}
        case BoundedStale(seconds=seconds):
            said["bound"] = seconds
        case ReadYourWrites(token=token):
            said["bound"] = token
        case _:
            pass
    return packed(said)


def read_of(body: bytes | memoryview) -> tuple[bytes, ReadLevel]:
    """The query and the level that a READ has.

    Raises:
        ProtocolError: it has none, or a level that only a newer version knows.
    """
    said = unpacked(body)
    match said:
        case {"query": bytes(query), "level": "Linearizable"}:
            return query, Linearizable()
        case {"query": bytes(query), "level": "Lease"}:
            return query, Lease()
        case {"query": bytes(query), "level": "Local"}:
            return query, Local()
        case {"query": bytes(query), "level": "ReadYourWrites", "bound": int(token)}:
            return query, ReadYourWrites(token)
        case {"query": bytes(query), "level": "BoundedStale", "bound": int() | float() as seconds} if seconds >= 0:
            return query, BoundedStale(seconds=float(seconds))
        case {"query": bytes(query), "level": "BoundedStaleEntries", "bound": int(entries)} if entries >= 0:
            return query, BoundedStale(entries=entries)
        case _:
            raise ProtocolError("a read at no level that this version knows")


@frozen
class Answered:
    """What an ANSWER says: the state that a query saw, and what it returned, as bytes."""

    index: int
    term: int
    age_s: float | None
    value: bytes

    def encode(self) -> bytes:
        """The body."""
        return packed([self.index, self.term, self.age_s, self.value])

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Answered:
        """Open a body.

        Raises:
            ProtocolError: it is none.
        """
        match unpacked(body):
            case [int(index), int(term), None | float() as age_s, bytes(value), *_]:
                return cls(index, term, age_s, value)
            case _:
                raise ProtocolError("an answer that is none")


# --- notices -------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Notice:
    """What a node says of itself and of the cluster.

    Attributes:
        node_id: who says it.
        term: the term that it is in.
        leader: who leads, as far as it knows; None: nobody, or it is about to end.
        config: the log index of the members that it knows.
        members: id → address, of all voters and learners.
        most_requests: how many requests of one client may be under way at a time.
        most_bytes: how large one may be.
    """

    node_id: str
    term: int
    leader: str | None
    config: int
    members: Mapping[str, str]
    most_requests: int
    most_bytes: int

    def encode(self) -> bytes:
        """The body."""
        return packed(attrs.asdict(self, recurse=False))

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Notice:
        """Open a body.

        Raises:
            ProtocolError: it is none.
        """
        said = unpacked(body)
        match said:
            case {
                "node_id": str(node_id),
                "term": int(term),
                "leader": None | str() as leader,
                "config": int(config),
                "members": dict(),
                "most_requests": int(most_requests),
                "most_bytes": int(most_bytes),
            }:
                members: dict[Any, Any] = said["members"]
            case _:
                raise ProtocolError("a notice that is none")
        if any(type(text) is not str for pair in members.items() for text in pair):
            raise ProtocolError("members that are none")
        return cls(
            node_id=node_id,
            term=term,
            leader=leader,
            config=config,
            members=members,
            most_requests=most_requests,
            most_bytes=most_bytes,
        )


def refusal_body(kind: str, text: str, **more: Sequence[Any] | str | float | None) -> bytes:
    """The body of a REFUSAL."""
    return packed({"kind": kind, "text": text, **more})


def refusal_of(body: bytes | memoryview) -> dict[str, Any]:
    """What a REFUSAL says, its kind and its text among it.

    Raises:
        ProtocolError: it says nothing.
    """
    said = unpacked(body)
    match said:
        case {"kind": str(), "text": str()}:
            return cast("dict[str, Any]", said)
        case _:
            raise ProtocolError("a refusal that is none")
