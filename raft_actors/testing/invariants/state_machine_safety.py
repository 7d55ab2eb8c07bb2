"""State machine safety: if a server has applied a log entry at a given index to its state machine, no other server will
ever apply a different log entry for the same index (Raft paper, Figure 3 and §5.4.3)."""

from __future__ import annotations

from collections.abc import Hashable

from typing_extensions import override

from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class StateMachineSafety(Invariant):
    """The n-th command that any node applies is the same, at the same log index.

    So none is skipped, and none is applied twice within one life of a node. A snapshot takes a state machine to where
    it was taken, and counts the commands that lead there.
    """

    name = "state machine safety"
    source = "Raft paper, Figure 3 and §5.4.3"

    @override
    def applied(self, life: Life, index: int, command: bytes, result: Hashable) -> None:
        """Compare a command with the one that others applied as the n-th."""
        number, history = life.applied_count + 1, self.facts.history
        if number > len(history):
            self.fail(f"{life} applies entry {index} as command number {number}, of {len(history)} that there are")
            return
        first = history[number - 1]
        if first.index != index or first.command != command:
            self.fail(
                f"{life} applied {command!r} of entry {index} as command number {number}, where others applied "
                f"{first.command!r} of entry {first.index}"
            )

    @override
    def restored(self, life: Life, index: int, count: int) -> None:
        """Compare how many commands a snapshot covers with how many there are up to there."""
        covered = self.facts.count_until(index)
        if count != covered:
            self.fail(f"{life} restored a snapshot at entry {index} with {count} commands; {covered} were applied")
