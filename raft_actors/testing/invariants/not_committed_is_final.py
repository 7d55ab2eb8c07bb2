"""Who is told that a command is not committed is told the truth, for ever (§5.4, Figure 3)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class NotCommittedIsFinal(Invariant):
    """No entry of which a proposer was told that it never will be committed is ever committed, on any node."""

    name = "not committed is final"
    source = "§5.4, Figure 3; docs/guarantees.md"

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[int, set[int]] = {}  # index → terms, as far as nothing is known to be committed there

    @override
    def not_committed(self, index: int, term: int) -> None:
        """Remember it, and look at once."""
        self._told.setdefault(index, set()).add(term)
        self._look()

    @override
    def changed(self, life: Life) -> None:
        """Something more may be committed by now."""
        if self._told:
            self._look()

    def _look(self) -> None:
        committed = self.facts.committed
        for index in [index for index in self._told if index <= committed.last_index]:
            term = committed.term_at(index)
            if term in self._told.pop(index):
                self.fail(f"a proposer was told that entry {index} of term {term} is not committed, and it is")
