"""The candidate: asks for votes, and leads with those of a majority (§5.2)."""

from __future__ import annotations

from raft_actors.raft import inputs
from raft_actors.raft.effects import Become, Effect, Send
from raft_actors.raft.messages import AppendEntries, InstallSnapshot, RequestVote, RequestVoteReply
from raft_actors.raft.quorum import is_quorum
from raft_actors.raft.roles.role import Role
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName


class Candidate(Role):
    """One election. If it times out, another candidate of a higher term takes over."""

    name = RoleName.CANDIDATE

    def __init__(self, state: RaftState) -> None:
        super().__init__(state)
        self.votes: set[str] = set()

    def start(self, now: float) -> list[Effect]:
        """Enter a new term, vote for oneself, and ask the others once that is durable."""
        state = self.state
        state.adopt_term(state.term + 1)
        state.vote_for(state.node_id)
        self.deadline = state.election_deadline(now)
        request = RequestVote(state.term, state.log.last_index, state.log.last_term)
        return [state.persist(*(Send(peer, request) for peer in state.peers))]

    def on_deadline(self, now: float) -> list[Effect]:
        """A split vote, or lost messages: try again in a new term."""
        self.deadline = self.state.election_deadline(now)
        return [Become(RoleName.CANDIDATE)]

    def on_durable(self, item: inputs.Durable, now: float) -> list[Effect]:
        """The candidate's own vote counts once it is durable, like anybody's."""
        effects = super().on_durable(item, now)
        if self.state.durable.term == self.state.term:
            effects += self._count(self.state.node_id)
        return effects

    def on_request_vote_reply(self, sender: str, message: RequestVoteReply, now: float) -> list[Effect]:
        """Count a vote."""
        return self._count(sender) if message.granted else []

    def _count(self, voter: str) -> list[Effect]:
        self.votes.add(voter)
        if self.state.node_id in self.votes and is_quorum(self.votes, self.state.voters):
            return [Become(RoleName.LEADER)]
        return []

    def on_append_entries(self, sender: str, message: AppendEntries, now: float) -> list[Effect]:
        """Somebody else leads this term: follow."""
        return [Become(RoleName.FOLLOWER, redeliver=inputs.Received(sender, message))]

    def on_install_snapshot(self, sender: str, message: InstallSnapshot, now: float) -> list[Effect]:
        """Somebody else leads this term: follow."""
        return [Become(RoleName.FOLLOWER, redeliver=inputs.Received(sender, message))]
