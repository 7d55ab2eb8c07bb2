"""The leader: appends, replicates, commits (§5.3, §5.4), and steps down when it has lost touch with the majority.

What it keeps account of lies in `leading`, a part for each concern; here is what it does about it.
"""

from __future__ import annotations

from typing_extensions import override

from raft_actors.errors import InternalError, LeadershipLost, Overloaded
from raft_actors.overload import OverloadCause
from raft_actors.raft import inputs
from raft_actors.raft.effects import (
    AnnounceCommit,
    Beat,
    Become,
    Effect,
    EndScopes,
    Feed,
    GiveLeadershipUp,
    Refuse,
    RefuseMessage,
    ReplicateTo,
    Resume,
    Send,
    WakeReplicators,
)
from raft_actors.raft.entries import EntryBatch
from raft_actors.raft.impossible import Impossible
from raft_actors.raft.leading.commit import Commit
from raft_actors.raft.leading.contact import Contact
from raft_actors.raft.leading.forwarded import ForwardedBatches
from raft_actors.raft.leading.intake import Intake
from raft_actors.raft.leading.lease import Lease
from raft_actors.raft.leading.members import Members
from raft_actors.raft.leading.own_disk import OwnDisk
from raft_actors.raft.leading.priority import Priority
from raft_actors.raft.leading.reads import Reads
from raft_actors.raft.leading.retention import Retention
from raft_actors.raft.leading.transfer import Transfer
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    ConfirmLeader,
    ConfirmLeaderReply,
    Forwarded,
    ForwardProposals,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    ReadIndexReply,
    RequestReadIndex,
)
from raft_actors.raft.requests import Handover, ReadRequest, Request
from raft_actors.raft.roles.leader_handing_over import LeaderHandingOver
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import GivenUp, RoleName

#: How soon to look again whether others' leases have ended, at least: a clock may stand still.
_LEAST_WAIT_S = 0.001

_ANNOUNCE_COMMIT = AnnounceCommit()  # one for all: a busy leader needs thousands a second


class Leader(LeaderHandingOver):
    """The leader of one term.

    Attributes:
        term: the term that it leads; the state's own may be higher already when it leaves.
        intake: what applications ask of it.
        lease: what may be read without asking, and until when nothing may be committed.
        reads: those that ask the followers, and no log.
        commit: how far a majority holds the log.
        contact: when the followers last answered.
        own_disk: whether its own disk works.
        retention: what followers still need of the log.
        members: the change of members that is under way, if there is one.
        forwarded: what other members have handed on.
        priority: who is to lead rather than this node.
        transfer: the handing over of leadership that is under way, or None.
    """

    name = RoleName.LEADER

    def __init__(self, state: RaftState) -> None:
        super().__init__(state)
        self.term: int = state.term
        self.intake: Intake = Intake(state)
        self.lease: Lease = Lease(state)
        self.reads: Reads = Reads(state, self.lease)
        self.commit: Commit = Commit(state)
        self.contact: Contact = Contact(state)
        self.own_disk: OwnDisk = OwnDisk(state)
        self.retention: Retention = Retention(state, self.commit, self.contact)
        self.members: Members = Members(state, self.commit, self.contact)
        self.forwarded: ForwardedBatches = ForwardedBatches(state)
        self.priority: Priority = Priority(state, self.commit, self.contact)
        self.transfer: Transfer | None = None

    def start(self, now: float) -> list[Effect]:
        """Lead: an entry of this term is needed before anything older can be known to be committed (§5.4.2, §8)."""
        state = self.state
        state.follow(state.node_id)
        state.lease_over = False
        self.deadline = self._next_deadline(now)
        self.contact.begin(now)
        self.own_disk.saw_it_work(now)
        self.members.start(now)
        self.priority.begin(now)
        self.intake.clock.begin(now)
        replicate = ReplicateTo(state.peers, next_index=state.log.last_index + 1)
        # Where there are leases, reads need not wait for the first commit, but for one round.
        questions = self.reads.ask_at_start()
        return [replicate, *self._append([self.intake.noop()]), *questions]

    def _next_deadline(self, now: float) -> float:
        """A heartbeat, or the end of the wait for others' leases."""
        interval_s = self.state.config.heartbeat_interval_s
        return now + (min(interval_s, max(self.lease.wait_left_s, _LEAST_WAIT_S)) if self.lease.waits else interval_s)

    # --- time ------------------------------------------------------------------------------------------------

    def on_deadline(self, now: float) -> list[Effect]:
        """A heartbeat is due. A leader that a majority has not answered for long steps down (dissertation §6.2).

        One that was held up has not listened, and maybe not asked: it beats first, and looks when the next is due.
        """
        interval_s = self.state.config.heartbeat_interval_s
        held_up = now - self.deadline > interval_s
        self.deadline: float = self._next_deadline(now)
        if held_up:
            self.own_disk.saw_it_work(now)
        elif instead := self._look_around(now):
            return instead
        ran_out = "the lease ran out: a majority has not answered in time"
        effects: list[Effect] = [EndScopes(ran_out)] if self.lease.has_failed_those_who_hold_it else []
        if self.members.beat(now):
            effects.append(ReplicateTo(self.members.followers, next_index=self.state.log.last_index + 1))
        effects.append(Beat(self.contact.inactive(now) | self.members.awaited | self.priority.higher))
        if self.lease.settings is not None:
            effects += self._advance_commit(now)  # it may have waited for the end of others' leases
        effects += [*self._go_on_with_transfer(now), *self._ask_again_for_reads()]
        effects += [*self._go_on_with_members(now), *self._give_way_to_priority(now)]
        return [*effects, *self.state.note_commit()]

    def _look_around(self, now: float) -> list[Effect]:
        """Whether this node can't lead on, or not by this configuration: what to do instead of a beat; else nothing."""
        is_lost = self.contact.is_lost(now)
        settled = self.members.take_back(now)
        if settled is not None:
            return [*self._change_to(settled, now), Beat(self.contact.inactive(now))]
        if is_lost:
            silent_s = self.contact.silence_s(self.state.voter_sets, now)
            return [GiveLeadershipUp(self.term, GivenUp.NO_MAJORITY, silent_s), self._step_down_unheard()]
        if self.own_disk.hangs(now):
            hung_s = now - self.own_disk.seen_at
            return [GiveLeadershipUp(self.term, GivenUp.HUNG_DISK, hung_s), *self._give_way(now)]
        return []

    def _step_down_unheard(self) -> Become:
        """Ask at once whether the others have lost it, too. That elects nobody who should not be, and tells those that
        still hear this node, though it does not hear them, that it leads no more: they need not wait for its silence.
        """
        state = self.state
        may_ask = state.config.pre_vote and state.may_be_needed and bool(state.voting_peers)
        state.leader = None
        return Become(RoleName.PRE_CANDIDATE if may_ask else RoleName.FOLLOWER)

    @override
    def in_touch(self, now: float) -> bool:
        """Whether a majority still answers."""
        return self.contact.holds(now)

    # --- proposals and reads ---------------------------------------------------------------------------------

    def on_requests(self, requests: list[Request]) -> list[Effect]:
        """Collect them for the batch at the end of the step."""
        if self.state.disk_is_behind:
            return self._refuse_for_disk(requests)
        if self.transfer is not None:
            self.transfer.held += requests
            return []
        self.intake.requested += requests
        return []

    def _refuse_for_disk(self, requests: list[Request]) -> list[Effect]:
        """A majority can commit without this disk; were more taken on all the same, memory would fill behind it."""
        state = self.state
        behind = f"{state.unsynced_bytes:,} bytes and {state.unsynced_writes:,} writes behind"
        limit = f"max_uncommitted_bytes {state.config.max_uncommitted_bytes:,}"
        error = f"this leader's disk is {behind} ({limit})"
        retry_after_s = state.config.heartbeat_interval_s
        return [Refuse(request, Overloaded(error, OverloadCause.DISK, retry_after_s)) for request in requests]

    def stalled_by(self, now: float) -> OverloadCause | None:
        """What keeps it from committing for longer than load does; None: nothing that it knows of."""
        patience_s = self.state.config.election_timeout_s[0]
        if self.contact.silence_s(self.state.voter_sets, now) > patience_s:
            return OverloadCause.NO_MAJORITY
        return OverloadCause.DISK if self.own_disk.silence_s(now) > patience_s else None

    def end_of_step(self, now: float) -> list[Effect]:
        """Append what was proposed during the step, and ask for what is to be read."""
        effects = self.forward(now)
        if self.state.outbox.waiting:  # since before this leadership, or given back now by the leader before
            effects += self.on_requests(self.state.outbox.take_all())
        effects += self._append_requested(now)
        return [*effects, *self.reads.begin()] if self.reads.is_due else effects

    @override
    def on_reads(self, reads: list[ReadRequest], now: float) -> list[Effect]:
        """Have the followers asked at the end of the step. While leadership is handed over, that would be in vain."""
        if self.transfer is not None:
            self.transfer.held += reads
        elif self.reads.can_confirm():
            self.reads.requested += reads
        else:
            self.intake.requested += reads
        return []

    def _ask_again_for_reads(self) -> list[Effect]:
        if self.reads.rounds and self.reads.is_mixed():
            # Those that know how to answer may be down, and those that don't a majority with this node.
            refused = self.reads.refuse_others()
            self.intake.requested += self.reads.take_all()
            return refused
        return self.reads.ask_again()

    @override
    def on_request_read_index(self, sender: str, message: RequestReadIndex, now: float) -> list[Effect]:
        """Ask for it with the reads of this node. While leadership is handed over, the asker has to ask again.

        One that this leader takes leave of, and does not know that yet, need not get all that is committed any more.
        """
        self.contact.heard_of(sender, now)
        if self.transfer is not None:
            return []
        if not self.reads.can_confirm() or sender not in self.state.configuration.ids:
            return [Send(sender, ReadIndexReply(self.term, message.request, None))]
        self.reads.asked_by[sender] = message.request
        return []

    @override
    def on_confirm_leader_reply(self, sender: str, message: ConfirmLeaderReply, now: float) -> list[Effect]:
        """Count it for the reads that wait for it; it is no word of the follower's log."""
        if message.round > self.reads.last_round:
            why = f"it answers read round {message.round}, the last one was {self.reads.last_round}"
            return [RefuseMessage(sender, Impossible.ROUND, why)]
        self.contact.heard_of(sender, now)
        return self.reads.record_answer(sender, message.round)

    def _append_requested(self, now: float) -> list[Effect]:
        intake, forwarded = self.intake, self.forwarded
        if not intake.requested and not forwarded.unplaced:
            return []
        intake.handed_on = forwarded.unplaced
        batches = intake.batches(now)
        # The answers first: they say which of the entries that follow are whose.
        return [*forwarded.placed(), *self._append(batches)]

    @override
    def on_forward_proposals(self, sender: str, message: ForwardProposals, now: float) -> list[Effect]:
        """Take them in as if they were proposed here."""
        refusal = None
        if self.state.disk_is_behind:
            refusal = Forwarded.OVERLOADED
        elif self.transfer is not None:
            refusal = Forwarded.REFUSED
        cause = OverloadCause.DISK if refusal is Forwarded.OVERLOADED else OverloadCause.BYTES
        return [*self.forwarded.take(sender, message, refusal, cause)]

    def _append(self, batches: list[EntryBatch]) -> list[Effect]:
        for batch in batches:
            self.state.append(batch)
        return [self.state.persist(entries=tuple(batches)), WakeReplicators()]

    # --- replies ---------------------------------------------------------------------------------------------

    def on_durable(self, item: inputs.Durable, now: float) -> list[Effect]:
        """Its own disk has caught up: count it."""
        return super().on_durable(item, now) + self._advance_commit(now) + self._go_on_with_members(now)

    def on_append_entries_accepted(self, sender: str, message: AppendEntriesAccepted, now: float) -> list[Effect]:
        """Count it, and let the replicator send more."""
        if sender not in self.commit.match_index:
            return []  # late: it is no member any more
        if message.match_index > self.state.log.last_index:
            return self._refuse_match(sender, message.match_index)
        effects = self._feed(sender, message, now)
        if self.commit.record_match(sender, message.match_index):
            effects += self._advance_commit(now)
            if self.transfer is not None:
                effects += self._tell_when_due(now)
        return effects + self._go_on_with_members(now) if self.members.busy else effects

    def on_append_entries_rejected(self, sender: str, message: AppendEntriesRejected, now: float) -> list[Effect]:
        """Let the replicator go back to where the logs agree."""
        if sender not in self.commit.match_index:
            return []
        return self._feed(sender, message, now)

    def on_install_snapshot_reply(self, sender: str, message: InstallSnapshotReply, now: float) -> list[Effect]:
        """Let the replicator send the next chunk. An installed snapshot counts as a match, however late it is told."""
        if sender not in self.commit.match_index:
            return []
        if message.snapshot.index > self.state.log.last_index:
            return self._refuse_match(sender, message.snapshot.index)
        effects = self._feed(sender, message, now)
        self.retention.transfers[sender] = message.snapshot.index
        if message.installed and self.commit.record_match(sender, message.snapshot.index):
            effects += self._advance_commit(now)
        return effects + self._go_on_with_members(now)

    def _refuse_match(self, sender: str, index: int) -> list[Effect]:
        """Nobody can have got more than this log holds: what a leader has appended, it keeps."""
        why = f"it claims to hold the log up to {index}, which ends at {self.state.log.last_index}"
        return [RefuseMessage(sender, Impossible.MATCH, why)]

    def _feed(self, sender: str, message: Message, now: float) -> list[Effect]:
        self.contact.heard_of(sender, now)
        return [Feed(sender, message)]

    def _advance_commit(self, now: float) -> list[Effect]:
        if not self.lease.may_commit:
            return []
        index = self.commit.advance()
        if index is None:
            return []
        committed: list[Effect] = [*self.intake.committed(index), self._announcement(index)]
        if self.reads.unread:
            committed += self.reads.release()
        return committed if self.transfer is None else committed + self._tell_when_due(now)

    def _announcement(self, index: int) -> AnnounceCommit:
        waiting = self.forwarded.committed(index)
        return AnnounceCommit(waiting) if waiting else _ANNOUNCE_COMMIT

    @override
    def on_peer_disconnected(self, item: inputs.PeerDisconnected, now: float) -> list[Effect]:
        """Not to be handed leadership, until it is heard of again."""
        self.contact.disconnected.add(item.peer)
        return []

    @override
    def on_peer_connected(self, item: inputs.PeerConnected, now: float) -> list[Effect]:
        """Have its replicator go on, which else would wait for the next heartbeat."""
        return [Resume(item.peer)]

    # --- its log -----------------------------------------------------------------------------------------------

    @override
    def keep_for_followers(self, unneeded_below: int, now: float) -> tuple[int, list[Effect]]:
        """Keep what followers still need that catch up."""
        first_index, behind = self.retention.first_index(unneeded_below, now)
        return first_index, [*behind]

    # --- the end ---------------------------------------------------------------------------------------------

    def leave(self) -> list[Effect]:
        """Answer readers, and who has not proposed yet; who has an entry in the log hears what becomes of it."""
        intake = self.intake
        effects: list[Effect] = [
            Refuse(outcome, LeadershipLost(self.term, None)) for outcome in intake.uncommitted if outcome.is_read
        ]
        self.state.unresolved.watch([each for each in intake.uncommitted if not each.is_read], self.term)
        held = self.transfer.held if self.transfer is not None else []
        self.state.outbox.take_back(request for request in (*intake.requested, *held) if request.forward)
        effects += [Refuse(request, self.not_leader()) for request in intake.requested if not request.forward]
        effects += self.forwarded.leave()
        self.state.forwarded = self.forwarded
        effects += [Refuse(read, LeadershipLost(self.term, None)) for read in self.reads.take_all()]
        effects.append(EndScopes(self._why_it_ends()))
        intake.uncommitted.clear()
        intake.requested.clear()
        if self.members.waiting is not None:
            effects.append(Refuse(self.members.waiting, self.not_leader()))
        self.members.leave()
        if self.transfer is not None:
            refused = tuple(request for request in held if not request.forward)
            self.state.handover = Handover(self.transfer.request, refused)
        return effects

    def _why_it_ends(self) -> str:
        if self.state.term > self.term:
            return f"term {self.state.term} has begun"
        return "a majority has not answered for long, or this node's disk hangs"

    def on_append_entries(self, sender: str, message: AppendEntries, now: float) -> list[Effect]:
        """Impossible: a term has one leader (§5.2, Figure 3)."""
        raise InternalError(f"{sender!r} and this node {self.state.node_id!r} both lead term {message.term}")

    @override
    def on_confirm_leader(self, sender: str, message: ConfirmLeader, now: float) -> list[Effect]:
        """Impossible: a term has one leader (§5.2, Figure 3)."""
        raise InternalError(f"{sender!r} and this node {self.state.node_id!r} both lead term {message.term}")

    def on_install_snapshot(self, sender: str, message: InstallSnapshot, now: float) -> list[Effect]:
        """Impossible: a term has one leader (§5.2, Figure 3)."""
        raise InternalError(f"{sender!r} and this node {self.state.node_id!r} both lead term {message.term}")
