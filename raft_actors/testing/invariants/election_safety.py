"""Election safety: at most one leader can be elected in a given term (Raft paper, Figure 3 and §5.2)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.messages import Message, RequestVoteReply
from raft_actors.raft.transitions import RoleName
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class ElectionSafety(Invariant):
    """A term has one leader, and that leader has the votes of a majority.

    The second half shows a wrong quorum in the first election that needed it, not only once two leaders met.
    """

    name = "election safety"
    source = "Raft paper, Figure 3 and §5.2"

    def __init__(self) -> None:
        super().__init__()
        self._voters: dict[tuple[int, str], set[str]] = {}

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Note a vote."""
        if type(message) is RequestVoteReply and message.granted:
            self._voters.setdefault((message.term, to), set()).add(life.node_id)

    @override
    def became(self, life: Life) -> None:
        """Count the votes of a new leader."""
        state = life.state
        if life.role is None or life.role.name is not RoleName.LEADER:
            return
        leader = self.facts.leaders[state.term]
        if leader != life.node_id:
            self.fail(f"term {state.term} has two leaders: {leader!r} and {life.node_id!r}")
        voters = {life.node_id, *self._voters.get((state.term, life.node_id), ())}
        if not self.facts.is_quorum(voters, state.configuration):
            self.fail(f"{life} leads term {state.term} with the votes of {sorted(voters)} only: no majority")
