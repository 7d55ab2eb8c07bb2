"""About how many bytes of entries a log holds from an index on, for the price of an addition for each batch."""

from __future__ import annotations

from bisect import bisect_left

_SAMPLE_BYTES = 1024 * 1024


class LogSizes:
    """Every so many bytes, an index and what there was up to it.

    Attributes:
        total: bytes of all entries that were ever appended, as far as known.
        next_sample: `sample` is due once `total` has come to this.
    """

    def __init__(self, first_index: int, total: int) -> None:
        self.total: int = total
        self.next_sample: int = total + _SAMPLE_BYTES
        self._indexes = [first_index]
        self._totals = [0]

    def sample(self, last_index: int) -> None:
        """Note that what follows `last_index` begins after `total` bytes."""
        self._indexes.append(last_index + 1)
        self._totals.append(self.total)
        self.next_sample = self.total + _SAMPLE_BYTES

    def truncate(self, from_index: int) -> None:
        """The entries from `from_index` on are gone; of some of them it stays unknown how large they were."""
        while len(self._indexes) > 1 and self._indexes[-1] > from_index:
            self._indexes.pop()
            self.total = self._totals.pop()
        self.next_sample = self.total + _SAMPLE_BYTES

    def compact(self, first_index: int) -> None:
        """The entries below are gone."""
        keep = max(0, bisect_left(self._indexes, first_index + 1) - 1)
        del self._indexes[:keep], self._totals[:keep]

    def index_within(self, max_bytes: int) -> int:
        """The lowest index known from which on there are at most `max_bytes`, and less than a sample's more."""
        position = bisect_left(self._totals, self.total - max_bytes)
        return self._indexes[min(position, len(self._indexes) - 1)]
