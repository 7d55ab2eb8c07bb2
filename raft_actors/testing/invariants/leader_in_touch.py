"""Check-quorum: a leader that a majority has not answered for an election timeout steps down, so that its clients look
for another (Raft dissertation, §6.2)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.messages import AppendEntries, Message
from raft_actors.raft.roles import Leader
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life

#: Sums of times are not exact.
_EXACT_S = 1e-6


class LeaderInTouch(Invariant):
    """A leader with `check_quorum` sends no further heartbeats once it had been without answers from a majority for the
    longest election timeout, when it last looked.

    It looks whenever a heartbeat is due, by its own clock, but not when it was held up: one that was paused finds out
    late. And a change that it has appended since, in which too few answer, is taken back when it looks again (or costs
    it the leadership): so while a change is not committed, those before it will do.
    """

    name = "a leader is in touch with a majority"
    source = "Raft dissertation, §6.2"

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Count who had answered when this heartbeat became due."""
        role = life.role
        if type(message) is not AppendEntries or message.entries or not isinstance(role, Leader):
            return
        config = role.state.config
        if not config.check_quorum:
            return
        since = role.contact.quorum_checked_at - config.election_timeout_s[1] - _EXACT_S
        in_touch = {peer for peer, contact in role.contact.last_contact.items() if contact >= since}
        state = role.state
        before = state.configurations.at(state.commit_index).configuration
        members = {life.node_id, *in_touch}
        if not any(self.facts.is_quorum(members, configuration) for configuration in (state.configuration, before)):
            self.fail(
                f"{life} leads term {role.term} on, where {len(in_touch)} others have answered within "
                f"{config.election_timeout_s[1]:g} s before {role.contact.quorum_checked_at:.3f} s by its clock"
            )
