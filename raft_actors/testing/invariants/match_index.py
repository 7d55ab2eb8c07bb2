"""matchIndex: the index of the highest log entry known to be replicated on a server (Raft paper, Figure 2). A leader
commits by it, so what it says must be on that server's disk."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.roles import Leader
from raft_actors.testing.facts import holds
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class MatchIndex(Invariant):
    """A follower's disk holds what its leader takes for replicated there.

    It shows an acknowledgement that counts where it should not, before it has committed anything. Followers that have
    gone on to a higher term are not looked at: another leader may have overwritten what they acknowledged. Nor are
    those whose disk was replaced, until they are members with the new one; then nothing counts that the old one held.
    """

    name = "match index"
    source = "Raft paper, Figure 2"

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[Leader, dict[str, int]]] = {}

    @override
    def changed(self, life: Life) -> None:
        """Compare the match indexes that have grown with the disks that they are about."""
        leader = life.role
        if not isinstance(leader, Leader):
            return
        known, seen = self._seen.get(life.node_id, (None, None))
        if known is not leader or seen is None:
            seen = {}
            self._seen[life.node_id] = leader, seen
        for follower, index in leader.commit.match_index.items():
            if index > seen.get(follower, 0) and not self.facts.is_another(follower, leader.term):
                seen[follower] = index
                self._compare(life, leader, follower, index)

    @override
    def disk_replaced(self, node_id: str) -> None:
        """Look at it anew once it counts again."""
        for _, seen in self._seen.values():
            seen.pop(node_id, None)

    def _compare(self, life: Life, leader: Leader, follower: str, index: int) -> None:
        disk = self.facts.disks[follower]
        if disk.state.hard_state.term > leader.term:
            return
        term = life.log.term_at(index)
        if not holds(disk, index, term):
            self.fail(
                f"{life}, leader of term {leader.term}, takes entry {index} of term {term} for replicated on "
                f"{follower!r}, whose disk does not hold it"
            )
