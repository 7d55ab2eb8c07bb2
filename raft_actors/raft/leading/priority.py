"""Which voter is to lead rather than this one, where the members have priorities (`membership.Member.priority`).

A priority decides nothing about an election: whoever can be elected first is, so that none costs a moment without a
leader. It is a leader that gives way, by a transfer, to a voter that it knows to be able to take over: which answers
every heartbeat now, holds all that is committed, and would get the rest within a transfer's time. Where that fails all
the same, it leads on for a good while before it tries again.
"""

from __future__ import annotations

from raft_actors.raft.features import PRIORITY
from raft_actors.raft.leading.commit import Commit
from raft_actors.raft.leading.contact import Contact
from raft_actors.raft.leading.transfer import can_take_over
from raft_actors.raft.state import RaftState

#: Heartbeat intervals within which the other one must have answered.
_ANSWERS_NOW = 2

#: For how many of the longest election timeouts a leader leads on after a transfer that failed.
_REST = 30


class Priority:
    """A leader's. See the module's text."""

    def __init__(self, state: RaftState, commit: Commit, contact: Contact) -> None:
        self._state = state
        self._commit = commit
        self._contact = contact
        self._rests_until = 0.0

    @property
    def higher(self) -> frozenset[str]:
        """Voters with a higher priority than this node's: they are to answer each heartbeat."""
        state = self._state
        configuration = state.configuration
        if PRIORITY not in configuration.features:
            return frozenset()
        members = configuration.members
        own = members[state.node_id].priority if state.node_id in members else 0
        return frozenset(peer for peer in configuration.voters - {state.node_id} if members[peer].priority > own)

    def begin(self, now: float) -> None:
        """Lead for one election timeout, whoever would rather: leadership is not to be passed on and on."""
        self._rests_until = now + self._state.config.election_timeout_s[1]

    def failed(self, now: float) -> None:
        """A transfer has failed."""
        self._rests_until = now + _REST * self._state.config.election_timeout_s[1]

    def target(self, now: float) -> str | None:
        """To whom to hand over now; None: to nobody, or not yet. Not while the members change."""
        state = self._state
        configuration = state.configuration
        if now < self._rests_until or configuration.goal is not None or configuration.is_joint:
            return None
        earliest = now - _ANSWERS_NOW * state.config.heartbeat_interval_s
        fit = [
            peer
            for peer in self.higher
            if self._contact.last_contact[peer] >= earliest
            and self._commit.match_index[peer] >= state.commit_index
            and can_take_over(peer, state, self._commit, self._contact, now)
        ]
        members, match_index = configuration.members, self._commit.match_index
        return max(fit, key=lambda peer: (members[peer].priority, match_index[peer], peer), default=None)
