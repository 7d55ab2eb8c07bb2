"""The proposals and reads whose entries are committed, until these are applied; and the results that they wait for."""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from typing import Any

from raft_actors.node.kept_results import ResultReaders
from raft_actors.node.proposals import PendingOutcome
from raft_actors.raft.effects import KeepResults
from raft_actors.state_machine import StateMachine

#: Results kept for those who are not known yet.
_MOST_KEPT = 65_536

#: It is not worth while to forget fewer results than this.
_FEW = 1024

_last_index = attrgetter("last_index")


class WaitingOutcomes:
    """Those of one node, in log order, and the results of what was applied since the first of them began.

    Attributes:
        results: of consecutive entries, the last one applied among them; empty where nobody waits for any.
        keep_late: results from this index on are kept for who may be told late that they are his, up to `_MOST_KEPT`
            of them; None: for nobody.
        readers: who reads the results of all that is applied.
    """

    def __init__(self) -> None:
        self.readers: ResultReaders = ResultReaders()
        self.results: list[Any] = []
        self.keep_late: int | None = None
        self._results_from = 1
        self._outcomes: deque[PendingOutcome[Any]] = deque()
        self._keep_from: int | None = None
        self._told_index = 0

    def add(self, outcomes: tuple[PendingOutcome[Any], ...], keep_from: int | None, commit_index: int) -> None:
        """Take in what waits for entries that are committed now; see `Apply` for the rest."""
        waiting = self._outcomes
        unordered = bool(outcomes and waiting) and outcomes[0].last_index < waiting[-1].last_index
        waiting += outcomes
        if unordered:
            self._outcomes = deque(sorted(waiting, key=_last_index))
        if commit_index >= self._told_index:  # an older one may come later: it waited for the disk
            self._told_index = commit_index
            self._keep_from = keep_from

    def keep_results(self, effect: KeepResults) -> None:
        """Keep results from some entry on: who waits for them may be known only when it is applied."""
        self.keep_late = effect.from_index

    @property
    def want_results(self) -> bool:
        """Whether anybody waits for results, or may."""
        if self._outcomes or self.readers.any:
            return True
        return self._keep_from is not None or self.keep_late is not None

    def begin(self, index: int) -> None:
        """The entry at `index` is the next to be applied."""
        if not self.results:
            self._results_from = index

    def answer(self, applied_index: int, state_machine: StateMachine[Any, Any]) -> None:
        """Answer those whose entries have been applied, and forget results that nobody needs any more."""
        outcomes = self._outcomes
        while outcomes and outcomes[0].last_index <= applied_index:
            outcome = outcomes.popleft()
            if not outcome.is_read and (outcome.index or 0) < self._results_from:
                outcome.lose()
            else:
                outcome.answer(self.results, self._results_from, state_machine)
        if self.readers.any:
            self.readers.put(self.results, self._results_from)
        needed_from = outcomes[0].index if outcomes else self._keep_from
        if self.keep_late is not None:
            late = max(self.keep_late, applied_index + 1 - _MOST_KEPT)
            needed_from = late if needed_from is None else min(needed_from, late)
        if needed_from is None or needed_from > applied_index:
            self.results = []
            self._results_from = applied_index + 1
        elif needed_from - self._results_from > max(_FEW, len(self.results) // 2):
            del self.results[: needed_from - self._results_from]
            self._results_from = needed_from

    def give_up(self, applied_index: int) -> None:
        """Fail those whose entries a snapshot skipped: they are committed, and their results were made elsewhere."""
        outcomes = self._outcomes
        while outcomes and outcomes[0].last_index <= applied_index:
            outcomes.popleft().lose()
        self.results = []
        self._results_from = applied_index + 1
