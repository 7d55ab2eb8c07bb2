"""What becomes of proposals that have a place in the log, and whose leader can't tell any more (§5.3, §5.4).

A leader that is deposed is still a member: its log will say. An entry is known by its index and term (Log Matching,
Figure 3), and the terms of committed entries never fall along the log. So whatever is committed says of every
proposal of an older term that it is among the committed entries, or that it never will be.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable

import attrs

from raft_actors.errors import LeadershipLost, NotCommitted
from raft_actors.raft.effects import Refuse
from raft_actors.raft.log import Log
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.requests import Request
from raft_actors.records import define, frozen


def _last_index(request: Request) -> int:
    return request.last_index


@frozen
class Decided:
    """What a commit has decided.

    Attributes:
        committed: proposals that are committed, whole or in part (`Request.cut`), in log order.
        refused: what to tell of those that are not.
        keep_from: the first index of a proposal of which only the beginning is committed so far, or None.
    """

    committed: tuple[Request, ...]
    refused: tuple[Refuse, ...]
    keep_from: int | None = None


@define
class UnresolvedProposals:
    """Proposals whose place is known, until it is known what is committed there.

    Attributes:
        committed, not_committed, unknown: how many were decided, and how.
    """

    committed: int = 0
    not_committed: int = 0
    unknown: int = 0
    # Term of their entries → those proposals, in log order.
    _open: dict[int, deque[Request]] = attrs.field(factory=dict[int, "deque[Request]"], init=False)

    def __bool__(self) -> bool:
        return bool(self._open)

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def watch(self, requests: Iterable[Request], term: int) -> None:
        """Find out what becomes of proposals that a leader of this term gave their indexes."""
        for request in requests:
            waiting = self._open.setdefault(term, deque())
            if waiting and waiting[-1].last_index > request.last_index:
                ordered = list(waiting)
                insort(ordered, request, key=_last_index)
                self._open[term] = deque(ordered)
            else:
                waiting.append(request)

    def decide(self, log: Log, commit_index: int) -> Decided:
        """Decide all that a commit index decides: what lies below it, and all of older terms than its entry is of."""
        committed: list[Request] = []
        refused: list[Refuse] = []
        keep_from: int | None = None
        committed_term = log.term_at(commit_index) or 0
        for term in sorted(self._open):
            waiting = self._open[term]
            while waiting:
                request = waiting[0]
                if request.last_index > commit_index and term >= committed_term:
                    break
                waiting.popleft()
                self._decide_one(request, term, log, commit_index, committed, refused)
            if not waiting:
                del self._open[term]
            elif (waiting[0].index or 0) <= commit_index:
                keep_from = min(keep_from or commit_index, waiting[0].index or 0)
        self.committed += len(committed)
        self._count(refused)
        return Decided(tuple(sorted(committed, key=_last_index)), tuple(refused), keep_from)

    def _count(self, refused: list[Refuse]) -> None:
        not_committed = sum(isinstance(refuse.error, NotCommitted) for refuse in refused)
        self.not_committed += not_committed
        self.unknown += len(refused) - not_committed

    @staticmethod
    def _decide_one(
        request: Request, term: int, log: Log, commit_index: int, committed: list[Request], refused: list[Refuse]
    ) -> None:
        """A proposal of several entries may be committed as far as its first ones."""
        first, last = request.index or 0, request.last_index
        end = min(last, commit_index)
        if end >= first and log.term_at(end) != term:
            if log.term_at(first) is None:  # it came to this node after the log had been compacted that far
                refused.append(Refuse(request, LeadershipLost(term, first)))
                return
            # All of one term lie together, so its own are the first of the range, if any of it is.
            end = next((index - 1 for index in range(first, end + 1) if log.term_at(index) != term), end)
        if end >= last:
            committed.append(request)
        elif end >= first:
            request.cut(end, term)
            committed.append(request)
        else:
            refused.append(Refuse(request, NotCommitted(term, first)))

    def replaced(self, snapshot: SnapshotMetadata) -> tuple[Refuse, ...]:
        """Decide what a snapshot decides that has replaced a log which did not match it.

        A proposal below its end is not committed where it is of a later term than that end; else nothing is left that
        could tell. What lies beyond it is decided by what is committed there.
        """
        refused: list[Refuse] = []
        for term in sorted(self._open):
            waiting = self._open[term]
            while waiting and (waiting[0].index or 0) <= snapshot.index:
                request = waiting.popleft()
                known = term > snapshot.term
                kind = NotCommitted if known else LeadershipLost
                refused.append(Refuse(request, kind(term, request.index or 0)))
            if not waiting:
                del self._open[term]
        self._count(refused)
        return tuple(refused)
