"""Leadership is handed only to whom nothing is missing (Raft dissertation, §3.10)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.raft.messages import Message, TimeoutNow
from raft_actors.raft.roles import Leader
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class TransferLosesNothing(Invariant):
    """When a leader that hands over tells another to stand, the other's disk holds the whole log, all of it is
    committed, and nothing that was proposed meanwhile has been appended: so no outcome is left open.
    """

    name = "a transfer loses nothing"
    source = "Raft dissertation, §3.10"

    @override
    def sent(self, life: Life, to: str, message: Message) -> None:
        """Look at the target's disk, and at what the leader has not yet committed."""
        role = life.role
        if not isinstance(message, TimeoutNow) or not isinstance(role, Leader):
            return
        if life.state.leader is None:
            return  # it gives way, for its disk hangs: to the best follower there is, amid a transfer or not
        last_index, disk = life.state.log.last_index, self.facts.disks.get(to)
        is_another = self.facts.is_another(to, role.term)
        if disk is not None and not is_another and disk.state.last_index < last_index:
            self.fail(f"{life} tells {to!r} to lead, whose disk holds {disk.state.last_index} of {last_index} entries")
        if life.state.commit_index < last_index or role.intake.uncommitted:
            self.fail(f"{life} tells {to!r} to lead, and has committed {life.state.commit_index} of {last_index}")
