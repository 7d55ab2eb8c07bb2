"""A connection to a node, as the board sees it: what is to be sent over it, and what is under way there."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from raft_actors.client.call import Call
from raft_actors.node.client_messages import MOST_NUMBER, Ask, Notice, pack
from raft_actors.records import define


@define(eq=False)
class Line:
    """A connection to a node.

    Attributes:
        address: where it leads.
        wake: have `outgoing` sent.
        notice: what the node said last; None: it has not been heard yet, or the connection is down.
        calls: number → request, of those that are under way.
        outgoing: payloads to be sent.
        behind_since: from when on others have known more; infinite: they don't.
    """

    address: str
    wake: Callable[[], None]
    notice: Notice | None = None
    calls: dict[int, Call] = attrs.field(factory=dict[int, Call])
    outgoing: list[bytes] = attrs.field(factory=list[bytes])
    behind_since: float = math.inf
    _last_number: int = 0

    def send(self, call: Call) -> None:
        """Have a request sent."""
        number = self._last_number % MOST_NUMBER + 1
        while number in self.calls:  # it has been under way for four billion others
            number = number % MOST_NUMBER + 1
        self._last_number = call.number = number
        call.line = self
        self.calls[number] = call
        self.outgoing.append(pack(call.ask, number, call.body))
        self.wake()

    def cancel(self, call: Call) -> None:
        """Let go of a request: nobody waits for what this node says of it."""
        if self.calls.pop(call.number, None) is not None and self.notice is not None:
            self.outgoing.append(pack(Ask.CANCEL, call.number))
            self.wake()
        call.line = None

    @property
    def has_room(self) -> bool:
        """Whether one more request may be under way."""
        return self.notice is not None and len(self.calls) < self.notice.most_requests

    @property
    def rank(self) -> tuple[bool, int]:
        """How much the node knows: of two, the higher one is the newer."""
        return (False, -1) if self.notice is None else (self.notice.leader is not None, self.notice.term)
