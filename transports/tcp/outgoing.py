"""What waits to be written to one peer: what is small and urgent before what is large.

Votes, words of who leads, acknowledgements and questions are some bytes each, and a cluster stands still without them.
Behind megabytes of entries for a peer with a slow link they would come after the election timeout. So they have a
queue of their own, which goes first; and where there is no room for more entries, there is for them. Nobody relies on
the order of messages of different kinds (see `Transport`); each queue keeps its own. A heartbeat stays among the
entries, as it names the one before it; what it is behind tells the follower as well that the leader lives.
"""

from __future__ import annotations

from collections import deque

import attrs

from raft_actors.raft.messages import AppendEntries, ForwardProposals, InstallSnapshot, Message
from raft_actors.records import define

_BULK = frozenset({AppendEntries, ForwardProposals, InstallSnapshot})

Queued = tuple[Message, int]


@define(eq=False)
class OutgoingQueue:
    """Messages to one peer with about their sizes, in the order in which they go.

    Attributes:
        max_messages: how many may wait of each sort.
        max_bytes: how many bytes may wait of bulk; a message that finds nothing before it may be larger.
        bytes: of all that waits.
    """

    max_messages: int
    max_bytes: int
    bytes: int = 0
    _urgent: deque[Queued] = attrs.field(factory=deque[Queued], init=False)
    _bulk: deque[Queued] = attrs.field(factory=deque[Queued], init=False)
    _bulk_bytes: int = attrs.field(default=0, init=False)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._bulk)

    def has_room(self, message: Message, size: int) -> bool:
        """Whether this one may wait, too."""
        if type(message) not in _BULK:
            return len(self._urgent) < self.max_messages
        bulk = self._bulk
        return len(bulk) < self.max_messages and (self._bulk_bytes + size <= self.max_bytes or not bulk)

    def put(self, message: Message, size: int) -> None:
        """Have it wait."""
        self.bytes += size
        if type(message) in _BULK:
            self._bulk.append((message, size))
            self._bulk_bytes += size
        else:
            self._urgent.append((message, size))

    def take(self) -> Queued:
        """The next one to go. Only where one waits."""
        queue = self._urgent or self._bulk
        message, size = queue.popleft()
        self.bytes -= size
        if queue is self._bulk:
            self._bulk_bytes -= size
        return message, size

    def clear(self) -> None:
        """Drop all."""
        self._urgent.clear()
        self._bulk.clear()
        self.bytes = self._bulk_bytes = 0
