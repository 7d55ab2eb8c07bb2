"""Changes of members: one at a time, and such that no two majorities can decide apart (Raft paper, §6; dissertation
§4)."""

from __future__ import annotations

from itertools import combinations

from typing_extensions import override

from raft_actors.raft.membership import Configuration
from raft_actors.raft.transitions import RoleName
from raft_actors.testing.facts import Facts
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class MembersChangeOneByOne(Invariant):
    """A leader appends a configuration only when the one before is committed, unless it takes that one back; not before
    it has committed an entry of its own term; and never one of which a majority could decide without a voter of a
    majority of the one before. What a change under way is to come to stays what it is, and a member the store by which
    it is known.
    """

    name = "members change one by one"
    source = "Raft paper, §6; dissertation, §4.1 to §4.3"

    @override
    def changed(self, life: Life) -> None:
        """Look at what a leader has appended."""
        state, before = life.state, life.seen_configuration
        held = state.configurations.latest
        if before is None or held.configuration is before or held.index <= life.seen_last:
            return
        if life.role is None or life.role.name is not RoleName.LEADER or life.role is not life.seen_role:
            return
        after = held.configuration
        if not _meet(before, after):
            self.fail(f"{life} appends {after} after {before}: two majorities that do not meet")
        if state.log.term_at(state.commit_index) != state.term:
            self.fail(f"{life} appends a configuration, and has committed nothing of its term")
        earlier = state.configurations.at(held.index - 1)
        takes_back = after.goal is None and after.voters == (before.outgoing or before.voters)
        if earlier.index > state.commit_index and not takes_back:
            self.fail(
                f"{life} appends a configuration at {held.index}, and the one at {earlier.index} is not committed"
            )
        for member_id in after.ids & before.ids:
            known_by = before.members[member_id].incarnation
            if known_by not in ("", after.members[member_id].incarnation):
                self.fail(f"{life} has {member_id} go on as a member with another store than {known_by}")
        if after.goal is not None and before.goal not in (None, after.goal):
            self.fail(f"{life} makes another change of the one under way: {after.goal}, not {before.goal}")


def _meet(one: Configuration, other: Configuration) -> bool:
    """Whether every quorum of one shares a voter with every quorum of the other."""
    everybody = sorted(one.all_voters | other.all_voters)
    for count in range(1, len(everybody)):
        for group in combinations(everybody, count):
            chosen = set(group)
            if Facts.is_quorum(chosen, one) and Facts.is_quorum({*everybody} - chosen, other):
                return False
    return True
