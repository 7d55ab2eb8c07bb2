"""Whether a leader's own disk hangs."""

from __future__ import annotations

from raft_actors.raft.state import RaftState

#: How long, at least, a disk may do nothing before its leader steps down: none needs so long unless something is wrong,
#: however short the election timeouts are.
_LEAST_PATIENCE_S = 0.8


class OwnDisk:
    """Looks now and then whether the leader's disk gets on with what it was asked to write.

    Attributes:
        seen_at: when it last saw the disk work, or have nothing to do, on the node's clock.
    """

    def __init__(self, state: RaftState) -> None:
        self._state = state
        self._synced_writes = 0
        self.seen_at: float = 0.0

    def saw_it_work(self, now: float) -> None:
        """Be patient again, from now on."""
        self._synced_writes = self._state.synced_writes
        self.seen_at = now

    def silence_s(self, now: float) -> float:
        """For how long it has done nothing, as far as was looked, though writes wait; 0 where it works."""
        state = self._state
        waits = state.unsynced_writes and state.synced_writes == self._synced_writes
        return now - self.seen_at if waits else 0.0

    def hangs(self, now: float) -> bool:
        """Whether others lead better: writes wait, the disk has done none for long, and a majority is ahead of it.

        Its own vote is not needed to commit, so a leader whose disk hangs would go on until its memory is full, and
        then refuse everything. Where the others' disks hang too, nothing is gained by an election.
        """
        state = self._state
        if not state.unsynced_writes or state.synced_writes != self._synced_writes:
            self.saw_it_work(now)
            return False
        patience_s = max(state.config.election_timeout_s[1], _LEAST_PATIENCE_S)
        return now - self.seen_at >= patience_s and state.commit_index > state.log.durable_index
