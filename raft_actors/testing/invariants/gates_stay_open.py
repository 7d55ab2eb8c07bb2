"""What a cluster uses from some entry on is what all of its members can do, and stays on (docs/architecture.md)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.membership import features_needed
from raft_actors.raft.transitions import RoleName
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class GatesStayOpen(Invariant):
    """A leader opens a gate only where everybody that gets its log could pass it when it was last seen; no later
    configuration closes it; no node goes by a configuration that it can't follow, and none needs a gate that is closed.
    """

    name = "gates stay open"
    source = "docs/architecture.md, “Gates”"

    def __init__(self) -> None:
        super().__init__()
        self._can: dict[str, frozenset[str]] = {}

    @override
    def started(self, life: Life) -> None:
        """Note what it can do, and look at what it has found."""
        self._can[life.node_id] = life.state.features
        self._look(life)

    @override
    def changed(self, life: Life) -> None:
        """Look at another configuration, and at who has appended it."""
        state, before = life.state, life.seen_configuration
        after = state.configuration
        if after is before:
            return
        self._look(life)
        appended = state.configurations.latest.index > life.seen_last
        if before is None or not appended or life.role is None or life.role.name is not RoleName.LEADER:
            return
        if not before.features <= after.features:
            self.fail(f"{life} closes {sorted(before.features - after.features)}")
        for feature in sorted(after.features - before.features):
            cannot = sorted(peer for peer in before.ids | after.ids if feature not in self._can.get(peer, frozenset()))
            if cannot:
                self.fail(f"{life} opens “{feature}”, which {', '.join(cannot)} can't pass")

    def _look(self, life: Life) -> None:
        features, can = life.state.configuration.features, life.state.features
        closed = features_needed(life.state.configuration) - features
        if closed:
            self.fail(f"{life} goes by what needs {sorted(closed)}, which nobody has turned on")
        if not features <= can:
            self.fail(f"{life} goes by {sorted(features)}, and can do no more than {sorted(can)}")
