"""purged ≤ snapshot ≤ applied ≤ committed ≤ last: each index lies where the next one allows it (Raft paper, Figure 2,
§5.3 and §7)."""

from __future__ import annotations

from collections.abc import Hashable

from typing_extensions import override

from raft_actors.raft.messages import InstallSnapshot, Message
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class IndexOrder(Invariant):
    """What is purged is in the snapshot, what is in the snapshot was applied, what is applied is committed, and what is
    committed is in the log.

    A snapshot that a leader sent is current before the state machine has been restored from it: in between, it may lie
    beyond what is applied.
    """

    name = "purged ≤ snapshot ≤ applied ≤ committed ≤ last"
    source = "Raft paper, Figure 2 and §7"

    def __init__(self) -> None:
        super().__init__()
        self._offered: dict[str, set[SnapshotMetadata]] = {}

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Note which snapshots a node may come to without having applied what they cover."""
        if type(message) is InstallSnapshot:
            self._offered.setdefault(to, set()).add(message.snapshot)

    @override
    def changed(self, life: Life) -> None:
        """Compare the indexes."""
        state = life.state
        log, commit = state.log, state.commit_index
        snapshot = log.snapshot
        snapshot_index = snapshot.index if snapshot is not None else 0
        if not log.first_index - 1 <= snapshot_index <= commit <= log.last_index:
            self.fail(
                f"{life} has purged up to {log.first_index - 1}, a snapshot at {snapshot_index}, commit index {commit} "
                f"and a log that ends at {log.last_index}"
            )
        applier = life.supervisor.applier if life.supervisor is not None else None
        applied = applier.applied_index if applier is not None else life.applied_index
        if applied > commit:
            self.fail(f"{life} has applied entry {applied}, and committed is {commit}")
        if snapshot is not None and snapshot_index > applied and snapshot not in self._offered.get(life.node_id, ()):
            self.fail(f"{life} has a {snapshot} of its own, and has applied {applied}")

    @override
    def applied(self, life: Life, index: int, command: bytes, result: Hashable) -> None:
        """Compare with what is committed."""
        if index > life.state.commit_index:
            self.fail(f"{life} applied entry {index}, and committed is {life.state.commit_index}")
