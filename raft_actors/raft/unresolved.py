"""What becomes of proposals that have a place in the log, and whose leader can't tell any more (§5.3, §5.4).

A leader that is deposed is still a member: its log will say. An entry is known by its index and term (Log Matching,
Figure 3), and the terms of committed entries never fall along the log. So whatever is committed says of every
proposal of an older term that it is among the committed entries, or that it never will be.

A snapshot says less: what was committed, but of its entries only the last one's index and term. That decides

- what lies beyond it and is of an older term, which is not committed: any log that holds it would have its term fall
  after the snapshot's last entry, which all logs of later leaders hold (Leader Completeness);
- what lies within it and is of a later term, which is not committed, for the same reason;
- what lies within it and is of the same term, which is committed: one leader has placed both, and what it had before
  the later one of them lies before it in every log (Log Matching);
- what lies at its end, where no other entry can be.

It leaves open what lies before its end and is of an older term.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable

import attrs

from raft_actors.errors import LeadershipLost, NotCommitted, ProposalError, ResultLost
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
        committed, not_committed, unknown: how many were decided, and how. Of those that are committed, the results may
            be lost.
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
        committed = sum(isinstance(refuse.error, ResultLost) for refuse in refused)
        self.committed += committed
        self.not_committed += not_committed
        self.unknown += len(refused) - not_committed - committed

    @staticmethod
    def _decide_one(
        request: Request, term: int, log: Log, commit_index: int, committed: list[Request], refused: list[Refuse]
    ) -> None:
        """A proposal of several entries may be committed as far as its first ones."""
        first, last = request.index or 0, request.last_index
        end = min(last, commit_index)
        if end >= first and log.term_at(end) != term:
            if log.snapshot is not None and log.term_at(first) is None:
                # It came to this node after the log had been compacted that far.
                told = _told_by(log.snapshot, request, term)
                if isinstance(told, ResultLost):
                    committed.append(request)  # and the result may have been kept
                else:
                    refused.append(Refuse(request, told or LeadershipLost(term, first)))
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

        Nothing need be committed after it for long, so whoever it tells anything of does not wait for that. What lies
        beyond it, and is not of an older term, is decided by what is committed there.
        """
        refused: list[Refuse] = []
        for term in sorted(self._open):
            still_open = deque[Request]()
            for request in self._open[term]:
                told = _told_by(snapshot, request, term)
                if told is None:
                    still_open.append(request)
                else:
                    refused.append(Refuse(request, told))
            if still_open:
                self._open[term] = still_open
            else:
                del self._open[term]
        self._count(refused)
        return tuple(refused)

    def give_up(self) -> tuple[Refuse, ...]:
        """Wait no more for what would decide them: nobody tells this node."""
        refused = [
            Refuse(request, LeadershipLost(term, request.index or 0))
            for term in sorted(self._open)
            for request in self._open[term]
        ]
        self._open.clear()
        self._count(refused)
        return tuple(refused)


def _told_by(snapshot: SnapshotMetadata, request: Request, term: int) -> ProposalError | None:
    """What a snapshot says of a proposal, where the entries before its end are not known; None: nothing yet."""
    first = request.index or 0
    if term < snapshot.term:
        known = first >= snapshot.index
        return NotCommitted(term, first) if known else LeadershipLost(term, first)
    if first > snapshot.index:
        return None
    if term > snapshot.term:
        return NotCommitted(term, first)
    # What is committed in part waits for the rest.
    return ResultLost(first) if request.last_index <= snapshot.index else None
