"""msgpack with types: it comes without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgpack  # pyright: ignore[reportMissingTypeStubs]

_untyped: Any = msgpack


class Packer(Protocol):
    """Encodes values one after the other into a buffer of its own."""

    def pack(self, value: object) -> None:
        """Append a value."""

    def bytes(self) -> bytes:
        """What was packed since the last reset."""
        ...

    def getbuffer(self) -> memoryview:
        """The same without a copy."""
        ...

    def reset(self) -> None:
        """Empty the buffer."""


class Unpacker(Protocol):
    """Decodes values from a stream that arrives in chunks."""

    def feed(self, chunk: bytes) -> None:
        """Add bytes."""

    def __iter__(self) -> Iterator[Any]:
        """The values that are complete."""
        ...

    def tell(self) -> int:
        """How many bytes these were, of all."""
        ...


class _Pack(Protocol):
    def __call__(self, value: object) -> bytes: ...


class _Unpack(Protocol):
    def __call__(self, data: bytes) -> Any: ...


def open_packer() -> Packer:
    """A packer with an empty buffer."""
    packer: Packer = _untyped.Packer(autoreset=False)
    return packer


def open_unpacker() -> Unpacker:
    """An unpacker that takes byte strings of any size, and nothing that holds other values: an empty array takes one
    byte to send, and some sixty to hold.
    """
    unpacker: Unpacker = _untyped.Unpacker(
        max_buffer_size=0, max_array_len=0, max_map_len=0, max_ext_len=0, max_str_len=0
    )
    return unpacker


pack: _Pack = _untyped.Packer(autoreset=True).pack
"""One value as bytes; half the price of `msgpack.packb`, which makes a packer each time."""

unpack: _Unpack = _untyped.unpackb
"""The one value that the bytes are; raises `ValueError` or `UnpackError` where they are none."""

UnpackError: type[Exception] = _untyped.exceptions.UnpackException

_LITTLE_BYTES = 4096


def unpack_flat(data: bytes) -> Any:
    """The same for an array that holds no other one; other values in it are the caller's to look at.

    Many empty arrays within one would take sixty times their bytes: they are refused before they are there.
    """
    if len(data) <= _LITTLE_BYTES:
        return unpack(data)
    return _untyped.unpackb(data, list_hook=_Once(), max_map_len=0, max_ext_len=0, max_str_len=0)


class _Once:
    """Takes one array: the outer one, which is complete last."""

    def __init__(self) -> None:
        self._taken = False

    def __call__(self, items: list[Any]) -> list[Any]:
        if self._taken:
            raise ValueError("an array in an array")
        self._taken = True
        return items
