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


class _Pack(Protocol):
    def __call__(self, value: object) -> bytes: ...


class _Unpack(Protocol):
    def __call__(self, data: bytes) -> Any: ...


def open_packer() -> Packer:
    """A packer with an empty buffer."""
    packer: Packer = _untyped.Packer(autoreset=False)
    return packer


def open_unpacker() -> Unpacker:
    """An unpacker that takes values of any size."""
    unpacker: Unpacker = _untyped.Unpacker(max_buffer_size=0)
    return unpacker


pack: _Pack = _untyped.Packer(autoreset=True).pack
"""One value as bytes; half the price of `msgpack.packb`, which makes a packer each time."""

unpack: _Unpack = _untyped.unpackb
"""The one value that the bytes are; raises `ValueError` or `UnpackError` where they are none."""

UnpackError: type[Exception] = _untyped.exceptions.UnpackException
