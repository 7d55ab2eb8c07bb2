"""Leader completeness: if a log entry is committed in a given term, then that entry will be present in the logs of the
leaders for all higher-numbered terms (Raft paper, Figure 3 and §5.4)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.transitions import RoleName
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class LeaderCompleteness(Invariant):
    """A new leader's log holds all that was committed in earlier terms.

    Looked at when it takes over, which is enough: a leader's log only grows.
    """

    name = "leader completeness"
    source = "Raft paper, Figure 3 and §5.4"

    @override
    def became(self, life: Life) -> None:
        """Compare a new leader's log with what was committed before its term."""
        if life.role is None or life.role.name is not RoleName.LEADER:
            return
        state, committed = life.state, self.facts.committed
        last_index = committed.last_known_before(state.term)
        index = committed.mismatch(state.log, 1, last_index)
        if index is not None:
            self.fail(
                f"{life} leads term {state.term} without entry {index} of term {committed.term_at(index)}, which was "
                "committed before"
            )
