"""What peers have said that no honest member can say."""

from __future__ import annotations

from collections import Counter

from raft_actors.node_log import NodeLog
from raft_actors.raft.effects import RefuseMessage
from raft_actors.raft.impossible import Impossible
from raft_actors.transports.abc import Transport

#: Lines about them in a node's life: whoever says such things without end fills no disk.
_MOST_LINES = 256


class RefusedMessages:
    """Counts them, tells of the first of each kind from each peer, and has the connection ended.

    Attributes:
        by_cause: how many there were.
    """

    def __init__(self, log: NodeLog, transport: Transport) -> None:
        self._log = log
        self._transport = transport
        self._told: set[tuple[str, Impossible]] = set()
        self.by_cause: Counter[Impossible] = Counter()

    def refuse(self, effect: RefuseMessage) -> None:
        """Perform the effect."""
        self.by_cause[effect.cause] += 1
        told = (effect.peer, effect.cause)
        if told not in self._told and len(self._told) < _MOST_LINES:
            self._told.add(told)
            self._log.warning("drops, as all such that follow, what peer %s said: %s", effect.peer, effect.why)
        self._transport.refuse(effect.peer, effect.why)
