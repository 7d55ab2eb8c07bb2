"""What the service answers, and how answers become bytes of RESP2 or RESP3.

A reply is a plain value: `int`, `bytes` (a bulk string), None, `list` (an array), `dict` (a map), or one of
the classes here. RESP2 has no maps, sets, texts or null of its own; there a map is a flat array, a set an
array, a text a bulk string.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import attrs

from raft_actors.config import KIB
from raft_actors.errors import InternalError
from raft_actors.records import frozen

LARGE_BYTES = 16 * KIB
"""Values from this size on are a piece of their own, which is never copied."""

_LINE_BREAKS = str.maketrans("\r\n", "  ")


def _line(mark: str, text: str) -> bytes:
    # A line break inside would end the line early, and the rest would be taken for another reply.
    return f"{mark}{text.translate(_LINE_BREAKS)}\r\n".encode(errors="surrogateescape")


@frozen
class SimpleString:
    """A short status such as OK. `encoded` is made once: most of these are constants."""

    text: str
    encoded: bytes = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "encoded", _line("+", self.text))


@frozen
class ErrorReply:
    """An error. The text starts with its code, a word in capitals: `ERR syntax error`."""

    text: str
    encoded: bytes = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "encoded", _line("-", self.text))


@frozen
class Text:
    """A text for people to read, such as the answer to INFO (RESP3: a verbatim string)."""

    text: str


@frozen
class SetReply:
    """Members without order (RESP3: a set)."""

    members: tuple[Any, ...]


Reply = int | bytes | None | list[Any] | dict[Any, Any] | SimpleString | ErrorReply | Text | SetReply

OK = SimpleString("OK")


def encode(reply: Any, protocol: int) -> Iterator[bytes]:
    """The bytes of a `Reply`, piece by piece, so that an array of large values need never exist in one piece.

    `protocol` is 2 or 3.
    """
    kind = cast("type[object]", type(reply))
    if kind is bytes:
        if len(reply) < LARGE_BYTES:
            yield b"$%d\r\n%b\r\n" % (len(reply), reply)
        else:
            yield b"$%d\r\n" % len(reply)
            yield reply
            yield b"\r\n"
    elif kind is SimpleString or kind is ErrorReply:
        yield reply.encoded
    elif kind is int:
        yield b":%d\r\n" % reply
    elif reply is None:
        yield b"_\r\n" if protocol == 3 else b"$-1\r\n"
    else:
        yield from _encode_compound(reply, protocol)


def _encode_compound(reply: Reply, protocol: int) -> Iterator[bytes]:
    modern = protocol == 3
    match reply:
        case list():
            yield b"*%d\r\n" % len(reply)
            for item in reply:
                yield from encode(item, protocol)
        case dict():
            yield b"%%%d\r\n" % len(reply) if modern else b"*%d\r\n" % (2 * len(reply))
            for key, value in reply.items():
                yield from encode(key, protocol)
                yield from encode(value, protocol)
        case SetReply(members):
            yield b"%c%d\r\n" % (b"~" if modern else b"*", len(members))
            for item in members:
                yield from encode(item, protocol)
        case Text(text):
            data = text.encode()
            yield (b"=%d\r\ntxt:%b\r\n" % (len(data) + 4, data) if modern else b"$%d\r\n%b\r\n" % (len(data), data))
        case _:
            raise InternalError(f"no reply can be made of a {type(reply).__name__}")
