"""The candidate: asks for votes, and leads with those of a majority (§5.2)."""

from __future__ import annotations

from raft_actors.raft import inputs
from raft_actors.raft.effects import Become, Effect, Send
from raft_actors.raft.messages import AppendEntries, InstallSnapshot, RequestVote, RequestVoteReply
from raft_actors.raft.quorum import is_quorum
from raft_actors.raft.roles.standing import Standing
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName


class Candidate(Standing):
    """One election. If it times out, the node asks for pre-votes again, or where it asks for none, stands anew.

    Attributes:
        votes: who has granted its vote. Its own counts once it is durable.
        refusals: who has refused.
        request: what it asks of all.
        leadership_transfer: whether the leader has told this node to stand.
        began_at: when it began, on the node's clock.
        ends_at: when to give up, on the node's clock. Until then, requests that may have been lost are sent again.
    """

    name = RoleName.CANDIDATE

    def __init__(self, state: RaftState) -> None:
        super().__init__(state)
        self.votes: set[str] = set()
        self.refusals: set[str] = set()
        self.began_at: float = 0.0
        self.ends_at: float = 0.0
        self.leadership_transfer: bool = state.leadership_transfer
        state.leadership_transfer = False
        self.lease_over: bool = state.lease_over
        state.lease_over = False

    def start(self, now: float) -> list[Effect]:
        """Enter a new term, vote for oneself, and ask the others once that is durable."""
        state = self.state
        state.adopt_term(state.term + 1)
        state.vote_for(state.node_id)
        self.request: RequestVote = RequestVote(
            state.term, state.log.last_index, state.log.last_term, self.leadership_transfer
        )
        self.began_at = now
        self.ends_at = state.election_deadline(now)
        self._wait_on(now)
        return [state.persist(*self._requests())]

    def _requests(self) -> list[Send]:
        """To all that have not answered, of the log as it was at the start: that is on the disk. A snapshot that has
        replaced it meanwhile may not be there yet, and to say less than one has is safe (§5.4.1).
        """
        voters = self.state.voting_peers
        return [Send(peer, self.request) for peer in voters if peer not in self.votes | self.refusals]

    def _wait_on(self, now: float) -> None:
        self.deadline: float = min(self.ends_at, now + self.state.config.vote_resend_interval_s)

    def on_deadline(self, now: float) -> list[Effect]:
        """Ask again where a request may have been lost; in the end, after a split vote, give up.

        Not while its own vote waits for the disk: another term would wait there, too.
        """
        durable = self.state.durable.term == self.state.term
        if now >= self.ends_at:
            if durable:
                return self.stand(now)
            self.ends_at = self.state.election_deadline(now)
        self._wait_on(now)
        return [*self._requests()] if durable else []

    def on_durable(self, item: inputs.Durable, now: float) -> list[Effect]:
        """The candidate's own vote counts once it is durable, like anybody's."""
        effects = super().on_durable(item, now)
        if self.state.durable.term == self.state.term:
            effects += self._count(self.state.node_id)
        return effects

    def on_request_vote_reply(self, sender: str, message: RequestVoteReply, now: float) -> list[Effect]:
        """Count a vote."""
        return self._count(sender) if message.granted else self._note_refusal(sender, now)

    def _count(self, voter: str) -> list[Effect]:
        self.votes.add(voter)
        if not self.state.may_be_needed:  # it has come to doubt that it has a vote
            return []
        if self.state.node_id in self.votes and is_quorum(self.votes, *self.state.voter_sets):
            self.state.lease_over = self.lease_over  # for this election alone: another one would be of a later term
            return [Become(RoleName.LEADER)]
        return []

    def _note_refusal(self, voter: str, now: float) -> list[Effect]:
        """Give up soon, after a time drawn at random, where all others but one would not make a majority any more.

        The one is the leader before, which has most likely ended: without it, the vote is split. To ask for pre-votes
        costs no term, so with them there is no need to wait for the end; but long enough for one of those between whom
        the vote was split to be through with both rounds before the others begin, judging by how long this one took.
        """
        state = self.state
        split_before = self._is_split()
        self.refusals.add(voter)
        if state.config.pre_vote and self._is_split() and not split_before:
            patience_s = state.rng.uniform(0, max(2 * state.config.vote_resend_interval_s, 4 * (now - self.began_at)))
            self.ends_at = min(self.ends_at, now + patience_s)
            self._wait_on(now)
        return []

    def _is_split(self) -> bool:
        state = self.state
        others = sorted(state.voters - self.refusals - {state.node_id})
        return bool(self.refusals) and not is_quorum({state.node_id, *others[1:]}, *state.voter_sets)

    def on_append_entries(self, sender: str, message: AppendEntries, now: float) -> list[Effect]:
        """Somebody else leads this term: follow."""
        return [Become(RoleName.FOLLOWER, redeliver=inputs.Received(sender, message))]

    def on_install_snapshot(self, sender: str, message: InstallSnapshot, now: float) -> list[Effect]:
        """Somebody else leads this term: follow."""
        return [Become(RoleName.FOLLOWER, redeliver=inputs.Received(sender, message))]
