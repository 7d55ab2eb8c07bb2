"""When the members of a cluster changed, as one node saw it."""

from __future__ import annotations

import time
from typing import Any

import attrs

from benchmarks.workers.wire import Reply
from raft_actors import MembershipChanged, Node, StateMachine


@attrs.define
class Changes:
    """Notes them while `watch` runs: when, in ns, and whether newcomers learn, or are being made voters."""

    _seen: list[tuple[int, str]] = attrs.field(factory=list[tuple[int, str]])

    async def watch(self, node: Node[StateMachine[Any, Any]]) -> None:
        """Note each change until cancelled."""
        async with node.events() as events:
            async for event in events:
                if isinstance(event, MembershipChanged):
                    learning = event.learners and not event.outgoing
                    self._seen.append((time.time_ns(), "learning" if learning else "deciding"))

    def result(self) -> Reply:
        """What was seen so far, the oldest first."""
        return {"changes": list(self._seen)}
