"""Replies as a session keeps them, in case they are lost on their way: small ones whole; of large ones, a mark."""

from __future__ import annotations

from typing import Any, cast

import msgpack  # pyright: ignore[reportMissingTypeStubs]

from raft_actors.commands import CommandCodec
from raft_actors.service.replies import OK, ErrorReply, Reply, SimpleString

_msgpack: Any = msgpack

MOST_BYTES = 32 * 1024
"""Kept of one entry's values. A session has a thousand under way at most, and all sessions have 64 MiB."""

NOT_KEPT = ErrorReply("UNKNOWN the reply to this command, which was carried out: it was lost, and too large to be kept")
_SIMPLE, _ERROR = 1, 2


class _KeptReplies:
    """Integers, bytes, None, simple strings, errors, and lists of these."""

    def encode(self, command: Reply) -> bytes:
        """Return the reply's bytes.

        Raises:
            TypeError: no reply of the state machine.
        """
        if command is OK:
            return _OK
        packed: bytes = _msgpack.packb(_bounded(command, [MOST_BYTES]), default=_extended)
        return packed

    def decode(self, data: bytes) -> Reply:
        reply: Reply = _msgpack.unpackb(data, ext_hook=_opened)
        return reply


def _bounded(reply: Any, room: list[int]) -> Any:
    kind = cast("type[object]", type(reply))
    if kind is list:
        return [_bounded(item, room) for item in reply]
    if kind is bytes:
        if len(reply) > room[0]:
            return NOT_KEPT
        room[0] -= len(reply)
    return reply


def _extended(reply: object) -> object:
    match reply:
        case SimpleString(text):
            return _msgpack.ExtType(_SIMPLE, text.encode(errors="surrogateescape"))
        case ErrorReply(text):
            return _msgpack.ExtType(_ERROR, text.encode(errors="surrogateescape"))
        case _:
            raise TypeError(f"no reply of the state machine: {type(reply).__name__}")


def _opened(code: int, data: bytes) -> Reply:
    text = data.decode(errors="surrogateescape")
    return OK if text == OK.text and code == _SIMPLE else SimpleString(text) if code == _SIMPLE else ErrorReply(text)


_OK: bytes = _msgpack.packb(OK, default=_extended)
KEPT_REPLIES: CommandCodec[Any] = _KeptReplies()
"""The codec of the key-value machine's results."""
