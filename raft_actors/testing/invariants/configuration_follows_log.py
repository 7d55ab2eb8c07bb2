"""A server always uses the latest configuration in its log, committed or not (Raft paper, §6)."""

from __future__ import annotations

from bisect import bisect_right

from typing_extensions import override

from raft_actors.raft.membership import Configuration
from raft_actors.raft.transitions import RoleName
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life


class ConfigurationFollowsLog(Invariant):
    """What a node takes for the configuration is what the last such entry of its log says: after a truncation, a
    restart, and a leader's snapshot, too.

    What the entries say was seen when leaders appended them.
    """

    name = "the configuration follows the log"
    source = "Raft paper, §6"

    def __init__(self) -> None:
        super().__init__()
        self._indexes: list[int] = []
        self._appended: dict[int, dict[int, Configuration]] = {}

    @override
    def started(self, life: Life) -> None:
        """So does what a node has recovered."""
        self._compare(life)

    @override
    def changed(self, life: Life) -> None:
        """Note what a leader has appended; compare."""
        held, log = life.state.configurations.latest, life.log
        leads = life.role is not None and life.role.name is RoleName.LEADER
        if held.index and leads and log.term_at(held.index) == life.state.term:
            by_term = self._appended.get(held.index)
            if by_term is None:
                by_term = self._appended[held.index] = {}
                self._indexes.insert(bisect_right(self._indexes, held.index), held.index)
            by_term[life.state.term] = held.configuration
        if held.configuration is not life.seen_configuration or log.epoch != life.seen_epoch:
            self._compare(life)

    def _compare(self, life: Life) -> None:
        held = life.state.configurations.latest
        index, configuration = self._last_in(life)
        if held.index != index:
            self.fail(f"{life} goes by the configuration of index {held.index}, and its log has one at {index}")
        elif configuration is not None and configuration != held.configuration:
            self.fail(f"{life} takes {held.configuration} for the configuration of index {index}: {configuration}")

    def _last_in(self, life: Life) -> tuple[int, Configuration | None]:
        log, committed = life.log, self.facts.committed
        for index in reversed(self._indexes[: bisect_right(self._indexes, log.last_index)]):
            term = committed.term_at(index) if index <= log.snapshot_index else log.term_at(index)
            if term in self._appended[index]:
                return index, self._appended[index][term]
        return 0, None
