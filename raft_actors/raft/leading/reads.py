"""Reads without the log: the leader's side of the read index (dissertation §6.4).

A read may see the state once all is applied that was committed before it was asked for. A leader whose log begins with
an entry of its term knows what that is, unless another node leads by now and has committed more. So it asks: who is in
this term still has not elected anybody since. When a majority has said so, in answer to a question that was asked after
the read came, nothing had been committed elsewhere when it came. No entry is appended, and nothing is written.

All reads that wait share a round of questions, and one begins as soon as anything waits: as many as come while it is
under way share the next one. There is no timer to collect them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from raft_actors.raft.effects import AnswerReads, Effect, Send, TellCommit
from raft_actors.raft.features import READ_INDEX
from raft_actors.raft.leading.lease import Lease
from raft_actors.raft.messages import ConfirmLeader, ReadIndexReply
from raft_actors.raft.quorum import is_quorum, quorum_value
from raft_actors.raft.requests import ReadRequest
from raft_actors.raft.state import RaftState
from raft_actors.records import define

#: Rounds under way. One alone would let a read that comes just after it has begun wait for two, which counts where
#: nodes are far apart; many would be many messages.
_MOST_ROUNDS = 4


@define
class Round:
    """Reads that wait for the same answers.

    Attributes:
        number: the round's.
        index: the entry that must be applied before they are answered.
        as_of: when it began, on `RaftState.boottime`; None: more than `index` may have been committed by then.
        reads: this node's own, in the order in which they came.
        asked_by: follower → the last of its questions that wait, too.
    """

    number: int
    index: int
    as_of: float | None
    reads: list[ReadRequest]
    asked_by: dict[str, int]


class Reads:
    """Collects reads during a step, asks the followers for them, and lets them go.

    Attributes:
        requested: reads that no round was begun for yet.
        asked_by: follower → the last of its questions for which none was begun.
        last_round: the number of the last one begun. (term, number) is never used again: a term has one leader, which
            leads it once.
        rounds: those that reads wait for, oldest first.
        inherited_index: the last entry of earlier terms: what others have committed lies up to there.
        unread: rounds that are confirmed, whose reads wait until all of that is known to be committed.
        answered: follower → the last round that it has answered.
    """

    def __init__(self, state: RaftState, lease: Lease) -> None:
        """For a leader that has not appended anything yet."""
        self._state = state
        self._lease = lease
        self.inherited_index: int = state.log.last_index
        self.requested: list[ReadRequest] = []
        self.asked_by: dict[str, int] = {}
        self.last_round: int = 0
        self.rounds: deque[Round] = deque()
        self.unread: list[Round] = []
        self.answered: dict[str, int] = {}

    def can_confirm(self) -> bool:
        """Whether a majority knows how to answer. Where not, in a cluster that is being upgraded, reads go through the
        log.
        """
        return is_quorum({*self._able(), self._state.node_id}, *self._state.voter_sets)

    def is_mixed(self) -> bool:
        """Whether there are peers that do not."""
        return len(self._able()) < len(self._state.peers)

    def _able(self) -> list[str]:
        state = self._state
        return [peer for peer in state.peers if READ_INDEX in state.features_of(peer)]

    @property
    def is_due(self) -> bool:
        """Whether anything waits that no round was begun for."""
        return bool(self.requested or self.asked_by)

    def begin(self) -> list[Effect]:
        """Begin a round for the reads that were asked for, unless so many are under way that they wait for the next."""
        if len(self.rounds) >= _MOST_ROUNDS:
            return []
        state, reads, asked_by = self._state, self.requested, self.asked_by
        self.requested, self.asked_by = [], {}
        # What earlier leaders have committed lies before this term's first entry, wherever the commit index is (§8).
        index = max(self.inherited_index, state.commit_index)
        as_of = state.boottime()
        questions = self._ask()
        if index > state.commit_index:
            settled = [read for read in reads if read.settled_in == state.term]
            if settled:
                # What they don't ask about may be missing in what they see, so of its age they say nothing.
                self.rounds.append(Round(self.last_round, state.commit_index, None, settled, {}))
                reads = [read for read in reads if read.settled_in != state.term]
        self.rounds.append(Round(self.last_round, index, as_of, reads, asked_by))
        return [*questions, *self._settle()]

    def _ask(self) -> list[Effect]:
        self.last_round += 1
        self._lease.asked(self.last_round)
        question = ConfirmLeader(self._state.term, self.last_round)
        return [Send(peer, question) for peer in self._able()]

    def ask_at_start(self) -> list[Effect]:
        """Ask for a lease as soon as this leadership begins, where there are any."""
        return [*self._ask(), *self._settle()] if self._lease.settings is not None else []

    def ask_again(self) -> list[Effect]:
        """Ask in a new round, whose answers count for the earlier ones too: what was sent may be lost. Who waits no
        longer is forgotten.
        """
        for waiting in (*self.rounds, *self.unread):
            waiting.reads = [read for read in waiting.reads if not read.done]
        self.rounds = deque(waiting for waiting in self.rounds if waiting.reads or waiting.asked_by)
        self._join_unread()
        self.requested = [read for read in self.requested if not read.done]
        return self._ask() if self._lease.is_to_be_renewed() or self.rounds else []

    def _join_unread(self) -> None:
        """Keep one question of each follower: all of them wait for the last inherited entry, and its answer to a later
        question answers the earlier ones. That entry may wait for long, and followers ask again and again.
        """
        asked: set[str] = set()
        for waiting in reversed(self.unread):
            waiting.asked_by = {peer: number for peer, number in waiting.asked_by.items() if peer not in asked}
            asked.update(waiting.asked_by)
        self.unread = [waiting for waiting in self.unread if waiting.reads or waiting.asked_by]

    def record_answer(self, follower: str, number: int) -> list[Effect]:
        """Note that a follower was in this term when it was asked in this round, which has begun; let go whom a
        majority allows.
        """
        if number <= self.answered.get(follower, 0):
            return []
        self.answered[follower] = number
        return self._settle()

    def _settle(self) -> list[Effect]:
        """Let the reads go whose round a majority has answered; then there is room for another round."""
        state, rounds = self._state, self.rounds
        confirmed = quorum_value({**self.answered, state.node_id: self.last_round}, *state.voter_sets)
        self._lease.answered(confirmed)
        if not rounds:
            return []
        while rounds and rounds[0].number <= confirmed:
            self.unread.append(rounds.popleft())
        effects = self.release()
        return [*effects, *self.begin()] if self.is_due else effects

    def release(self) -> list[Effect]:
        """Have confirmed reads answered whose entry is committed. Until then it may never be applied, and only a later
        leader's be, in its place.
        """
        if not self.unread:
            return []
        effects: list[Effect] = []
        commit_index = self._state.commit_index
        ready = [each for each in self.unread if each.index <= commit_index]
        self.unread = [each for each in self.unread if each.index > commit_index]
        for each in ready:
            if each.reads:
                effects.append(AnswerReads(each.index, tuple(each.reads), each.as_of))
            for peer, request in each.asked_by.items():
                effects += (TellCommit(peer), Send(peer, ReadIndexReply(self._state.term, request, each.index)))
        return effects

    def refuse_others(self) -> list[Effect]:
        """Tell the followers that ask that they can't be told."""
        waiting: Iterable[Round] = (*self.unread, *self.rounds)
        asked = [question for each in waiting for question in each.asked_by.items()] + [*self.asked_by.items()]
        for each in waiting:
            each.asked_by = {}
        self.asked_by = {}
        return [Send(peer, ReadIndexReply(self._state.term, request, None)) for peer, request in asked]

    def take_all(self) -> list[ReadRequest]:
        """Give back all of this node's reads that wait, in the order in which they came; forget those of others, who
        ask again.
        """
        waiting: Iterable[Round] = (*self.unread, *self.rounds)
        reads = [read for each in waiting for read in each.reads] + self.requested
        self.rounds.clear()
        self.unread, self.requested, self.asked_by = [], [], {}
        return reads
