"""What all roles share: how a role lives, and the rules of Figure 2 that bind every server.

A role's life is one nursery. Everything it starts (its timer, a leader's replicators) runs in it, so leaving the role
cancels all of that before the successor handles its first message.

Decisions (`start`, `handle`, `end_of_step`, `leave` and what they call) are plain functions from an inbox item and the
time to a list of effects: no await, no clock, no I/O. `run` is the only part that performs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import attrs
import trio

from raft_actors.actors.actor import Mailbox
from raft_actors.actors.clock import NodeClock
from raft_actors.actors.timer import DeadlineTimer
from raft_actors.errors import InternalError, NotLeader
from raft_actors.node.proposals import PendingOutcome
from raft_actors.persistence.abc import Storage
from raft_actors.raft import inputs
from raft_actors.raft.effects import (
    AnnounceSnapshot,
    Apply,
    Become,
    DiscardSnapshot,
    Effect,
    Persist,
    Refuse,
    RestoreSnapshot,
    Send,
    StoreChunk,
)
from raft_actors.raft.messages import (
    AppendEntries,
    AppendEntriesAccepted,
    AppendEntriesRejected,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from raft_actors.raft.persistent_state import CommitSnapshot, SnapshotMetadata
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName, check_transition
from raft_actors.transports.abc import Transport

#: Inbox items handled between two checkpoints. More would starve other tasks; fewer would make smaller group commits.
_STEP_LIMIT = 4096


@attrs.frozen
class Services:
    """What a role performs its effects with. All of it outlives the role.

    Attributes:
        inbox: the node's.
        transport, storage: as handed to the node.
        perform: how to carry out each kind of effect that is not a leader's own.
        end_step: called when all effects of a step were performed: what was asked for during the step begins.
        observe: called after each item that was decided on, and with the successor before it starts.
        clock: the node's.
    """

    inbox: Mailbox[inputs.Input]
    transport: Transport
    storage: Storage
    perform: dict[type[Any], Callable[[Any], None]]
    end_step: Callable[[], None]
    observe: Callable[[Role], None]
    clock: NodeClock = attrs.field(factory=NodeClock)


class Role(ABC):
    """One role of a node, from the transition that made it to the one that ends it."""

    name: ClassVar[RoleName]

    def __init__(self, state: RaftState) -> None:
        self.state = state
        self.deadline = 0.0
        """When `on_deadline` is due, on the node's clock. `start` and the handlers move it."""
        self._handlers: dict[type[Any], Callable[[Any, float], list[Effect]]] = {
            inputs.Received: self._on_received,
            inputs.Durable: self.on_durable,
            inputs.TimerFired: self._on_timer,
            inputs.ChunkStored: self._on_chunk_stored,
            inputs.SnapshotReceived: self._on_snapshot_received,
            inputs.SnapshotWritten: self._on_snapshot_written,
            inputs.Requested: self._on_requested,
        }
        self._message_handlers: dict[type[Any], Callable[[str, Any, float], list[Effect]]] = {
            RequestVote: self.on_request_vote,
            RequestVoteReply: self.on_request_vote_reply,
            AppendEntries: self.on_append_entries,
            AppendEntriesAccepted: self.on_append_entries_accepted,
            AppendEntriesRejected: self.on_append_entries_rejected,
            InstallSnapshot: self.on_install_snapshot,
            InstallSnapshotReply: self.on_install_snapshot_reply,
        }

    @property
    def grace_s(self) -> float:
        """How long to wait on, at most, for word from others when the deadline's timer was held up."""
        return 0.0

    # --- life ------------------------------------------------------------------------------------------------

    async def run(self, services: Services, *, redelivered: inputs.Input | None = None) -> Become:
        """Be this role until a decision ends it; return what comes next."""
        perform = dict(services.perform)
        async with trio.open_nursery() as nursery:
            self.hire(nursery, services, perform)
            become = await self._serve(nursery, services, perform, redelivered)
            self._perform(self.leave(), perform)
            nursery.cancel_scope.cancel()
        check_transition(self.name, become.role)
        return become

    def hire(  # noqa: B027 - only a leader has any
        self, nursery: trio.Nursery, services: Services, perform: dict[type[Any], Callable[[Any], None]]
    ) -> None:
        """Start the actors that this role needs, and add how to perform the effects that are for them."""

    async def _serve(
        self,
        nursery: trio.Nursery,
        services: Services,
        perform: dict[type[Any], Callable[[Any], None]],
        redelivered: inputs.Input | None,
    ) -> Become:
        # Where cancelled, decide nothing: the actors that would be told are gone, or about to go.
        await trio.lowlevel.checkpoint_if_cancelled()
        inbox = services.inbox
        become = self._perform(self.start(services.clock.now()), perform)
        services.end_step()
        services.observe(self)
        timer = DeadlineTimer(self.deadline, services.clock, grace_s=self.grace_s)
        nursery.start_soon(timer.run, lambda: inbox.tell_when_room(inputs.TimerFired()))
        item = redelivered
        while become is None:
            if item is None:
                item = await inbox.receive()
                await trio.lowlevel.checkpoint_if_cancelled()
            become = self._step(item, services, perform)
            services.end_step()
            item = None
            timer.arm(self.deadline)
        return become

    def _step(
        self, item: inputs.Input, services: Services, perform: dict[type[Any], Callable[[Any], None]]
    ) -> Become | None:
        """Decide on an item and on all that wait behind it, then on what they came to together."""
        now = services.clock.now()
        handled = 0
        while True:
            become = self._perform(self.handle(item, now), perform)
            services.observe(self)
            if become is not None:
                return become
            handled += 1
            if handled == _STEP_LIMIT:
                break
            try:
                item = services.inbox.receive_nowait()
            except trio.WouldBlock:
                break
        become = self._perform(self.end_of_step(now), perform)
        self.state.check()
        return become

    @staticmethod
    def _perform(effects: Iterable[Effect], perform: dict[type[Any], Callable[[Any], None]]) -> Become | None:
        for effect in effects:
            if type(effect) is Become:
                return effect
            perform[type(effect)](effect)
        return None

    # --- decisions -------------------------------------------------------------------------------------------

    @abstractmethod
    def start(self, now: float) -> list[Effect]:
        """Decide what to do on entering the role."""

    def handle(self, item: inputs.Input, now: float) -> list[Effect]:
        """Decide on one inbox item. A new term or vote is always written, and before all else."""
        effects = self._handlers[type(item)](item, now)
        if self.state.hard_state_changed:
            effects.insert(0, self.state.persist())
        return effects

    def end_of_step(self, now: float) -> list[Effect]:
        """Decide on what a run of inbox items came to together."""
        return []

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
        if sender not in self.state.voters:
            return []
        if message.term > self.state.term:
            self.state.adopt_term(message.term)
            if self.name is not RoleName.FOLLOWER:
                return [Become(RoleName.FOLLOWER, redeliver=item)]
        elif message.term < self.state.term:
            return self._refuse_stale(sender, message)
        return self._message_handlers[type(message)](sender, message, now)

    def _refuse_stale(self, sender: str, message: Message) -> list[Effect]:
        """Answer a request of an older term with this term, so that its sender steps down. Replies are dropped."""
        term = self.state.term
        match message:
            case RequestVote():
                return [self.state.reply(sender, RequestVoteReply(term, granted=False))]
            case AppendEntries():
                refusal = AppendEntriesRejected(term, message.prev_log_index, None, self.state.log.last_index + 1)
                return [self.state.reply(sender, refusal)]
            case InstallSnapshot():
                return [self.state.reply(sender, InstallSnapshotReply(term, message.snapshot, 0, installed=False))]
            case _:
                return []

    def on_durable(self, item: inputs.Durable, now: float) -> list[Effect]:
        """A write is on disk: release what waited for it, unless the term that it was for is over."""
        persisted = item.persisted
        self.state.mark_durable(persisted)
        current = persisted.hard_state.term == self.state.term
        return [effect for effect in persisted.then if current or not isinstance(effect, Send)]

    # --- requests and replies; each role overrides those that concern it ------------------------------------------

    def on_request_vote(self, sender: str, message: RequestVote, now: float) -> list[Effect]:
        """Refuse: a candidate and a leader have given this term's vote to themselves."""
        return [self.state.reply(sender, RequestVoteReply(self.state.term, granted=False))]

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

    # --- applications' requests ---------------------------------------------------------------------------------

    def _on_requested(self, item: inputs.Requested, now: float) -> list[Effect]:
        item.taken = True
        return self.on_requests(item.requests)

    def on_requests(self, requests: list[PendingOutcome[Any]]) -> list[Effect]:
        """Decide on proposals and reads: refuse them, naming the leader."""
        return [Refuse(request, self.not_leader()) for request in requests]

    def not_leader(self) -> NotLeader:
        """The error that names the leader as far as known."""
        leader = self.state.leader
        return NotLeader(leader, self.state.cluster.voters.get(leader) if leader else None)

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
        if matches:
            state.log.compact(snapshot, snapshot.index + 1)
        elif self.name is RoleName.LEADER:
            raise InternalError(f"the leader of term {state.term} lacks what {snapshot} holds, which was committed")
        else:
            state.log.reset(snapshot)
        state.commit(snapshot.index)
        commit = CommitSnapshot(item.snapshot_id, snapshot.index + 1, discard_log=not matches)
        return [state.persist_snapshot(commit, RestoreSnapshot(snapshot), installed)]

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
        first_index = max(log.first_index, snapshot.index + 1 - self.state.config.trailing_entries)
        log.compact(snapshot, first_index)
        commit = CommitSnapshot(item.snapshot_id, first_index)
        return [self.state.persist_snapshot(commit, AnnounceSnapshot(snapshot))]


#: The effects that `Services.perform` must cover; a leader adds those for its replicators.
COMMON_EFFECTS = (Send, Persist, RestoreSnapshot, AnnounceSnapshot, Apply, Refuse, StoreChunk, DiscardSnapshot)


def check_performers(perform: dict[type[Any], Callable[[Any], None]]) -> None:
    """Raise InternalError unless every common effect can be performed."""
    missing = [effect.__name__ for effect in COMMON_EFFECTS if effect not in perform]
    if missing:
        raise InternalError(f"nobody performs {', '.join(missing)}")
