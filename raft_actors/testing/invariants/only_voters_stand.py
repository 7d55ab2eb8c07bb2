"""Only voters are elected: a learner, and one that was removed, leads nobody (Raft dissertation, §4.2)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.messages import Message, RequestPreVote, RequestVote
from raft_actors.raft.roles import Candidate
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class OnlyVotersStand(Invariant):
    """Who asks for a vote, or whether it would get one, has one itself: by the configuration that it goes by, or by one
    before, as long as it does not know that what took its vote is committed.

    A candidate's requests wait for its disk. They may leave when it has heard of another leader, and from that one that
    it has no vote; it had one when it decided on them.
    """

    name = "only voters stand"
    source = "Raft dissertation, §4.2.1 and §4.2.2"

    def __init__(self) -> None:
        super().__init__()
        self._stood: dict[str, int] = {}  # node → the last term in which it became candidate, and had a vote

    @override
    def became(self, life: Life) -> None:
        """Remember who has a vote when it becomes candidate."""
        if isinstance(life.role, Candidate) and _has_vote(life):
            self._stood[life.node_id] = life.state.term

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Look at who asks."""
        if not isinstance(message, RequestVote | RequestPreVote) or _has_vote(life):
            return
        if isinstance(message, RequestPreVote) or self._stood.get(life.node_id) != message.term:
            self.fail(f"{life} asks {to!r} for its vote, and has none itself: {life.state.configuration}")


def _has_vote(life: Life) -> bool:
    state = life.state
    held = (state.configurations.at(state.commit_index), *state.configurations.since(state.commit_index))
    return any(life.node_id in one.configuration.all_voters for one in held)
