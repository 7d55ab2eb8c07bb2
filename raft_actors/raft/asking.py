"""Reads without the log: a follower's side of the read index (dissertation §6.4).

It asks the leader how much must be applied, waits until it is, and answers by itself: so it takes nothing from the
leader but a share in a round of questions. All reads that wait share a question, and one is asked at once.

The leader's word does not advance the commit index: it says what is committed, not that this node's log has it.
"""

from __future__ import annotations

from collections import deque

from raft_actors.raft.effects import Effect
from raft_actors.raft.features import READ_INDEX
from raft_actors.raft.messages import ReadIndexReply, RequestReadIndex
from raft_actors.raft.requests import ReadRequest
from raft_actors.raft.state import RaftState
from raft_actors.records import define

#: Questions under way for reads, as for a leader's rounds.
_MOST_QUESTIONS = 4


@define
class Asked:
    """Reads that wait for one answer.

    Attributes:
        request: the question's number.
        as_of: when it was asked, on `RaftState.boottime`.
        reads: in the order in which they came.
    """

    request: int
    as_of: float
    reads: list[ReadRequest]


class Asking:
    """Collects reads during a step, asks the leader for them, and asks again what is not answered.

    Attributes:
        requested: reads for which nothing was asked yet.
        asked: those that wait for an answer, oldest first.
    """

    def __init__(self, state: RaftState) -> None:
        self._state = state
        self._first_request = state.read_requests + 1
        self._asked_of = (0, "")  # the term and the leader that the last question went to
        self._asked_at = 0.0
        self.requested: list[ReadRequest] = []
        self.asked: deque[Asked] = deque()

    @property
    def may_ask(self) -> bool:
        """Whether a leader is known that knows how to answer."""
        leader = self._state.leader
        return leader is not None and READ_INDEX in self._state.features_of(leader)

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to do or to wait for."""
        return bool(self.requested or self.asked)

    def go_on(self, now: float) -> list[Effect]:
        """Ask for new reads; and ask again where there is a new leader, or the last question was asked a heartbeat
        interval ago: it may be lost. The answer to a later question answers all earlier ones.
        """
        state = self._state
        if state.leader is None:
            return []
        due = self.asked and (
            self._asked_of != (state.term, state.leader) or now - self._asked_at > state.config.heartbeat_interval_s
        )
        if due:
            self._forget_abandoned()
        if self.requested and (due or len(self.asked) < _MOST_QUESTIONS):
            question = self._ask(state.leader, now)
            self.asked.append(Asked(state.read_requests, state.boottime(), self.requested))
            self.requested = []
            return [question]
        return [self._ask(state.leader, now)] if due and self.asked else []

    def _ask(self, leader: str, now: float) -> Effect:
        state = self._state
        state.read_requests += 1
        self._asked_of, self._asked_at = (state.term, leader), now
        return state.reply(leader, RequestReadIndex(state.term, state.read_requests))

    def _forget_abandoned(self) -> None:
        for each in self.asked:
            each.reads = [read for read in each.reads if not read.done]
        self.asked = deque(each for each in self.asked if each.reads)
        self.requested = [read for read in self.requested if not read.done]

    def answered(self, reply: ReadIndexReply) -> list[Asked]:
        """Take out the reads that the leader has answered. None where this node, in this life, did not ask so."""
        answered: list[Asked] = []
        if self._first_request <= reply.request <= self._state.read_requests:
            while self.asked and self.asked[0].request <= reply.request:
                answered.append(self.asked.popleft())
        return answered

    def take_all(self) -> list[ReadRequest]:
        """Give back all reads that wait, in the order in which they came."""
        reads = [read for each in self.asked for read in each.reads] + self.requested
        self.asked.clear()
        self.requested = []
        return reads
