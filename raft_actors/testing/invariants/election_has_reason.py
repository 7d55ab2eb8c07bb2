"""Pre-votes and stickiness: nobody stands, or asks to, while a leader is heard (Raft dissertation, §4.2.3 and §9.6)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.messages import Message, RequestPreVoteReply, TimeoutNow
from raft_actors.raft.roles import Follower
from raft_actors.raft.transitions import RoleName
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life

#: Sums of times are not exact.
_EXACT_S = 1e-6


class ElectionHasReason(Invariant):
    """With `pre_vote`, a follower asks for pre-votes only if it has not heard its leader for the shortest election
    timeout, or the connection broke; and a candidate stands only with grants of a majority in its last round, its own
    included, or because the leader told it to.

    So a node that a majority can't be reached from never raises its term.
    """

    name = "an election has a reason"
    source = "Raft dissertation, §4.2.3 and §9.6"

    def __init__(self) -> None:
        super().__init__()
        self._told: set[tuple[int, str]] = set()
        self._grants: dict[tuple[int, str, int], set[str]] = {}

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Note a grant, or a leader's word."""
        if isinstance(message, TimeoutNow):
            self._told.add((message.term + 1, to))
        if isinstance(message, RequestPreVoteReply) and message.granted:
            self._grants.setdefault((message.term, to, message.round), set()).add(life.node_id)

    @override
    def became(self, life: Life) -> None:
        """Ask for the reason."""
        role, before = life.role, life.seen_role
        if role is None or not life.state.config.pre_vote or not life.state.voting_peers:
            return
        if role.name is RoleName.CANDIDATE:
            asked = (life.state.term, life.node_id, life.state.pre_vote_rounds)
            granted = {life.node_id, *self._grants.get(asked, ())}
            if not self.facts.is_quorum(granted, life.state.configuration) and asked[:2] not in self._told:
                self.fail(f"{life} stands in term {life.state.term}, and only {sorted(granted)} would vote for it")
        elif role.name is RoleName.PRE_CANDIDATE and isinstance(before, Follower) and life.supervisor is not None:
            silence_s = life.supervisor.clock.now() - before.heard_at
            if silence_s < life.state.config.election_timeout_s[0] - _EXACT_S:
                self.fail(f"{life} wants to be elected {silence_s:.3f} s after it has heard the leader")
