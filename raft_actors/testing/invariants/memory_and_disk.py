"""What a node takes for its durable state, is: that state is updated on stable storage (Raft paper, Figure 2), and
decisions are made by a picture of it in memory, which must not be another."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class MemoryAndDisk(Invariant):
    """Whenever a node waits for no write, its disk says the same as its memory of term, vote, snapshot, and of where
    the log begins and ends and which terms its entries have.

    It shows what a truncation or a snapshot leaves behind on one side, long before anybody comes across it.
    """

    name = "memory agrees with disk"
    source = "Raft paper, Figure 2"

    @override
    def started(self, life: Life) -> None:
        """Compare what was found with what is there."""
        self._compare(life)

    @override
    def changed(self, life: Life) -> None:
        """Compare, if nothing is on its way to the disk."""
        if not life.state.unsynced_writes:
            self._compare(life)

    def _compare(self, life: Life) -> None:
        state, log, disk = life.state, life.log, life.disk.state
        hard_state = disk.hard_state
        if (hard_state.term, hard_state.voted_for) != (state.term, state.voted_for):
            self._differ(life, f"term {state.term} and a vote for {state.voted_for!r}", str(hard_state))
        if log.snapshot != disk.snapshot:
            self._differ(life, str(log.snapshot), str(disk.snapshot))
        ours, theirs = (log.first_index, log.last_index), (disk.first_index, disk.last_index)
        if ours != theirs:
            self._differ(life, "entries {} to {}".format(*ours), "{} to {}".format(*theirs))
        runs = log.term_runs
        if runs != disk.term_runs:
            self._differ(life, f"terms {runs}", f"terms {disk.term_runs}")

    def _differ(self, life: Life, memory: str, disk: str) -> None:
        self.fail(f"{life} has nothing to write, and remembers {memory}, where its disk has {disk}")
