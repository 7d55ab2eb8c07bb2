"""What all roles share: the rules of Figure 2 that bind every server.

A role only decides: `start`, `handle`, `end_of_step` and `leave`, and what they call, are plain functions from an input
and the time to a list of effects: no await, no clock, no I/O. `node.role_actors` has the actors that live by them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from typing_extensions import override

from raft_actors.errors import InternalError, LeadershipEnded, TransferFailed
from raft_actors.raft import inputs
from raft_actors.raft.effects import (
    AnnounceSnapshot,
    Become,
    DiscardSnapshot,
    Effect,
    Refuse,
    RestoreSnapshot,
    Send,
    Transferred,
)
from raft_actors.raft.impossible import MOST_TERMS_AHEAD
from raft_actors.raft.lost_store import doubts_of
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    ConfirmLeader,
    ConfirmLeaderReply,
    ForwardProposals,
    ForwardReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    ReadIndexReply,
    RequestLeave,
    RequestPreVote,
    RequestPreVoteReply,
    RequestReadIndex,
    RequestVote,
    RequestVoteReply,
    StateDigest,
    TimeoutNow,
)
from raft_actors.raft.persistent_state import CommitSnapshot, SnapshotMetadata
from raft_actors.raft.requests import ReadRequest
from raft_actors.raft.roles.comparing import Comparer
from raft_actors.raft.roles.forwarder import Forwarder
from raft_actors.raft.roles.left_out import LeftOut
from raft_actors.raft.roles.terms import TermKeeper
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName


def _gives_vote(effect: Effect) -> bool:
    return isinstance(effect, Send) and isinstance(effect.message, RequestVoteReply) and effect.message.granted


class Role(Forwarder, LeftOut, TermKeeper, Comparer, ABC):
    """One role of a node, from the transition that made it to the one that ends it."""

    name: ClassVar[RoleName]

    def __init__(self, state: RaftState) -> None:
        self.state = state
        self.asked: dict[str, RequestPreVote] = {}
        self.deadline: float = 0.0
        """When `on_deadline` is due, on the node's clock. `start` and the handlers move it."""
        self.spread_s: float = 0.0
        """By how much the deadline jumps up and down as messages move it."""
        self._handlers: dict[type[Any], Callable[[Any, float], list[Effect]]] = {
            inputs.Received: self._on_received,
            inputs.Durable: self.on_durable,
            inputs.TimerFired: self._on_timer,
            inputs.PeerDisconnected: self.peer_disconnected,
            inputs.PeerConnected: self.on_peer_connected,
            inputs.ChunkStored: self._on_chunk_stored,
            inputs.SnapshotReceived: self._on_snapshot_received,
            inputs.SnapshotWritten: self._on_snapshot_written,
            inputs.StateDigested: self.on_state_digested,
            inputs.Requested: self._on_requested,
            inputs.ReadsRequested: self._on_reads_requested,
            inputs.TransferRequested: self.on_transfer_requested,
            inputs.ChangeRequested: self.on_change_requested,
        }
        self._message_handlers: dict[type[Any], Callable[[str, Any, float], list[Effect]]] = {
            RequestPreVote: self.on_request_pre_vote,
            RequestPreVoteReply: self.on_request_pre_vote_reply,
            RequestVote: self.on_request_vote,
            RequestVoteReply: self.on_request_vote_reply,
            AppendEntries: self.on_append_entries,
            AppendEntriesAccepted: self.on_append_entries_accepted,
            AppendEntriesRejected: self.on_append_entries_rejected,
            InstallSnapshot: self.on_install_snapshot,
            InstallSnapshotReply: self.on_install_snapshot_reply,
            ConfirmLeader: self.on_confirm_leader,
            ConfirmLeaderReply: self.on_confirm_leader_reply,
            RequestReadIndex: self.on_request_read_index,
            ReadIndexReply: self.on_read_index_reply,
            TimeoutNow: self.on_timeout_now,
            RequestLeave: self.on_request_leave,
            ForwardProposals: self.on_forward_proposals,
            ForwardReply: self.on_forward_reply,
            StateDigest: self.on_state_digest,
        }

    @property
    def grace_s(self) -> float:
        """How long to wait on, at most, for word from others when the deadline's timer was held up."""
        return 0.0

    @abstractmethod
    def start(self, now: float) -> list[Effect]:
        """Decide what to do on entering the role."""

    def handle(self, item: inputs.Input, now: float) -> list[Effect]:
        """Decide on one input. A new term or vote is always written, and before all else."""
        state = self.state
        effects = self._handlers[type(item)](item, now)
        if state.hard_state_changed:
            effects.insert(0, state.persist())
        if state.handover is not None and state.leader is not None:
            effects[:0] = self._settle_handover()
        return effects

    def end_of_step(self, now: float) -> list[Effect]:
        """Decide on what a run of inputs came to together."""
        return self.forward(now) if self.state.leader is not None else [*self.forward(now), *self.in_silence(now)]

    def leave(self) -> list[Effect]:
        """Decide what to do on leaving the role for another."""
        return []

    @abstractmethod
    def on_deadline(self, now: float) -> list[Effect]:
        """Decide what to do when `deadline` has passed. Must move it."""

    def _on_timer(self, _item: inputs.TimerFired, now: float) -> list[Effect]:
        return self.on_deadline(now) if now >= self.deadline else []

    def _on_received(self, item: inputs.Received, now: float) -> list[Effect]:
        """The rules for all servers (Figure 2): a higher term makes a follower, a lower one is refused."""
        sender, message = item.sender, item.message
        if message.term > self.state.term + MOST_TERMS_AHEAD:
            return self._refuse_term(sender, message, now)
        # Whoever it is: this node's own configuration may be older than the sender's, and must keep nobody from being
        # elected, or from leading it.
        if message.term != self.state.term and self._is_pre_vote(message):
            return self._message_handlers[type(message)](sender, message, now)
        if message.term > self.state.term:
            if self._is_disturbance(message, now):
                return []
            self.state.adopt_term(message.term)
            if self.name is not RoleName.FOLLOWER:
                return [Become(RoleName.FOLLOWER, redeliver=item)]
        elif message.term < self.state.term:
            return self._refuse_stale(sender, message, now)
        return self._message_handlers[type(message)](sender, message, now)

    @override
    def in_touch(self, now: float) -> bool:
        return False

    def _refuse_stale(self, sender: str, message: Message, now: float) -> list[Effect]:
        """Answer a request of an older term with this term, so that its sender steps down. Replies are dropped, but for
        one that tells what a former leader did.
        """
        term = self.state.term
        match message:
            case RequestVote():
                return [self.state.reply(sender, RequestVoteReply(term, granted=False))]
            case AppendEntries():
                refusal = AppendEntriesRejected(term, message.prev_log_index, None, self.state.log.last_index + 1)
                return [self.state.reply(sender, refusal)]
            case InstallSnapshot():
                return [self.state.reply(sender, InstallSnapshotReply(term, message.snapshot, 0, installed=False))]
            case ConfirmLeader():
                return [self.state.reply(sender, ConfirmLeaderReply(term, 0))]
            case ForwardProposals():
                return self.answer_late(sender, message)
            case ForwardReply():
                return self.on_forward_reply(sender, message, now)
            case _:
                return []

    def on_durable(self, item: inputs.Durable, now: float) -> list[Effect]:
        """A write is on disk: release what waited for it, unless the term that it was for is over."""
        persisted = item.persisted
        self.state.mark_durable(persisted)
        current = persisted.hard_state.term == self.state.term
        effects: list[Effect] = [effect for effect in persisted.then if current or not isinstance(effect, Send)]
        # It may have learned since that it has none to give.
        effects = [effect for effect in effects if not (_gives_vote(effect) and self.state.has_lost_promises)]
        return [*effects, *self.answer_pre_votes(now)] if self.asked else effects

    # --- requests and replies; each role overrides those that concern it ------------------------------------------

    def on_request_pre_vote_reply(self, sender: str, message: RequestPreVoteReply, now: float) -> list[Effect]:
        """Too late: the round is over."""
        return []

    def on_request_vote(self, sender: str, message: RequestVote, now: float) -> list[Effect]:
        """Refuse: a candidate and a leader have given this term's vote to themselves."""
        return [self.state.reply(sender, RequestVoteReply(self.state.term, granted=False))]

    def would_vote(self, sender: str, message: RequestVote, now: float) -> bool:
        """Whether this term's vote is the sender's: it is free, and the sender's log is at least as up-to-date."""
        free = self.state.voted_for in (None, sender) and not self.state.has_lost_promises
        return free and self.is_up_to_date(message) and (message.leadership_transfer or not self.in_touch(now))

    def on_request_vote_reply(self, sender: str, message: RequestVoteReply, now: float) -> list[Effect]:
        """Too late: the election is over."""
        return []

    @abstractmethod
    def on_append_entries(self, sender: str, message: AppendEntries, now: float) -> list[Effect]:
        """Decide on entries or a heartbeat from the leader of this term."""

    def on_append_entries_accepted(self, sender: str, message: AppendEntriesAccepted, now: float) -> list[Effect]:
        """Not for this role."""
        return []

    def on_append_entries_rejected(self, sender: str, message: AppendEntriesRejected, now: float) -> list[Effect]:
        """Not for this role."""
        return []

    @abstractmethod
    def on_install_snapshot(self, sender: str, message: InstallSnapshot, now: float) -> list[Effect]:
        """Decide on a snapshot chunk from the leader of this term."""

    def on_install_snapshot_reply(self, sender: str, message: InstallSnapshotReply, now: float) -> list[Effect]:
        """Not for this role."""
        return []

    def on_confirm_leader(self, sender: str, message: ConfirmLeader, now: float) -> list[Effect]:
        """Say that this node is still in that term: the same in every role but a leader's, and it changes nothing."""
        return [self.state.reply(sender, ConfirmLeaderReply(self.state.term, message.round))]

    def on_confirm_leader_reply(self, sender: str, message: ConfirmLeaderReply, now: float) -> list[Effect]:
        """Not for this role."""
        return []

    def on_request_read_index(self, sender: str, message: RequestReadIndex, now: float) -> list[Effect]:
        """Only a leader can tell. The asker knows none of this term, or will in a moment."""
        return []

    def on_read_index_reply(self, sender: str, message: ReadIndexReply, now: float) -> list[Effect]:
        """Too late: who waited was told that no leader is known."""
        return []

    # --- leadership that was handed over -----------------------------------------------------------------------

    def on_transfer_requested(self, item: inputs.TransferRequested, now: float) -> list[Effect]:
        """Only a leader can hand leadership over."""
        return [Refuse(item.request, self.not_leader())]

    def on_timeout_now(self, sender: str, message: TimeoutNow, now: float) -> list[Effect]:
        """Only a follower is told."""
        return []

    def _settle_handover(self) -> list[Effect]:
        """Tell those who wait since this node led who does now, or that nobody is known to."""
        state = self.state
        handover, state.handover = state.handover, None
        if handover is None:
            return []
        effects: list[Effect] = [Refuse(request, self.not_leader()) for request in handover.held]
        if handover.request is None:
            return effects
        if state.leader is not None:
            return [*effects, Transferred(handover.request, state.leader)]
        unknown = TransferFailed(f"{state.node_id!r} leads no more, and nobody else is known to lead yet")
        return [*effects, Refuse(handover.request, unknown)]

    # --- members -----------------------------------------------------------------------------------------------

    def on_change_requested(self, item: inputs.ChangeRequested, now: float) -> list[Effect]:
        """Only a leader can change the members."""
        return [Refuse(item.request, self.not_leader())]

    def on_request_leave(self, sender: str, message: RequestLeave, now: float) -> list[Effect]:
        """Only a leader can remove a member; the sender asks again."""
        return []

    # --- elections -----------------------------------------------------------------------------------------------

    def stand(self, now: float) -> list[Effect]:
        """Ask the others first (dissertation §9.6); stand where that is switched off, or nobody is there.

        A node that can't be needed (`RaftState.may_be_needed`) waits on: nobody could be led by it.
        """
        state = self.state
        needed = state.may_be_needed
        if needed and state.config.pre_vote and state.voting_peers:
            return [Become(RoleName.PRE_CANDIDATE)]
        settled = self._settle_handover()
        if not needed:
            state.leader = None  # it has none any more, and may need to be found by one that it does not know
        if not state.may_stand or not needed:
            # The only voter waits for its disk alone, and for nobody else to be through.
            alone = needed and not state.voting_peers
            self.deadline = now + state.config.heartbeat_interval_s if alone else state.election_deadline(now)
            return settled
        return [*settled, Become(RoleName.CANDIDATE)]

    def on_peer_disconnected(self, item: inputs.PeerDisconnected, now: float) -> list[Effect]:
        """Only a follower minds, if the peer is its leader."""
        return []

    def on_peer_connected(self, item: inputs.PeerConnected, now: float) -> list[Effect]:
        """Only a leader has something to send again."""
        return []

    # --- applications' requests ---------------------------------------------------------------------------------

    def _on_requested(self, item: inputs.Requested, now: float) -> list[Effect]:
        item.taken = True
        if item.term and not (self.name is RoleName.LEADER and item.term == self.state.term):
            over = "this node does not lead any more"
            return [Refuse(request, LeadershipEnded(item.term, over)) for request in item.requests]
        return self.on_requests(item.requests)

    def _on_reads_requested(self, item: inputs.ReadsRequested, now: float) -> list[Effect]:
        item.taken = True
        return self.on_reads(item.reads, now)

    def on_reads(self, reads: list[ReadRequest], now: float) -> list[Effect]:
        """Decide on reads: refuse them, naming the leader."""
        return [Refuse(read, self.not_leader()) for read in reads]

    # --- snapshots: the same decision in every role ---------------------------------------------------------------

    def _on_chunk_stored(self, item: inputs.ChunkStored, now: float) -> list[Effect]:
        """The next chunk may come, if the term is still the one that the chunk was of."""
        return [self.state.reply(item.reply.to, item.reply.message)] if item.term == self.state.term else []

    def _on_snapshot_received(self, item: inputs.SnapshotReceived, now: float) -> list[Effect]:
        """Install what a leader sent (Figure 13), unless it has become needless.

        Its term may be over: what a snapshot holds was committed, and stays so under every later leader (Figure 3).
        """
        state, snapshot = self.state, item.snapshot
        installed = Send(item.leader, InstallSnapshotReply(state.term, snapshot, item.chunks, installed=True))
        if snapshot.index <= state.commit_index:
            self.check_snapshot(snapshot)
            return [DiscardSnapshot(item.snapshot_id), state.persist(installed)]
        matches = state.log.term_at(snapshot.index) == snapshot.term
        decided: list[Effect] = []
        if matches:
            state.commit(snapshot.index)
            decided += state.apply(snapshot.index) if state.unresolved else []
            state.compact(snapshot, snapshot.index + 1)
        elif self.name is RoleName.LEADER:
            raise InternalError(f"the leader of term {state.term} lacks what {snapshot} holds, which was committed")
        else:
            if item.configuration is not None:
                decided += doubts_of(state, item.leader, item.configuration, snapshot.term)
            state.reset(snapshot, item.configuration)
            decided += state.unresolved.replaced(snapshot)
            state.commit(snapshot.index)
        configuration = state.configurations.at(snapshot.index).stored
        commit = CommitSnapshot(item.snapshot_id, snapshot.index + 1, not matches, configuration)
        return [*decided, state.persist_snapshot(commit, RestoreSnapshot(snapshot), installed)]

    def check_snapshot(self, snapshot: SnapshotMetadata) -> None:
        """Look at a snapshot of what is committed here before it is acknowledged: a leader counts the answer.

        Raises:
            InternalError: it ends with another entry than the one that is committed here.
        """
        term = self.state.log.term_at(snapshot.index)
        if term not in (None, snapshot.term):
            raise InternalError(
                f"a leader's snapshot ends with an entry {snapshot.index} of term {snapshot.term}, where this node "
                f"{self.state.node_id!r} has committed one of term {term}"
            )

    def _on_snapshot_written(self, item: inputs.SnapshotWritten, now: float) -> list[Effect]:
        """Let a snapshot of this node's own state replace the log that it covers, but for the trailing entries (§7)."""
        log, snapshot = self.state.log, item.snapshot
        if log.snapshot is not None and snapshot.index <= log.snapshot.index:
            return [DiscardSnapshot(item.snapshot_id), AnnounceSnapshot(log.snapshot, taken=False)]
        unneeded_below = max(log.first_index, snapshot.index + 1 - self.state.config.trailing_entries)
        first_index, effects = self.keep_for_followers(unneeded_below, now)
        self.state.compact(snapshot, first_index)
        configuration = self.state.configurations.at(snapshot.index).stored
        commit = CommitSnapshot(item.snapshot_id, first_index, configuration=configuration)
        return [self.state.persist_snapshot(commit, AnnounceSnapshot(snapshot)), *effects]

    def keep_for_followers(self, unneeded_below: int, now: float) -> tuple[int, list[Effect]]:
        """From which entry on to keep the log, of which this node itself needs none below, and word of those who need
        more than is kept. Only a leader has followers.
        """
        return unneeded_below, []
