"""Every replica computes the same: each state machine executes the same commands in the same order, and so reaches the
same state with the same outputs (Raft paper, §2)."""

from __future__ import annotations

from collections.abc import Hashable

from typing_extensions import override

from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class EqualResults(Invariant):
    """All nodes get the same result from the same command, and write the same snapshot at the same index.

    It finds state machines that are not deterministic, and a `restore` that forgets something. Snapshots are compared
    as bytes: a state machine whose equal states can have different snapshots (because they hold an order that does not
    matter, say) is better checked with `EqualResults` replaced by `EqualResults.without_snapshots`.
    """

    name = "equal results on all replicas"
    source = "Raft paper, §2"
    compare_snapshots = True

    def __init__(self) -> None:
        super().__init__()
        self._digests: dict[int, tuple[int, str]] = {}

    @classmethod
    def without_snapshots(cls) -> EqualResults:
        """The same for results alone."""
        invariant = cls()
        invariant.compare_snapshots = False
        return invariant

    @override
    def applied(self, life: Life, index: int, command: bytes, result: Hashable) -> None:
        """Compare a result with what others got."""
        history, position = self.facts.history, life.applied_count
        if position < len(history) and history[position].result != result:
            self.fail(
                f"{life} got {result!r} from {command!r} of entry {index}, where others got "
                f"{history[position].result!r}; {life.node_id} {life.origin}"
            )

    @override
    def digested(self, life: Life, index: int, digest: int) -> None:
        """Compare a state with that of others at the same index."""
        if not self.compare_snapshots:
            return
        known, owner = self._digests.setdefault(index, (digest, f"{life}, which {life.origin}"))
        if known != digest:
            where = self.facts.snapshots.difference(index)
            mine = f"{life}, which {life.origin}"
            self.fail(f"the snapshot of {mine}, at entry {index} differs from that of {owner}{where}")
