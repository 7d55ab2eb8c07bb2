"""What all roles do about digests of the replicas' states (see `raft.state_checks`)."""

from __future__ import annotations

from raft_actors.raft.effects import Effect, TellDifference
from raft_actors.raft.features import STATE_DIGESTS
from raft_actors.raft.inputs import StateDigested
from raft_actors.raft.messages import StateDigest
from raft_actors.raft.state import RaftState


class Comparer:
    """The part of a role that compares this node's state with those of others."""

    state: RaftState

    def on_state_digested(self, item: StateDigested, now: float) -> list[Effect]:
        """Tell all others what this node's state came to, before it may end by it, and compare it with theirs."""
        state = self.state
        state.checks.note(state.node_id, item.index, item.digest)
        peers = [peer for peer in state.peers if STATE_DIGESTS in state.features_of(peer)]
        message = StateDigest(state.term, item.index, item.digest)
        return [*(state.reply(peer, message) for peer in peers), *self._compare(item.index)]

    def on_state_digest(self, sender: str, message: StateDigest, now: float) -> list[Effect]:
        """Compare another member's state with this node's, if it has told its own of there."""
        state = self.state
        if sender not in state.configuration.ids:
            return []
        state.checks.forget_others(state.configuration.ids | {state.node_id})
        state.checks.note(sender, message.index, message.digest)
        return self._compare(message.index)

    def _compare(self, index: int) -> list[Effect]:
        difference = self.state.checks.compare(index, *self.state.voter_sets)
        return [] if difference is None else [TellDifference(difference)]
