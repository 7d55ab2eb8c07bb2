"""The proposals and reads whose entries are committed, until these are applied; and the results that they wait for."""

from __future__ import annotations

from collections import deque
from typing import Any

from raft_actors.errors import LeadershipLost
from raft_actors.node.kept_results import ResultReaders
from raft_actors.node.proposals import PendingOutcome
from raft_actors.state_machine import StateMachine


class WaitingOutcomes:
    """Those of one node, in log order, and the results of what was applied since the first of them began.

    Attributes:
        results: of consecutive entries, the last one applied among them; empty where nobody waits for any.
        readers: who reads the results of all that is applied.
    """

    def __init__(self) -> None:
        self.readers = ResultReaders()
        self.results: list[Any] = []
        self._results_from = 1
        self._outcomes: deque[PendingOutcome[Any]] = deque()
        self._keep_from: int | None = None

    def add(self, outcomes: tuple[PendingOutcome[Any], ...], keep_from: int | None) -> None:
        """Take in what waits for entries that are committed now; see `Apply` for `keep_from`."""
        self._outcomes += outcomes
        self._keep_from = keep_from

    @property
    def want_results(self) -> bool:
        """Whether anybody waits for results. Who does is known before the first of his entries is applied."""
        return bool(self._outcomes) or self._keep_from is not None or self.readers.any

    def begin(self, index: int) -> None:
        """The entry at `index` is the next to be applied."""
        if not self.results:
            self._results_from = index

    def answer(self, applied_index: int, state_machine: StateMachine[Any, Any]) -> None:
        """Answer those whose entries have been applied, and forget results that nobody needs any more."""
        outcomes = self._outcomes
        while outcomes and outcomes[0].last_index <= applied_index:
            outcomes.popleft().answer(self.results, self._results_from, state_machine)
        if self.readers.any:
            self.readers.put(self.results, self._results_from)
        needed_from = outcomes[0].index if outcomes else self._keep_from
        if needed_from is None or needed_from > applied_index:
            self.results = []
            self._results_from = applied_index + 1

    def give_up(self, applied_index: int, term: int) -> None:
        """Fail those whose entries a snapshot skipped. They are committed, but their results were made elsewhere: only
        a leader that lost its leadership long before comes to this.
        """
        outcomes = self._outcomes
        while outcomes and outcomes[0].last_index <= applied_index:
            outcome = outcomes.popleft()
            outcome.fail(LeadershipLost(term, outcome.index))
        self.results = []
