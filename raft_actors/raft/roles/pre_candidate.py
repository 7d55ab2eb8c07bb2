"""The pre-candidate: asks whether it would be elected, before it raises its term (dissertation §9.6).

A node that was cut off, or that hears nothing, would else come with a higher term, and depose a leader that all others
hear. So it stands only once a majority says that they have lost the leader, too. Nothing that it does here changes
anything anywhere, so it may ask as often as it likes.
"""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft import inputs
from raft_actors.raft.effects import Become, Effect, Send
from raft_actors.raft.messages import AppendEntries, InstallSnapshot, RequestPreVote, RequestPreVoteReply, RequestVote
from raft_actors.raft.quorum import is_quorum
from raft_actors.raft.roles.standing import Standing
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName


class PreCandidate(Standing):
    """One round of pre-votes. If it times out, another one begins, in the same term.

    Attributes:
        grants: who would vote for this node. Only answers count: a message that could not be sent is none.
        round: the number of the round; answers to another one are stale.
        ends_at: when it ends, on the node's clock. Until then, whoever has not granted is asked again and again: what
            was lost on the way comes through, and who still heard the leader may not hear it any more.
    """

    name = RoleName.PRE_CANDIDATE

    def __init__(self, state: RaftState) -> None:
        super().__init__(state)
        self.grants: set[str] = set()
        self.round: int = 0
        self.ends_at: float = 0.0

    def start(self, now: float) -> list[Effect]:
        """Forget the leader, which this node would else hold against others that ask, and ask all others."""
        state = self.state
        settled = self._settle_handover()
        state.leader = None
        state.pre_vote_rounds += 1
        self.round = state.pre_vote_rounds
        self.ends_at = state.election_deadline(now)
        return [*settled, *self._ask(now)]

    def _ask(self, now: float) -> list[Effect]:
        state = self.state
        self.deadline: float = min(self.ends_at, now + state.config.vote_resend_interval_s)
        request = RequestPreVote(state.term + 1, state.log.last_index, state.log.last_term, self.round)
        return [Send(peer, request) for peer in state.voting_peers if peer not in self.grants]

    def on_deadline(self, now: float) -> list[Effect]:
        """Ask again, or begin a new round: whoever granted long ago may follow a leader by now."""
        return [Become(RoleName.PRE_CANDIDATE)] if now >= self.ends_at else self._ask(now)

    def on_request_pre_vote_reply(self, sender: str, message: RequestPreVoteReply, now: float) -> list[Effect]:
        """Count a grant of this round. A refusal of a higher term has made a follower already."""
        if message.granted and (message.term, message.round) == (self.state.term + 1, self.round):
            self.grants.add(sender)
        return self._stand_if_granted()

    def on_durable(self, item: inputs.Durable, now: float) -> list[Effect]:
        """A disk that had to catch up may have."""
        return super().on_durable(item, now) + self._stand_if_granted()

    @override
    def answer_pre_votes(self, now: float) -> list[Effect]:
        """Not where it stands at this moment itself: the vote would be split."""
        return [] if self._stand_if_granted() else super().answer_pre_votes(now)

    def _stand_if_granted(self) -> list[Effect]:
        """Stand, with a majority's word for it and all on disk."""
        state = self.state
        if state.may_stand and state.may_be_needed and is_quorum({*self.grants, state.node_id}, *state.voter_sets):
            return [Become(RoleName.CANDIDATE)]
        return []

    def on_request_vote(self, sender: str, message: RequestVote, now: float) -> list[Effect]:
        """Somebody stands in this term: vote for it as a follower does, and wait for what comes of it."""
        if self.would_vote(sender, message, now):
            return [Become(RoleName.FOLLOWER, redeliver=inputs.Received(sender, message))]
        return super().on_request_vote(sender, message, now)

    def on_append_entries(self, sender: str, message: AppendEntries, now: float) -> list[Effect]:
        """There is a leader: follow."""
        return [Become(RoleName.FOLLOWER, redeliver=inputs.Received(sender, message))]

    def on_install_snapshot(self, sender: str, message: InstallSnapshot, now: float) -> list[Effect]:
        """There is a leader: follow."""
        return [Become(RoleName.FOLLOWER, redeliver=inputs.Received(sender, message))]
