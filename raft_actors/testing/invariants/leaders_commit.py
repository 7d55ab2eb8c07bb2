"""Leaders commit: the leader decides when it is safe to apply a log entry, and all others learn it from a leader (Raft
paper, §5.3)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.transitions import RoleName
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class LeadersCommit(Invariant):
    """No node takes for committed what no leader has committed yet.

    It shows a wrong commit index also where, by luck, the entries that it covers are committed later.
    """

    name = "leaders commit"
    source = "Raft paper, §5.3"

    def __init__(self) -> None:
        super().__init__()
        self._committed = 0

    @override
    def changed(self, life: Life) -> None:
        """Compare a commit index with what leaders have committed."""
        commit_index = life.state.commit_index
        if commit_index <= self._committed:
            return
        if life.role is not None and life.role.name is RoleName.LEADER:
            self._committed = commit_index
        else:
            self.fail(f"{life} takes entry {commit_index} for committed, and leaders have come to {self._committed}")
