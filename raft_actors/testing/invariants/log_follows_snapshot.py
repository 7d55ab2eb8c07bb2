"""A snapshot stands for the log before it: what is kept of the log agrees with it at its last entry, and follows it
(Raft paper, §7 and Figure 13, steps 6 and 7)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class LogFollowsSnapshot(Invariant):
    """A log that is kept beside a snapshot has the snapshot's last entry, and no older terms behind it.

    Otherwise it was never that snapshot's log: its last entry seems older than what the snapshot holds, and a candidate
    that lacks committed entries gets a vote.
    """

    name = "a log follows its snapshot"
    source = "Raft paper, §7 and Figure 13"

    @override
    def started(self, life: Life) -> None:
        """Look at what was found."""
        self._compare(life)

    @override
    def changed(self, life: Life) -> None:
        """Look at a new snapshot."""
        if life.log.snapshot is not life.seen_snapshot:
            self._compare(life)

    def _compare(self, life: Life) -> None:
        log, snapshot = life.log, life.log.snapshot
        if snapshot is None:
            return
        for index, wrong in ((snapshot.index, "holds"), (snapshot.index + 1, "goes on with")):
            term = log.term_at(index) if index >= log.first_index else None
            if term is not None and (term < snapshot.term or (index == snapshot.index and term != snapshot.term)):
                self.fail(f"the log of {life} {wrong} entry {index} of term {term}, and its snapshot is {snapshot}")
