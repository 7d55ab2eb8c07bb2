"""Which chunks of a snapshot are under way to a follower, and which may be sent next: pure decisions (§7).

Chunks are pipelined: one round trip for each would make the network's and both disks' latency the pace. The follower
stores them in turn and says which one it wants next; that acknowledges all before it. What it did not get it can't
name, so all that follows what it wants is sent again.
"""

from __future__ import annotations

from collections import deque

import attrs

from raft_actors.records import define

#: Chunks under way, at most, however small they are: a follower has room for so many.
MOST_CHUNKS = 16

#: Bytes of chunks under way, at most; one chunk may be larger. While the follower syncs some, others are sent and read:
#: as many as that takes. More would wait in its memory.
MOST_BYTES = 16 * 1024 * 1024


@define(eq=False)
class ChunkWindow:
    """The chunks of one snapshot on their way to one follower.

    Attributes:
        chunk_count: how many there are.
        acknowledged: the follower has the chunks below.
        next_chunk: the next to be sent.
    """

    chunk_count: int
    acknowledged: int = 0
    next_chunk: int = 0
    _sizes: deque[int] = attrs.field(factory=deque[int], init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _rewound_to: int | None = attrs.field(default=None, init=False)
    _asked_again: int | None = attrs.field(default=None, init=False)
    """A chunk below `acknowledged` that the follower wanted since it got further last. If that is no late answer, it
    has lost what it had, and has got some of it again from copies that were still on their way."""
    _sent_twice_below: int = attrs.field(default=0, init=False)
    """The chunks below were sent, and then again. A follower that has got both answers the second ones with this."""

    @property
    def may_send(self) -> bool:
        """Whether the next chunk may be sent now."""
        if self.next_chunk >= self.chunk_count:
            return False
        return not self._sizes or (len(self._sizes) < MOST_CHUNKS and self._bytes < MOST_BYTES)

    @property
    def room(self) -> tuple[int, int]:
        """How many chunks may be sent now, at least one, and of how many bytes; not more than there are."""
        chunks = min(self.chunk_count - self.next_chunk, MOST_CHUNKS - len(self._sizes))
        return max(1, chunks), MOST_BYTES - self._bytes

    def sent(self, size: int) -> None:
        """Note that the next chunk was sent."""
        self.next_chunk += 1
        self._sizes.append(size)
        self._bytes += size

    def answered(self, wanted: int) -> bool:
        """The follower wants this chunk next. Returns whether it has got further."""
        if self.acknowledged < wanted <= self.chunk_count:
            for _ in range(min(wanted - self.acknowledged, len(self._sizes))):
                self._bytes -= self._sizes.popleft()
            self.acknowledged = wanted
            self.next_chunk = max(self.next_chunk, wanted)
            self._rewound_to = self._asked_again = None
            return True
        self._asked_again = wanted if 0 < wanted < self.acknowledged else None
        # It has missed that chunk, or it has lost all and begins anew. It says so of each that it can't use: go back
        # once. But where it says so of what it has got twice, to send all the rest for that, and so twice, would never
        # end. Anything else is late, unless nothing better follows.
        missed = wanted == 0 or wanted == self.acknowledged != self._sent_twice_below
        if missed and wanted != self._rewound_to and wanted < self.next_chunk:
            self.acknowledged = wanted
            self.rewind()
            self._rewound_to = wanted
        return False

    def rewind(self) -> None:
        """Nothing was heard for long: send all again that was not acknowledged."""
        if self.next_chunk > self.acknowledged:
            self._sent_twice_below = max(self._sent_twice_below, self.next_chunk)
        if self._asked_again is not None:
            self.acknowledged = self._asked_again
        self.next_chunk = self.acknowledged
        self._sizes.clear()
        self._bytes = 0
        self._rewound_to = self._asked_again = None
