"""Snapshots of a simulated cluster, as much of them as it takes to show where two begin to differ."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from raft_actors.config import MIB

#: Of each snapshot, and of all of them together.
_PREFIX_BYTES = 1 * MIB
_ALL_BYTES = 16 * MIB


@attrs.define
class KeptSnapshots:
    """The beginning of the first snapshot at each of the latest indexes, and of the one that was written last."""

    _first: OrderedDict[int, bytes] = attrs.field(factory=OrderedDict[int, bytes], init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _latest: tuple[int, bytes] = attrs.field(default=(0, b""), init=False)

    def add(self, index: int, data: bytes) -> None:
        """Keep a snapshot at this index; of those that would be too much, the oldest are let go."""
        data = data[:_PREFIX_BYTES]
        self._latest = (index, data)
        if index in self._first:
            return
        self._first[index] = data
        self._bytes += len(data)
        while self._bytes > _ALL_BYTES:
            self._bytes -= len(self._first.popitem(last=False)[1])

    def difference(self, index: int) -> str:
        """How the latest snapshot differs from the first at the same index, in words; "" where that is not known."""
        first, (latest_index, latest) = self._first.get(index), self._latest
        if first is None or latest_index != index:
            return ""
        if first == latest:
            return f": not in their first {len(first):,} bytes"
        return f": {difference(latest, first)}"


def difference(one: bytes, other: bytes) -> str:
    """Show where two snapshots begin to differ, with some bytes around."""
    at = next(
        (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    begin = max(0, at - 16)
    ours, theirs = one[begin : at + 24], other[begin : at + 24]
    return f"at byte {at:,} {ours!r} against {theirs!r} ({len(one):,} and {len(other):,} B)"
