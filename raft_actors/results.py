"""How results of commands become bytes, where they are kept: for a session's retries, and in snapshots."""

from __future__ import annotations

from typing import Any

import msgpack  # pyright: ignore[reportMissingTypeStubs]

_msgpack: Any = msgpack
_TUPLE = 1


class _PlainResults:
    """None, bool, int, float, str, bytes, and lists, tuples and dicts of these."""

    def encode(self, command: Any) -> bytes:
        """Return the result's bytes.

        Raises:
            TypeError: it holds something else.
        """
        try:
            data: bytes = _msgpack.packb(command, strict_types=True, default=self._tuple)
        except (ValueError, OverflowError) as error:
            raise TypeError(f"{type(command).__name__} can't be kept: {error}") from error
        return data

    def decode(self, data: bytes) -> Any:
        return _msgpack.unpackb(data, strict_map_key=False, ext_hook=self._opened)

    def _tuple(self, value: Any) -> Any:
        if value.__class__ is not tuple:
            raise TypeError(f"{value.__class__.__name__} can't be kept: set StateMachine.results")
        return _msgpack.ExtType(_TUPLE, self.encode(list(value)))

    def _opened(self, code: int, data: bytes) -> Any:
        if code != _TUPLE:
            raise ValueError(f"no plain result: extension {code}")
        return tuple(self.decode(data))


PLAIN_RESULTS = _PlainResults()
"""The codec of results that are plain values."""
