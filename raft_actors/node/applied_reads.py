"""Reads that wait for an entry to be applied, and are answered from the state that it leads to, or a later one."""

from __future__ import annotations

import heapq
from typing import Any, cast

from raft_actors.node.proposals import PendingRead, Seen
from raft_actors.raft.effects import AnswerReads
from raft_actors.state_machine import StateMachine


class AppliedReads:
    """Answers reads at once where what they need is applied, else when the applier says so.

    It belongs to the applier, which tells it of every state that may be looked at.

    Attributes:
        index, term: the last entry of the state as it is now. Between two turns of the applier, that is the applier's.
        is_whole: whether there is a state to look at: not while a snapshot takes its place.
        as_of: all that had been committed by then is in the state, on `NodeClock.boottime`; None: nobody knows.
    """

    def __init__(self, state_machine: StateMachine[Any, Any]) -> None:
        self._state_machine = state_machine
        self.index: int = 0
        self.term: int = 0
        self.is_whole: bool = True
        self.as_of: float | None = None
        self._waiting: list[tuple[int, int, AnswerReads]] = []
        self._count = 0  # keeps equal indexes in order, and the heap from looking at effects

    def answer_when_applied(self, effect: AnswerReads) -> None:
        """Answer them now, or once the entry is applied. Those that may miss the last entries come earlier."""
        if self.is_whole and effect.index <= self.index:
            self._answer(effect)
            return
        groups: dict[int, list[PendingRead[Any]]] = {}
        # A role gives back what was handed in to it, of which it looks at no more than a request has.
        for read in cast("tuple[PendingRead[Any], ...]", effect.reads):
            groups.setdefault(effect.index - read.may_miss, []).append(read)
        for index, reads in groups.items():
            self._count += 1
            as_of = effect.as_of if index == effect.index else None
            heapq.heappush(self._waiting, (index, self._count, AnswerReads(index, tuple(reads), as_of)))
        if self.is_whole:
            self.moved(self.index, self.term)

    def moved(self, index: int, term: int) -> None:
        """The state is that after this entry now: answer what waited for it."""
        self.index, self.term, self.is_whole = index, term, True
        while self._waiting and self._waiting[0][0] <= index:
            self._answer(heapq.heappop(self._waiting)[2])

    def look(self, read: PendingRead[Any]) -> None:
        """Answer one from the state as it is. Only where that `is_whole`."""
        read.run(self._state_machine, Seen(self.index, self.term, self.as_of))

    def _answer(self, effect: AnswerReads) -> None:
        if effect.as_of is not None and (self.as_of is None or effect.as_of > self.as_of):
            self.as_of = effect.as_of
        seen = Seen(self.index, self.term, self.as_of)
        for read in cast("tuple[PendingRead[Any], ...]", effect.reads):
            read.run(self._state_machine, seen)
