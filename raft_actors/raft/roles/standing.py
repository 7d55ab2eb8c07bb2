"""What those who ask for votes have in common."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft import inputs
from raft_actors.raft.effects import Become, Effect
from raft_actors.raft.roles.role import Role
from raft_actors.raft.transitions import RoleName


class Standing(Role):
    """Asks for votes, or whether it would get them."""

    @override
    def _on_snapshot_received(self, item: inputs.SnapshotReceived, now: float) -> list[Effect]:
        """One that came before it stood may tell that it has no vote any more (dissertation §4.2): then it asks for
        none. All else by which it would learn so is of a leader, which it follows anyway.
        """
        effects = super()._on_snapshot_received(item, now)
        return effects if self.state.is_voter else [*effects, Become(RoleName.FOLLOWER)]
