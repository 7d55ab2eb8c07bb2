"""Reads that wait for an entry to be applied, and are answered from the state that it leads to, or a later one."""

from __future__ import annotations

import heapq
from typing import Any, cast

from raft_actors.node.proposals import PendingRead, Seen
from raft_actors.raft.effects import AnswerReads
from raft_actors.state_machine import StateMachine

#: It is not worth while to look for those that were given up among fewer reads than this.
_FEW = 1024


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
        self._held = 0  # reads in the heap, those that were given up among them
        self._most_held = _FEW

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
        self._held += len(effect.reads)
        if self._held > self._most_held:
            self._forget_abandoned()
        if self.is_whole:
            self.moved(self.index, self.term)

    def moved(self, index: int, term: int) -> None:
        """The state is that after this entry now: answer what waited for it."""
        self.index, self.term, self.is_whole = index, term, True
        while self._waiting and self._waiting[0][0] <= index:
            effect = heapq.heappop(self._waiting)[2]
            self._held -= len(effect.reads)
            self._answer(effect)

    def _forget_abandoned(self) -> None:
        """Let go what nobody waits for: that may be asked for anew, again and again, before any of it is applied. Each
        time as many have come as were left the time before, so one read pays for looking at two at most.
        """
        waiting: list[tuple[int, int, AnswerReads]] = []
        for index, count, effect in self._waiting:
            reads = tuple(read for read in effect.reads if not read.done)
            if reads:
                waiting.append((index, count, AnswerReads(index, reads, effect.as_of)))
        heapq.heapify(waiting)
        self._waiting = waiting
        self._held = sum(len(effect.reads) for _, _, effect in waiting)
        self._most_held = max(_FEW, 2 * self._held)

    def look(self, read: PendingRead[Any]) -> None:
        """Answer one from the state as it is. Only where that `is_whole`."""
        read.run(self._state_machine, Seen(self.index, self.term, self.as_of))

    def _answer(self, effect: AnswerReads) -> None:
        if effect.as_of is not None and (self.as_of is None or effect.as_of > self.as_of):
            self.as_of = effect.as_of
        seen = Seen(self.index, self.term, self.as_of)
        for read in cast("tuple[PendingRead[Any], ...]", effect.reads):
            read.run(self._state_machine, seen)
