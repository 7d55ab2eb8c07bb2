"""A term begins with an entry of its leader: without one, nothing older could be known to be committed until somebody
proposes something (Raft paper, §5.4.2 and §8)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.transitions import RoleName
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class TermBeginsWithEntry(Invariant):
    """A new leader's first decision appends an entry of its term."""

    name = "a term begins with an entry"
    source = "Raft paper, §8"

    @override
    def became(self, life: Life) -> None:
        """Look at the end of a new leader's log."""
        if life.role is None or life.role.name is not RoleName.LEADER:
            return
        state = life.state
        if state.log.term_at(state.log.last_index) != state.term:
            self.fail(f"{life} leads term {state.term} with a log that ends at {state.log.last_index} in an older term")
