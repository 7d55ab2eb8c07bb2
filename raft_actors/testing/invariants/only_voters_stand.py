"""Only voters are elected: a learner, and one that was removed, leads nobody (Raft dissertation, §4.2)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.messages import Message, RequestPreVote, RequestVote
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class OnlyVotersStand(Invariant):
    """Who asks for a vote, or whether it would get one, has one itself, by the configuration that it goes by."""

    name = "only voters stand"
    source = "Raft dissertation, §4.2.1 and §4.2.2"

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Look at who asks."""
        if (
            isinstance(message, RequestVote | RequestPreVote)
            and life.node_id not in life.state.configuration.all_voters
        ):
            self.fail(f"{life} asks {to!r} for its vote, and has none itself: {life.state.configuration}")
