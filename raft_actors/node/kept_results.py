"""Results of commands, kept for a reader of the applied log, which comes for them at its own pace."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, Literal

from raft_actors.errors import ConfigurationError


class _NotKept(enum.Enum):
    NOT_KEPT = enum.auto()

    def __repr__(self) -> str:
        return "NOT_KEPT"


NOT_KEPT: Final = _NotKept.NOT_KEPT
"""In place of a result: this node applied the command before the reader was there, or the reader has fallen too far
behind since."""

NotKept = Literal[_NotKept.NOT_KEPT]


class KeptResults:
    """The latest results, up to `capacity` of them: 0 <= kept <= capacity. Beyond it, the oldest are let go.

    The applier puts in what it has, the reader takes out what it comes to.
    """

    def __init__(self, capacity: int, next_index: int) -> None:
        """Keep the results of entries from `next_index` on."""
        self._kept: deque[Any] = deque(maxlen=capacity)
        self._next_index = next_index

    def put(self, results: Sequence[Any], first_index: int) -> None:
        """Keep results of consecutive entries; those that were put before are passed over."""
        end = first_index + len(results)
        if end <= self._next_index:
            return
        if first_index > self._next_index:  # a snapshot covers what is between
            self._kept.clear()
        self._kept.extend(islice(results, max(0, self._next_index - first_index), None))
        self._next_index = end

    def take(self, index: int) -> Any:
        """The result of the entry at `index`, or `NOT_KEPT`; it and all before it are let go."""
        kept = self._kept
        first_index = self._next_index - len(kept)
        if not first_index <= index < self._next_index:
            return NOT_KEPT
        for _ in range(index - first_index):
            kept.popleft()
        return kept.popleft()


class ResultReaders:
    """Those who read the applied log now.

    Attributes:
        any: whether there is one that wants results.
    """

    def __init__(self) -> None:
        self.any: bool = False
        self._readers: list[KeptResults] = []

    @contextmanager
    def keeping(self, capacity: int, next_index: int) -> Generator[KeptResults, None, None]:
        """Keep results from `next_index` on for one more of them.

        Raises:
            ConfigurationError: no such number can be kept.
        """
        if capacity < 0:
            raise ConfigurationError(f"kept_results can't be {capacity}: 0 keeps none")
        reader = KeptResults(capacity, next_index)
        if capacity:
            self._readers.append(reader)
            self.any = True
        try:
            yield reader
        finally:
            if capacity:
                self._readers.remove(reader)
                self.any = bool(self._readers)

    def put(self, results: Sequence[Any], first_index: int) -> None:
        """Let each have these."""
        for reader in self._readers:
            reader.put(results, first_index)
