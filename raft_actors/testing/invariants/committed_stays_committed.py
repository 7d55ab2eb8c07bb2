"""What is committed is on the disks of a majority, and stays there: a committed entry is durable and will eventually be
executed by all of the available state machines (Raft paper, §5.3; dissertation §3.5)."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from raft_actors.raft.persistent_state import Write
from raft_actors.raft.transitions import RoleName
from raft_actors.testing.facts import holds
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class CommittedStaysCommitted(Invariant):
    """No two nodes know different entries to be committed at one index; a leader commits what a majority of disks
    holds; and no disk ever loses an entry that it held and that is committed (but to a snapshot that covers it).

    What a disk held is one number for each: by log matching, a disk that holds the committed entry of an index holds
    all before it.
    """

    name = "committed stays committed"
    source = "Raft paper, §5.3"

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, int] = {}

    @override
    def started(self, life: Life) -> None:
        """What the disk held before is still there, and its snapshot covers nothing but committed entries; nor does the
        commit index that it remembers.
        """
        self._check_held(life.node_id)
        state, snapshot, committed = life.state, life.log.snapshot, self.facts.committed
        if snapshot is not None and committed.term_at(snapshot.index) != snapshot.term:
            self.fail(f"{life} has a {snapshot} of what was not committed")
        if state.commit_index > committed.last_index:
            self.fail(
                f"{life} remembers entry {state.commit_index} as committed, and {committed.last_index} is the last"
            )
        index = committed.mismatch(state.log, life.log.snapshot_index + 1, state.commit_index)
        if index is not None:
            self.fail(
                f"{life} remembers entry {index} of term {state.log.term_at(index)} as committed, where an entry of "
                f"term {committed.term_at(index)} is"
            )

    @override
    def changed(self, life: Life) -> None:
        """Compare what a node now knows to be committed with what others know."""
        state = life.state
        if state.commit_index <= life.seen_commit:
            return
        committed = self.facts.committed
        if state.commit_index > committed.last_index:
            self.fail(f"{life} takes entry {state.commit_index} for committed, and does not hold all before it")
        index = committed.mismatch(state.log, life.seen_commit + 1, state.commit_index)
        if index is not None:
            self.fail(
                f"{life} takes entry {index} of term {state.log.term_at(index)} for committed, where an entry of term "
                f"{committed.term_at(index)} is"
            )
        if life.role is not None and life.role.name is RoleName.LEADER:
            self._check_quorum(life)
        self._note_held(life.node_id)

    def _check_quorum(self, life: Life) -> None:
        state, facts = life.state, self.facts
        index = state.commit_index
        term = state.log.term_at(index)
        if term != state.term:
            self.fail(f"{life}, leader of term {state.term}, commits entry {index} of term {term} (§5.4.2, Figure 8)")
        holders = {
            name for name, disk in facts.disks.items() if facts.is_another(name, state.term) or holds(disk, index, term)
        }
        # By what was in force before this decision, which may have appended another configuration after the commit.
        if not facts.is_quorum(holders, life.seen_configuration or state.configuration):
            self.fail(f"{life} commits entry {index} of term {term}, which only {sorted(holders)} hold: no majority")

    @override
    def written(self, node_id: str, writes: Sequence[Write]) -> None:
        """Nothing of what was written may have removed a committed entry."""
        self._check_held(node_id)
        self._note_held(node_id)

    @override
    def disk_replaced(self, node_id: str) -> None:
        """Expect nothing of another disk."""
        self._held.pop(node_id, None)

    def _check_held(self, node_id: str) -> None:
        held = self._held.get(node_id, 0)
        disk = self.facts.disks[node_id]
        if held and not holds(disk, held, self.facts.committed.term_at(held)):
            del self._held[node_id]
            self.fail(
                f"the disk of node {node_id!r} has lost entry {held}, which is committed; its log now ends at "
                f"{disk.state.last_index}"
            )

    def _note_held(self, node_id: str) -> None:
        committed, disk = self.facts.committed, self.facts.disks[node_id]
        index = min(disk.state.last_index, committed.last_index)
        if index > self._held.get(node_id, 0) and holds(disk, index, committed.term_at(index)):
            self._held[node_id] = index
