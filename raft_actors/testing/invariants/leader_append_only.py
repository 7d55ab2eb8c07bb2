"""Leader append-only: a leader never overwrites or deletes entries in its log (Raft paper, Figure 3 and §5.3)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.transitions import RoleName
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class LeaderAppendOnly(Invariant):
    """While a node leads, its log only grows at the end (and shrinks at the front, where a snapshot covers it)."""

    name = "leader append-only"
    source = "Raft paper, Figure 3 and §5.3"

    @override
    def changed(self, life: Life) -> None:
        """Compare a leader's log with how it was before this decision."""
        role = life.role
        if role is None or role.name is not RoleName.LEADER or role is not life.seen_role:
            return
        log = life.log
        if log.epoch != life.seen_epoch or log.last_index < life.seen_last:
            self.fail(
                f"{life}, leader of term {life.state.term}, has removed entries from its log, which ended at "
                f"{life.seen_last} and now ends at {log.last_index}"
            )
