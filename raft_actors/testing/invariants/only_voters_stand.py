"""Only voters are elected: a learner, and one that was removed, leads nobody (Raft dissertation, §4.2)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.messages import Message, RequestPreVote, RequestVote
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class OnlyVotersStand(Invariant):
    """Who asks for a vote, or whether it would get one, has one itself: by the configuration that it goes by, or by one
    before, as long as it does not know that what took its vote is committed.
    """

    name = "only voters stand"
    source = "Raft dissertation, §4.2.1 and §4.2.2"

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Look at who asks."""
        if not isinstance(message, RequestVote | RequestPreVote):
            return
        state = life.state
        held = (state.configurations.at(state.commit_index), *state.configurations.since(state.commit_index))
        if not any(life.node_id in one.configuration.all_voters for one in held):
            self.fail(f"{life} asks {to!r} for its vote, and has none itself: {state.configuration}")
