"""A pre-vote changes nothing at the node that grants it (Raft dissertation, §9.6)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.messages import Message, RequestPreVoteReply
from raft_actors.raft.roles import Follower, Leader
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life

#: Sums of times are not exact.
_EXACT_S = 1e-6


class PreVotesBindNobody(Invariant):
    """Who grants a pre-vote keeps term and vote, waits for a leader no longer than before, and helps nobody while it
    hears one itself. A grant is of a term that the voter is not in yet, a refusal of the one that it is in. It comes
    from a disk that works: one that has nothing to do, or has just done something, so that a vote can follow.
    """

    name = "a pre-vote changes nothing"
    source = "Raft dissertation, §9.6"

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Look at the voter."""
        if isinstance(message, RequestPreVoteReply):
            if message.granted:
                self._check_grant(life, to, message)
            elif message.term != life.state.term:
                self.fail(f"{life} refuses a pre-vote in term {life.state.term} with another term: {message}")

    def _check_grant(self, life: Life, to: str, message: RequestPreVoteReply) -> None:
        state, role = life.state, life.role
        if (state.term, state.voted_for) != (life.seen_term, life.seen_voted_for):
            before = f"term {life.seen_term}, voted for {life.seen_voted_for!r}"
            self.fail(f"{life} grants {to!r} a pre-vote, and was in {before}: it is in {state.term} now")
        if message.term <= state.term:
            self.fail(f"{life} grants {to!r} a term that it is in, or past: {message}")
        if state.unsynced_writes and state.synced_writes == life.seen_synced_writes:
            self.fail(f"{life} grants {to!r} a pre-vote while {state.unsynced_writes} writes wait for its disk")
        if isinstance(role, Leader) and life.supervisor is not None and role.contact.holds(life.supervisor.clock.now()):
            self.fail(f"{life} grants {to!r} a pre-vote, and leads, and a majority answers it")
        if not isinstance(role, Follower) or not state.config.pre_vote or not state.leader or life.supervisor is None:
            return
        now = life.supervisor.clock.now()
        shortest_s, longest_s = state.config.election_timeout_s
        if now - role.heard_at < shortest_s - _EXACT_S:
            self.fail(f"{life} grants {to!r} a pre-vote {now - role.heard_at:.3f} s after it has heard the leader")
        latest = now + shortest_s if role.heard_at == float("-inf") else role.heard_at + longest_s
        if role.deadline > latest + _EXACT_S:
            self.fail(f"{life} grants {to!r} a pre-vote, and waits for a leader longer than it would have")
