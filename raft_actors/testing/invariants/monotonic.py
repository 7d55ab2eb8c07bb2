"""Term, commit index and last applied only grow: Figure 2 says "increases monotonically" of each (Raft paper)."""

from __future__ import annotations

from collections.abc import Hashable

from typing_extensions import override

from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class Monotonic(Invariant):
    """Within one life, a node's term, commit index, applied index and snapshot never go back; nor does its vote within
    a term."""

    name = "term, commit and applied index only grow"
    source = "Raft paper, Figure 2"

    @override
    def changed(self, life: Life) -> None:
        """Compare with the last look."""
        state = life.state
        if state.term < life.seen_term:
            self.fail(f"the term of {life} fell from {life.seen_term} to {state.term}")
        elif state.term == life.seen_term and life.seen_voted_for not in (None, state.voted_for):
            self.fail(
                f"{life} changed its vote of term {state.term} from {life.seen_voted_for!r} to {state.voted_for!r}"
            )
        if state.commit_index < life.seen_commit:
            self.fail(f"the commit index of {life} fell from {life.seen_commit} to {state.commit_index}")
        snapshot, before = state.log.snapshot, life.seen_snapshot
        if before is not None and (snapshot is None or snapshot.index < before.index):
            self.fail(f"{life} replaced its {before} by {snapshot}")

    @override
    def applied(self, life: Life, index: int, command: bytes, result: Hashable) -> None:
        """Compare with what was applied before."""
        if index <= life.applied_index:
            self.fail(f"{life} applied entry {index} after entry {life.applied_index}")

    @override
    def restored(self, life: Life, index: int, count: int) -> None:
        """Compare with what was applied before."""
        if index < life.applied_index:
            self.fail(f"{life} went back from entry {life.applied_index} to a snapshot at {index}")
