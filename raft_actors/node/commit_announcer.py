"""Word of a commit for followers that get nothing else to tell them of it.

An append carries the commit index as it is when it is sent, which is before the append itself is committed. So a
follower learns that an entry is committed, and applies it, with the next append: at once under load, and where nothing
follows, without this, with the next heartbeat.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

from raft_actors.actors.clock import NodeClock
from raft_actors.node.replicator import Replicator
from raft_actors.raft.state import RaftState

#: How long the next append may take to come. Shorter: more messages at a moderate load. Longer: followers that apply
#: later.
_MOMENT_S = 0.002

#: How long to wait where appends do come: to look more often would cost a busy leader, and gain nothing.
_LONGEST_MOMENT_S = 0.008


class CommitAnnouncer:
    """Lives as long as a leadership, parked while there is nothing to tell. See the module's text."""

    def __init__(self, state: RaftState, replicators: Iterable[Replicator], clock: NodeClock) -> None:
        self._state = state
        self._replicators = replicators
        self._now = clock.now
        self._alarm = clock.alarm()
        self._parked = trio.lowlevel.ParkingLot()

    def wake(self) -> None:
        """The commit index has grown."""
        if self._parked:
            self._parked.unpark()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Announce commits until cancelled, which the end of the leadership does."""
        while True:
            await self._parked.park()
            await self._wait_until_quiet()
            for replicator in self._replicators:
                replicator.announce_commit()

    async def _wait_until_quiet(self) -> None:
        """Wait while appends go out, or one is under way whose commit will have to be told too."""
        log, moment_s = self._state.log, _MOMENT_S
        while True:
            last_index = log.last_index
            await self._alarm.wait(self._now() + moment_s)
            if log.last_index == last_index == self._state.commit_index:
                return
            moment_s = min(2 * moment_s, _LONGEST_MOMENT_S)
