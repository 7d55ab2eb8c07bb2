"""Whether the followers still answer (dissertation §6.2)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from raft_actors.raft.quorum import quorum_value
from raft_actors.raft.state import RaftState


class Contact:
    """When each follower last answered. All times are on the node's clock.

    Attributes:
        began_at: when this leadership began.
        last_contact: follower → when it last answered.
        disconnected: followers whose connections broke, and that were not heard of since.
        quorum_checked_at: when it was last looked whether a majority does.
    """

    def __init__(self, state: RaftState) -> None:
        self._state = state
        self.began_at: float = 0.0
        self.last_contact: dict[str, float] = {}
        self.disconnected: set[str] = set()
        self.quorum_checked_at: float = 0.0

    def begin(self, now: float) -> None:
        """Take all for heard of now: they have just voted, or have time to answer from now on."""
        self.last_contact = dict.fromkeys(self._state.peers, now)
        self.began_at = self.quorum_checked_at = now

    def follow(self, followers: Iterable[str]) -> None:
        """Have these followers from now on. A new one was never heard of."""
        self.last_contact = {follower: self.last_contact.get(follower, -math.inf) for follower in followers}
        self.disconnected &= self.last_contact.keys()

    def forget(self, follower: str) -> None:
        """Take a follower for one that was never heard of."""
        self.last_contact.pop(follower, None)

    def heard_of(self, follower: str, now: float) -> None:
        """Note that a follower has answered. One that was removed may be heard of for a while."""
        if follower in self.last_contact:
            self.last_contact[follower] = now
        if self.disconnected:
            self.disconnected.discard(follower)

    def is_lost(self, now: float) -> bool:
        """Whether a majority has not answered for a whole election timeout, so that another leader may be elected."""
        self.quorum_checked_at = now
        return self._state.config.check_quorum and not self.holds(now)

    def holds(self, now: float) -> bool:
        """Whether a majority has answered within the longest election timeout, so that nobody else need be elected.

        Not the shortest, as a follower has it for its leader: an idle follower is asked for an answer only when it has
        been silent for half of the longest. Who may lead on helps nobody else.
        """
        return self.holds_among(self._state.voter_sets, now)

    def holds_among(self, voter_sets: Iterable[Collection[str]], now: float) -> bool:
        """The same of a majority of each of these sets."""
        state, silence_s = self._state, self.silence_s(voter_sets, now)
        return silence_s <= state.config.election_timeout_s[1]

    def silence_s(self, voter_sets: Iterable[Collection[str]], now: float) -> float:
        """How long ago a majority of each of these sets had answered."""
        return now - quorum_value({**self.last_contact, self._state.node_id: now}, *voter_sets)

    def inactive(self, now: float) -> frozenset[str]:
        """Followers that have not answered for half an election timeout."""
        half_s = self._state.config.election_timeout_s[1] / 2
        return frozenset([peer for peer, contact in self.last_contact.items() if now - contact >= half_s])
