"""Which terms of others a node enters, and how (§5.1)."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from raft_actors.raft.effects import Become, Effect, RefuseMessage
from raft_actors.raft.impossible import MOST_TERMS_AHEAD, Impossible
from raft_actors.raft.messages import Message, RequestVote
from raft_actors.raft.roles.pre_voter import PreVoter
from raft_actors.raft.transitions import RoleName


class TermKeeper(PreVoter, ABC):
    """The part of a role that keeps its node from terms in which nobody can be, or that nobody needs."""

    name: ClassVar[RoleName]

    def _is_disturbance(self, message: Message, now: float) -> bool:
        """Whether a higher term comes from a candidate that nobody here needs: then it is not even adopted, lest a
        node that can't hear the leader deposes it (dissertation §4.2.3, §6.2). Unless the leader itself wanted it.

        The candidate learns nothing from this, and need not: it can't be led by refusing it, but once the leader's next
        message meets its higher term, the leader gives way, so it is not shut out for ever.
        """
        return type(message) is RequestVote and not message.leadership_transfer and self.in_touch(now)

    def _refuse_term(self, sender: str, message: Message, now: float) -> list[Effect]:
        """Drop a message whose term is too far ahead, and go some way towards that term.

        To stay where this node is would shut out for ever who was lied to, and believed it step by step. To enter a
        higher term is always safe.
        """
        state = self.state
        far = f"it speaks of term {message.term}, and this node is in term {state.term}: elections come no farther than"
        refusal = RefuseMessage(sender, Impossible.TERM, f"{far} {MOST_TERMS_AHEAD:,} ahead")
        if self._is_pre_vote(message) or self._is_disturbance(message, now):
            return [refusal]
        state.adopt_term(state.term + MOST_TERMS_AHEAD)
        return [refusal] if self.name is RoleName.FOLLOWER else [refusal, Become(RoleName.FOLLOWER)]
