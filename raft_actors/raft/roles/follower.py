"""The follower: answers candidates and leaders, and starts an election when it hears neither (§5.2, §5.3)."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.errors import InternalError
from raft_actors.raft import inputs
from raft_actors.raft.asking import Asking
from raft_actors.raft.effects import AnswerReads, Apply, Become, Effect, Refuse, Send, StoreChunk
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.lost_store import doubts_of_entries
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    InstallSnapshot,
    InstallSnapshotReply,
    ReadIndexReply,
    RequestPreVote,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_actors.raft.requests import ReadRequest
from raft_actors.raft.roles.role import Role
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName

#: How long after another a follower asks for pre-votes when the leader's connections break, in heartbeat intervals; and
#: what the last one may wait. A round and an election take a few milliseconds in a local network.
_TURN, _LAST_TURN = 0.075, 0.15


class Follower(Role):
    """Passive: it only answers, and waits for its election timeout.

    Attributes:
        asking: reads that wait for the leader to say how much must be applied.
        heard_at: when the leader was last heard of, on the node's clock; minus infinity if it was not, or if the
            connection with it has broken since.
        told: the leader's word to stand, for which the disk was not ready; and until when to keep it.
        owed: a term, and an index up to which its leader knows the logs to agree, while the disk lacks some of it.
    """

    name = RoleName.FOLLOWER

    def __init__(self, state: RaftState) -> None:
        super().__init__(state)
        self.heard_at: float = float("-inf")
        self.asking: Asking = Asking(state)
        self.told: tuple[TimeoutNow, float] | None = None
        self.owed: tuple[int, int] | None = None
        shortest, longest = state.config.election_timeout_s
        self.spread_s: float = longest - shortest  # drawn anew for each message of the leader

    @property
    @override
    def grace_s(self) -> float:
        """A beat and a half: a node that was held up has not listened, so it can't tell that its leader was silent."""
        return 1.5 * self.state.config.heartbeat_interval_s

    def start(self, now: float) -> list[Effect]:
        """Wait for a leader for a whole election timeout; less after a start of the node."""
        state = self.state
        self.deadline = state.first_deadline(now) if state.has_just_started else state.election_deadline(now)
        state.has_just_started = False
        return []

    def on_deadline(self, now: float) -> list[Effect]:
        """No word from a leader: stand for election."""
        return self.stand(now)

    @override
    def in_touch(self, now: float) -> bool:
        """Whether the leader was heard of within the shortest election timeout."""
        return self.state.leader is not None and now - self.heard_at < self.state.config.election_timeout_s[0]

    @override
    def on_peer_disconnected(self, item: inputs.PeerDisconnected, now: float) -> list[Effect]:
        """The leader's process has ended, it seems: ask soon whether the others have lost it too, one after another.

        Those that still hear it refuse, so that a broken connection alone costs no election. Without pre-votes it
        would, and nothing is done.
        """
        if item.peer == self.state.leader:
            self._leader_is_gone(now)
        return []

    @override
    def on_request_pre_vote(self, sender: str, message: RequestPreVote, now: float) -> list[Effect]:
        """Answer. One that asks and was the leader of this term has given that up, or was restarted: nobody need wait
        for its silence. A heartbeat of it that comes later than it should is outdone when it asks again.
        """
        if sender == self.state.leader and message.term > self.state.term:
            self._leader_is_gone(now)
        return super().on_request_pre_vote(sender, message, now)

    def _leader_is_gone(self, now: float) -> None:
        state = self.state
        if state.leader is not None and state.config.pre_vote:
            self.heard_at = float("-inf")
            self.deadline = min(self.deadline, now + self._turn_s(state.leader))

    def _turn_s(self, leader: str) -> float:
        """How long to let others go first: none for whoever comes next after the leader in the order of ids."""
        voters = sorted({*self.state.voters, self.state.node_id, leader})
        place = (voters.index(self.state.node_id) - voters.index(leader)) % len(voters) - 1
        turn = min(_TURN, _LAST_TURN / max(1, len(voters) - 2))
        return place * turn * self.state.config.heartbeat_interval_s

    @override
    def on_request_vote(self, sender: str, message: RequestVote, now: float) -> list[Effect]:
        """Vote for the first candidate of the term whose log is at least as up-to-date (§5.2, §5.4.1)."""
        state = self.state
        if self.would_vote(sender, message, now):
            state.vote_for(sender)
            if state.leader is None:  # else the election is over, and what comes late is no sign of life
                self.deadline = state.election_deadline(now)
            return [state.reply(sender, RequestVoteReply(state.term, granted=True))]
        return [state.reply(sender, RequestVoteReply(state.term, granted=False))]

    @override
    def on_timeout_now(self, sender: str, message: TimeoutNow, now: float) -> list[Effect]:
        """The leader wants this node to lead: stand, without asking anybody before (dissertation §3.10).

        While something waits for the disk it can't, not even while that is no more than a note of what is committed. It
        stands once that is done, or else forgets it by the time at which the leader asks again: that may lead on then.
        """
        if sender != self.state.leader or not self.state.is_voter:
            return []
        self.told = (message, now + self.state.config.heartbeat_interval_s)
        return self._stand_as_told(now)

    def _stand_as_told(self, now: float) -> list[Effect]:
        state = self.state
        if self.told is None or not state.may_stand:
            return []
        (message, until), self.told = self.told, None
        if now > until or message.term != state.term or not state.is_voter:
            return []
        state.leadership_transfer = True
        state.lease_over = message.lease_over
        return [Become(RoleName.CANDIDATE)]

    @override
    def on_durable(self, item: inputs.Durable, now: float) -> list[Effect]:
        """The leader may wait for this: to hear that it has all, or to have this node stand."""
        effects = super().on_durable(item, now)
        if self.owed is not None:
            effects += self._acknowledge_owed(*self.owed, effects)
        return effects if self.told is None else [*effects, *self._stand_as_told(now)]

    # --- reads -----------------------------------------------------------------------------------------------

    @override
    def on_reads(self, reads: list[ReadRequest], now: float) -> list[Effect]:
        """Have the leader asked at the end of the step, if one is known that can be."""
        if not self.asking.may_ask:
            return super().on_reads(reads, now)
        self.asking.requested += reads
        return []

    @override
    def end_of_step(self, now: float) -> list[Effect]:
        forwarded = super().end_of_step(now)
        if not self.asking.is_waiting:
            return forwarded
        if not self.state.is_member:  # the leader parts from it: it might be told an index that it never gets
            return [*forwarded, *self._refuse_reads()]
        return [*forwarded, *self.asking.go_on(now)]

    @override
    def on_read_index_reply(self, sender: str, message: ReadIndexReply, now: float) -> list[Effect]:
        reads = self.asking.answered(message)
        if message.index is None:
            return [Refuse(read, self.not_leader()) for each in reads for read in each.reads]
        return [AnswerReads(message.index, tuple(each.reads), each.as_of) for each in reads if each.reads]

    @override
    def leave(self) -> list[Effect]:
        """Whoever waits for a leader's word learns that none is known."""
        return self._refuse_reads()

    def _refuse_reads(self) -> list[Effect]:
        return [Refuse(read, self.not_leader()) for read in self.asking.take_all()]

    # --- log -------------------------------------------------------------------------------------------------

    def on_append_entries(self, sender: str, message: AppendEntries, now: float) -> list[Effect]:
        """AppendEntries RPC of Figure 2: check the entry before, remove conflicts, append, advance the commit index."""
        state = self.state
        state.follow(sender)
        self.heard_at = now
        self.deadline = state.election_deadline(now)
        if message.entries:
            self.told = None  # it leads on
        if state.disk_is_behind and (message.entries or state.durable != state.written):
            return []  # as good as lost on the way: an answer would wait for the disk, and the leader will ask again
        if not self._has_entry_before(message):
            return [state.reply(sender, self._rejection(message))]
        doubts = doubts_of_entries(state, sender, message.entries, message.leader_commit)
        truncate_from, new = self._merge(message.entries)
        commit_index = min(message.leader_commit, message.last_index)
        if new:
            # What was committed is applied after the answer, for which the leader's proposers wait.
            accepted = Send(sender, AppendEntriesAccepted(state.term, message.last_index))
            # Not where somebody here waits for results: they are kept only if that is known before they are there.
            at_once = bool(state.unresolved)
            applied = self._commit(commit_index)
            then = () if at_once else applied
            written = state.persist(accepted, *then, truncate_from=truncate_from, entries=tuple(new))
            return [*doubts, written, *applied] if at_once else [*doubts, written]
        effects: list[Effect] = []
        if message.wants_reply:
            # What is on its way to the disk is acknowledged later: till then, no more than what is there.
            durable = min(message.last_index, state.log.durable_index)
            if durable < message.last_index:
                self.owed = (state.term, message.last_index)
            effects.append(state.reply(sender, AppendEntriesAccepted(state.term, durable)))
        return [*effects, *self._commit(commit_index), *state.note_commit()]

    def _acknowledge_owed(self, term: int, index: int, effects: list[Effect]) -> list[Effect]:
        """Acknowledge what an earlier leader has sent, and this one has asked for, now that it is on disk.

        The acknowledgement that was to follow the write itself was for the earlier leader's term, and is dropped. But
        for this one, its successor would not hear before the next heartbeat that the logs agree, and send nothing.
        """
        state = self.state
        if term == state.term and state.log.durable_index < index:
            return []
        self.owed = None
        sent = (effect.message for effect in effects if isinstance(effect, Send))
        if any(isinstance(message, AppendEntriesAccepted) and message.match_index >= index for message in sent):
            return []
        if term != state.term or state.leader is None:
            return []
        return [state.reply(state.leader, AppendEntriesAccepted(term, index))]

    def _commit(self, index: int) -> list[Apply | Refuse]:
        if index <= self.state.commit_index:
            return []
        self.state.commit(index)
        return self.state.apply(index)

    def _has_entry_before(self, message: AppendEntries) -> bool:
        """Whether this log holds the entry before the sent ones. What is committed always matches (§5.4, Figure 3)."""
        index, term = message.prev_log_index, self.state.log.term_at(message.prev_log_index)
        if index > self.state.commit_index:
            return term == message.prev_log_term
        if term not in (None, message.prev_log_term):
            raise InternalError(
                f"the leader of term {message.term} has term {message.prev_log_term} at index {index}, "
                f"where an entry of term {term} is committed"
            )
        return True

    def _rejection(self, message: AppendEntries) -> AppendEntriesRejected:
        """Say what is here instead, so that the leader can skip a whole term (§5.3)."""
        state, index = self.state, message.prev_log_index
        if index > state.log.last_index:
            return AppendEntriesRejected(state.term, index, None, state.log.last_index + 1)
        first = max(state.log.first_index_of_term(index), state.commit_index + 1)
        return AppendEntriesRejected(state.term, index, state.log.term_at(index), first)

    def _check_committed(self, batch: EntryBatch) -> None:
        """Look at entries that are committed here before they are acknowledged once more: a leader counts the answer.

        They come twice when an answer was lost. They differ only where a majority forgot what it had acknowledged, or
        never was one: what this node has applied and what the leader says can't both stand (Figure 3).
        """
        state = self.state
        index = state.log.contradiction(batch)
        if index is not None and index <= state.commit_index:
            held = state.log.term_at(index)
            raise InternalError(
                f"the leader of term {state.term} sends an entry {index} of term {batch.term}, where this node "
                f"{state.node_id!r} has committed another one, of term {held}: was another node's store deleted or "
                "replaced, or were nodes started with other voters? No node can mend this: keep the stores of all, and "
                "go on with those that hold what was acknowledged"
            )

    def _merge(self, batches: tuple[EntryBatch, ...]) -> tuple[int | None, list[EntryBatch]]:
        """Bring the log in memory in line with the leader's; return where it was cut, if it was, and what is new."""
        state, log = self.state, self.state.log
        truncate_from: int | None = None
        new: list[EntryBatch] = []
        for batch in batches:
            if batch.first_index <= state.commit_index:
                self._check_committed(batch)
            if batch.last_index <= state.commit_index:
                continue
            conflict = log.conflict_with(batch)
            if conflict is not None:
                state.truncate(conflict)
                truncate_from = conflict
            if batch.last_index > log.last_index:
                fresh = batch.since(log.last_index + 1)
                state.append(fresh)
                new.append(fresh)
        return truncate_from, new

    # --- snapshots -------------------------------------------------------------------------------------------

    def on_install_snapshot(self, sender: str, message: InstallSnapshot, now: float) -> list[Effect]:
        """InstallSnapshot RPC of Figure 13: collect the chunks, unless all that they say is known here."""
        state = self.state
        state.follow(sender)
        self.heard_at = now
        self.deadline: float = state.election_deadline(now)
        if state.disk_is_behind:
            return []
        if message.snapshot.index <= state.commit_index:
            self.check_snapshot(message.snapshot)
            known = InstallSnapshotReply(state.term, message.snapshot, message.sequence + 1, installed=True)
            return [state.persist(Send(sender, known))]  # committed here, and durable once all before it is
        return [StoreChunk(sender, message)]
