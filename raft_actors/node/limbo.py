"""What a new leader can't know yet to be committed, and what that touches (LeaseGuard, arXiv 2512.15659, §4)."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

from raft_actors.config import MIB
from raft_actors.node.machines import heeds_time
from raft_actors.raft.entries import EntryKind
from raft_actors.raft.roles import Leader
from raft_actors.raft.sessions import COMMAND, TICK, SessionEntry
from raft_actors.state_machine import StateMachine

#: More than this is not looked through: it would hold up the leader that has just begun.
_MOST_BYTES = 1 * MIB


class Limbo:
    """Knows, for one leadership after the other, what the entries touch that earlier leaders may have committed."""

    def __init__(self, state_machine: StateMachine[Any, Any]) -> None:
        self._state_machine = state_machine
        self._term = 0
        self._touched: frozenset[Hashable] | None = frozenset()

    def concerns(self, leader: Leader, keys: Collection[Hashable] | None) -> bool:
        """Whether a read of these keys (None: of anything) may depend on an entry that is not known to be committed,
        and was appended by an earlier leader.
        """
        if leader.state.commit_index >= leader.reads.inherited_index:
            return False
        if keys is None:
            return True
        if leader.term != self._term:
            self._term, self._touched = leader.term, self._look_through(leader)
        return self._touched is None or not self._touched.isdisjoint(keys)

    def _look_through(self, leader: Leader) -> frozenset[Hashable] | None:
        state, last_index = leader.state, leader.reads.inherited_index
        batches = state.log.recent(state.commit_index + 1, last_index, _MOST_BYTES)
        if not batches or batches[-1].last_index < last_index:
            return None
        touched = set[Hashable]()
        for batch in batches:
            for data in batch.commands():
                keys = self._touched_by(batch.kind, data)
                if keys is None:
                    return None
                touched.update(keys)
        return frozenset(touched)

    def _touched_by(self, kind: EntryKind, data: bytes) -> Collection[Hashable] | None:
        """What an entry touches; None: anything."""
        machine = self._state_machine
        try:
            if kind is EntryKind.SESSION:
                # A command of a session's may have been carried out before, which can't be known yet.
                entry = SessionEntry.decode(data)
                if entry.kind == TICK:
                    return None if heeds_time(machine) else ()
                return machine.touches(machine.commands.decode(entry.value)) if entry.kind == COMMAND else ()
            return machine.touches(machine.commands.decode(data)) if kind is EntryKind.COMMAND else ()
        except Exception:  # noqa: BLE001 - what can't be told touches anything; applying it will say why
            return None
