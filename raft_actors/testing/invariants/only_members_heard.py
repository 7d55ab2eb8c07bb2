"""Only members are heard: a member's id is proven by its certificate, and who was removed has no say any more.

A node that is no member, as far as another one knows, is heard while that one has no leader: what it knows of the
members may be old (Raft paper, §6, on servers that were removed).
"""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.messages import Message
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class OnlyMembersHeard(Invariant):
    """Nothing reaches a role that somebody has said in another's name, or that comes from nobody whom its node knows:
    neither a member, nor one that is told that it was removed, nor its leader, while it has one.
    """

    name = "only members are heard"
    source = "docs/tls.md; Raft paper, §6"

    @override
    def heard(self, life: Life, sender: str, message: Message) -> None:
        """Look at who speaks."""
        if id(message) in self.facts.forged:
            self.fail(f"{life} hears a {type(message).__name__} that {sender!r} has not sent")
        if life.supervisor is None:
            return
        state = life.state
        if state.leader in (None, sender) or sender in state.configuration.ids or sender in state.parting:
            return
        self.fail(f"{life} follows {state.leader!r}, and hears {sender!r}, which is no member: {state.configuration}")
