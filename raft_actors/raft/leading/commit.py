"""How far a majority holds the log (§5.3, §5.4)."""

from __future__ import annotations

from collections.abc import Iterable

from raft_actors.raft.quorum import quorum_value
from raft_actors.raft.state import RaftState


class Commit:
    """Counts what is durable where, and advances the commit index by it.

    Attributes:
        match_index: follower → last entry known to be durable there (Figure 2). Commits are decided by it: the copy in
            a replicator's `Progress` is never ahead of it. The leader's own is `Log.durable_index`: its disk is one
            vote like any other, written in parallel with sending (dissertation §10.2.1).
    """

    def __init__(self, state: RaftState) -> None:
        self._state = state
        self.match_index: dict[str, int] = dict.fromkeys(state.peers, 0)

    def follow(self, followers: Iterable[str]) -> None:
        """Have these followers from now on. Of a new one nothing is known."""
        self.match_index = {follower: self.match_index.get(follower, 0) for follower in followers}

    def forget(self, follower: str) -> None:
        """Know nothing of a follower any more."""
        self.match_index.pop(follower, None)

    def record_match(self, follower: str, index: int) -> bool:
        """Note that a follower's disk holds the log up to `index`, which is no more than there is of it; return whether
        that is news.
        """
        if index <= self.match_index[follower]:
            return False
        self.match_index[follower] = index
        return True

    def advance(self) -> int | None:
        """Commit what a majority holds, if the last of it is of this term (§5.4.2, Figure 8).

        Returns:
            The new commit index, or None where it stays.
        """
        state = self._state
        if state.commit_index == state.log.last_index:
            return None  # a majority was faster
        matches = {**self.match_index, state.node_id: state.log.durable_index}
        index = int(quorum_value(matches, *state.voter_sets))
        if index <= state.commit_index or state.log.term_at(index) != state.term:
            return None
        state.commit(index)
        return index
