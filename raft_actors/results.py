"""How results of commands become bytes, where they are kept: for a session's retries, and in snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack  # pyright: ignore[reportMissingTypeStubs]

from raft_actors.commands import CommandCodec

_msgpack: Any = msgpack
_TUPLE = 1

_MOST_DEEP = 32
"""Tuples within tuples. Each is unpacked within the one around it, which takes some 40 KB of the thread's stack: 200 of
them, in less than a kilobyte, end the process."""


#: Classes whose values hold no others: there are no tuples to look for.
_FLAT = frozenset({type(None), bool, int, float, str, bytes})


#: Longer ones are packed each by a packer of its own.
_SMALL_BYTES = 1024


class _PlainResults:
    """None, bool, int, float, str, bytes, and lists, tuples and dicts of these."""

    def encode(self, command: Any) -> bytes:
        """Return the result's bytes.

        Raises:
            TypeError: it holds something else.
        """
        return _packed(command) if command.__class__ in _FLAT else _pack(command, 0)

    def decode(self, data: bytes) -> Any:
        return _msgpack.unpackb(data, strict_map_key=False, ext_hook=_open_outer)


def _pack(value: Any, depth: int) -> bytes:
    def pack_tuple(inner: Any) -> Any:
        if inner.__class__ is not tuple:
            raise TypeError(f"{inner.__class__.__name__} can't be kept: set StateMachine.results")
        if depth == _MOST_DEEP:
            raise TypeError(f"more than {_MOST_DEEP} tuples within each other can't be kept: set StateMachine.results")
        return _msgpack.ExtType(_TUPLE, _pack(list(inner), depth + 1))

    return _packed(value, strict_types=True, default=pack_tuple)


def _packed(value: Any, **options: Any) -> bytes:
    try:
        data: bytes = _msgpack.packb(value, **options)
    except (ValueError, OverflowError) as error:
        raise TypeError(f"{type(value).__name__} can't be kept: {error}") from error
    return data


def _open_outer(code: int, data: bytes) -> Any:
    return _open_tuple(code, data, 1)


def _open_tuple(code: int, data: bytes, depth: int) -> Any:
    if code != _TUPLE or depth > _MOST_DEEP:
        raise ValueError(f"no plain result: extension {code}, {depth} within each other")

    def open_inner(code: int, data: bytes) -> Any:
        return _open_tuple(code, data, depth + 1)

    return tuple(_msgpack.unpackb(data, strict_map_key=False, ext_hook=open_inner))


PLAIN_RESULTS = _PlainResults()
"""The codec of results that are plain values."""


def encoder_for_one(codec: CommandCodec[Any]) -> Callable[[Any], bytes]:
    """`codec.encode` for a user who never calls it from two threads, nor from within itself: the packer, which takes
    longer to make than most results to pack, is made once. It keeps the room that the largest took.
    """
    if codec is not PLAIN_RESULTS:
        return codec.encode
    pack = _msgpack.Packer(buf_size=_SMALL_BYTES).pack

    def encode(result: Any) -> bytes:
        kind = result.__class__
        if kind not in _FLAT or ((kind is bytes or kind is str) and len(result) > _SMALL_BYTES):
            return codec.encode(result)
        try:
            data: bytes = pack(result)
        except (ValueError, OverflowError) as error:
            raise TypeError(f"{type(result).__name__} can't be kept: {error}") from error
        return data

    return encode
