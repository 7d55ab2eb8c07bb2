"""What all roles do at a node that was removed from the cluster, or takes it that it was (see `raft.solitude`)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from raft_actors.errors import NotLeader
from raft_actors.raft.effects import Effect, LookAgain
from raft_actors.raft.state import RaftState


class LeftOut(ABC):
    """The part of a role that leaves nobody waiting for what no leader tells this node any more."""

    state: RaftState

    @abstractmethod
    def not_leader(self) -> NotLeader:
        """The error that names the leader as far as known."""

    @property
    def is_left_out(self) -> bool:
        """Whether this node was removed, as far as its own log goes, and no leader tells it anything any more. One that
        has not joined yet was not.
        """
        state = self.state
        if state.leader == state.node_id:  # it removes itself, and leads until another one does
            return False
        removed = state.configurations.was_removed(state.node_id, state.incarnation)
        return state.was_removed or (removed and state.solitude.is_final)

    def check_not_left_out(self) -> None:
        """Refuse to wait for what no leader tells this node any more.

        Raises:
            NotMember: this node was removed.
        """
        if self.is_left_out:
            raise self.not_leader()

    def in_silence(self, now: float) -> list[Effect]:
        """No leader is known: give up, at a node that is no member, what one would have to decide.

        An outcome is unknown then. Whoever proposed it may look at a member.
        """
        state, solitude = self.state, self.state.solitude
        if state.is_member:
            solitude.ends()
            return []
        before = solitude.is_final
        solitude.goes_on(now, knows=state.was_removed, longest_timeout_s=state.config.election_timeout_s[1])
        if not solitude.is_final:
            return []
        return [*state.unresolved.give_up(), *([] if before else [LookAgain()])]
