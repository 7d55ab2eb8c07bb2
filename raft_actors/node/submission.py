"""From a command to the leader's inbox: encoded, within its bounds, admitted, handed in. Or refused, saying why."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, Generic, TypeVar

import trio

from raft_actors.actors.actor import ActorStopped, MailboxFull
from raft_actors.actors.home_thread import NOT_IN_TRIO, current_task
from raft_actors.commands import CommandCodec
from raft_actors.errors import (
    CommandTooLarge,
    ConfigurationError,
    InternalError,
    NodeStopped,
    NotLeader,
    Overloaded,
    UsageError,
)
from raft_actors.node.proposals import (
    LocalProposal,
    LocalProposals,
    PendingEntry,
    PendingOutcome,
    PendingProposal,
    PendingProposals,
    PendingRead,
)
from raft_actors.node.supervisor import Supervisor
from raft_actors.overload import OverloadCause
from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD
from raft_actors.raft.features import SESSIONS
from raft_actors.raft.inputs import Requested
from raft_actors.raft.roles import Leader, Role
from raft_actors.raft.transitions import RoleName

# By a short name: every command of a session asks.
_current_task = trio.lowlevel.current_task

_WITHDRAWN = InternalError("nobody waits for this proposal any more")

_PROPOSAL_OVERHEAD = BATCH_OVERHEAD + ENTRY_OVERHEAD

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")


class Submission(Generic[C, R]):
    """Brings one node's proposals and reads on their way."""

    def __init__(self, supervisor: Supervisor, codec: CommandCodec[C]) -> None:
        self._supervisor = supervisor
        self._encode = codec.encode
        self._limit = supervisor.config.max_command_bytes
        supervisor.admission.hand_in = self._hand_in_late

    def proposal(self, command: C, *, forward: bool) -> PendingProposal[R]:
        """One command, encoded.

        Args:
            forward: whether it may be handed on to the member that leads.

        Raises:
            CommandTooLarge: its bytes are too many.
            TypeError: it is no command of the state machine.
        """
        data = self._encode(command)
        if len(data) > self._limit:
            raise CommandTooLarge(len(data), self._limit)
        size = _PROPOSAL_OVERHEAD + len(data)
        if forward:
            return PendingProposal(self._supervisor.admission, [data], size)
        return LocalProposal(self._supervisor.admission, [data], size)

    def proposals(self, commands: Sequence[C], *, forward: bool) -> PendingProposals[R]:
        """Commands that go together, encoded. Those that are too many for one batch are handed on to nobody. Raises
        as `proposal` does.
        """
        encoded = [self._encode(command) for command in commands]
        size = BATCH_OVERHEAD
        for data in encoded:
            if len(data) > self._limit:
                raise CommandTooLarge(len(data), self._limit)
            size += len(data) + ENTRY_OVERHEAD
        if forward and size <= self._supervisor.config.max_inflight_bytes:
            return PendingProposals(self._supervisor.admission, encoded, size)
        return LocalProposals(self._supervisor.admission, encoded, size)

    async def read_by_log(self, query: Callable[[Any], T]) -> T:
        """Have a query run once an entry that is appended for it is applied: a read that takes the longest way."""
        read: PendingRead[T] = PendingRead(self._supervisor.admission, query)
        await self.submit(read)
        return await self.outcome_of(read)

    async def submit(self, outcome: PendingOutcome[Any], *, term: int = 0) -> None:
        """Hand it in once there is room for it; to be proposed in this term alone, if one is given.

        Raises:
            NotLeader, NodeStopped, Overloaded: it was not handed in.
            UsageError: nor was it, for where the call comes from.
        """
        current_task()  # before anything is changed: waiting for the outcome must be possible
        self._supervisor.check_caller()
        if not term:
            self.hand_in_in_turn(outcome)
            return
        self.check_leader()
        await self._supervisor.admission.admit(outcome)
        self._tell(Requested([outcome], term=term), outcome)

    def hand_in_in_turn(self, outcome: PendingOutcome[Any]) -> None:
        """The same for a caller that has been looked at, and waits for the outcome: that may be there already. Where
        there is no room yet, it is handed in when there is, or settled with the reason why not.

        What is alone, as what was handed in before it was, is decided on at once: where one task proposes, one thing
        after the other, nothing is gained by a turn of the role. Where many do, those that are answered together, and
        propose again, still share an entry batch and a write.
        """
        supervisor = self._supervisor
        admission, waiting = supervisor.admission, supervisor.requested
        if not waiting.taken and admission.admit_if_room(outcome):  # so it is, most often, where many propose
            waiting.requests.append(outcome)
            return
        if not outcome.forward:
            self.check_leader()
        try:
            admitted = admission.wait_turn(outcome)
        except Overloaded as refusal:
            raise self._refused(refusal) from None
        if admitted:
            self._hand_in(outcome, at_once=admission.count == 1 and len(supervisor.requested.requests) == 1)

    def _hand_in_late(self, outcome: PendingOutcome[Any]) -> None:
        """Hand in what has waited for room, or settle it with the reason why not."""
        with contextlib.suppress(Overloaded, NodeStopped):  # which it was settled with
            self._hand_in(outcome)

    def hand_in_or_fail(self, outcome: PendingOutcome[Any]) -> None:
        """Hand it in, when there is room, or settle it with the reason why not."""
        try:
            admitted = self._supervisor.admission.wait_turn(outcome)
        except (Overloaded, NodeStopped) as refusal:
            outcome.fail(refusal)
            return
        if admitted:
            self._hand_in_late(outcome)

    def encoded(self, command: C) -> bytes:
        """The command's bytes. Raises as `proposal` does."""
        data = self._encode(command)
        if len(data) > self._limit:
            raise CommandTooLarge(len(data), self._limit)
        return data

    async def propose_entry(self, entry: bytes) -> Any:
        """Propose an entry of a session, here or at the member that leads, and wait for what comes of it."""
        try:  # before anything is changed: waiting for the outcome must be possible
            task = _current_task()
        except RuntimeError:
            raise UsageError(NOT_IN_TRIO) from None
        supervisor = self._supervisor
        if get_ident() != supervisor.home.ident:
            supervisor.check_caller()
        (supervisor.state or supervisor.recovered_state()).intake_sorts = True
        proposal: PendingEntry[Any] = PendingEntry(supervisor.admission, [entry], _PROPOSAL_OVERHEAD + len(entry))
        self.hand_in_in_turn(proposal)
        try:  # what `outcome_for` does, without a coroutine more for every command
            await proposal.until_done(task)
        except trio.Cancelled:
            self.withdraw(proposal)
            raise
        return proposal.result_nowait()

    def check_sessions(self) -> None:
        """See that no other member is of a version that could not read a session's entries.

        Raises:
            ConfigurationError: one is.
        """
        supervisor = self._supervisor
        for peer, statistics in supervisor.transport.statistics().peers.items():
            if statistics.version is not None and SESSIONS not in supervisor.transport.features_of(peer):
                raise ConfigurationError(
                    f"node {peer!r} is of a version that knows no sessions, and could not read the log: upgrade it"
                )

    async def outcome_of(self, outcome: PendingOutcome[T]) -> T:
        """Wait for it; it is withdrawn where the wait is cancelled."""
        return await self.outcome_for(current_task(), outcome)

    async def outcome_for(self, task: trio.lowlevel.Task, outcome: PendingOutcome[T]) -> T:
        """The same for the task that calls, and that has been looked at."""
        try:
            await outcome.until_done(task)
        except trio.Cancelled:
            self.withdraw(outcome)
            raise
        return outcome.result_nowait()

    def withdraw(self, outcome: PendingOutcome[Any]) -> None:
        """Nobody waits for it any more: if it was not handed on yet, it never is, and its place is free."""
        state = self._supervisor.state
        if self._supervisor.admission.leave_queue(outcome) or (state is not None and state.outbox.withdraw(outcome)):
            outcome.fail(_WITHDRAWN)

    def check_room(self) -> None:
        """Refuse what there is no room for before it is even encoded: under overload, most of what comes.

        Raises:
            NotLeader, NodeStopped, Overloaded: nothing would be handed in now.
        """
        self.check_leader()
        admission = self._supervisor.admission
        if admission.is_full and not admission.closed:
            raise self._refused(admission.refusal())

    def submit_nowait(self, outcome: PendingOutcome[Any], *, term: int = 0) -> None:
        """Hand it in now, for this term alone if one is given. Raises as `submit` does, and Overloaded where that would
        wait for room.
        """
        self._supervisor.check_caller()
        self.check_leader()
        try:
            self._supervisor.admission.admit_nowait(outcome)
        except Overloaded as refusal:
            raise self._refused(refusal) from None
        if term:
            self._tell(Requested([outcome], term=term), outcome)
        else:
            self._hand_in(outcome)

    def _hand_in(self, outcome: PendingOutcome[Any], *, at_once: bool = False) -> None:
        """Put what was admitted into the inbox, or give its place back; have it handled there at once, if wanted."""
        supervisor = self._supervisor
        waiting = supervisor.requested
        if not waiting.taken:
            waiting.requests.append(outcome)
            return
        supervisor.requested = item = Requested([outcome])
        supervisor.admission.time(outcome)
        self._tell(item, outcome, at_once=at_once)

    def _tell(self, item: Requested, outcome: PendingOutcome[Any], *, at_once: bool = False) -> None:
        supervisor = self._supervisor
        inbox = supervisor.inbox
        try:
            if at_once:
                inbox.tell_at_once(item)
            else:
                inbox.tell(item)
        except (MailboxFull, ActorStopped) as refusal:
            item.taken = True
            error: Exception = NodeStopped(supervisor.node_id)
            if isinstance(refusal, MailboxFull):
                error = Overloaded(str(refusal), OverloadCause.INBOX, supervisor.config.heartbeat_interval_s)
            outcome.fail(error)
            raise error from supervisor.crash

    def _refused(self, refusal: Overloaded) -> Overloaded:
        """The same, or the reason why nothing comes through at all, if that is known."""
        supervisor, role = self._supervisor, self._supervisor.role
        shortest_s, longest_s = supervisor.config.election_timeout_s
        if supervisor.admission.unanswered_s <= shortest_s or not isinstance(role, Leader):
            return refusal
        cause = role.stalled_by(supervisor.clock.now())
        # By then the majority answers, or this node leads no more.
        return refusal if cause is None else supervisor.admission.refusal(cause, longest_s)

    def check_leader(self) -> None:
        """Refuse at once what the role would refuse later."""
        supervisor = self._supervisor
        role = supervisor.role
        if role is None or role.name is not RoleName.LEADER or supervisor.over or not self._leads(role):
            raise self._no_leader(role)

    def _no_leader(self, role: Role | None) -> Exception:
        if self._supervisor.over:
            stopped = NodeStopped(self._supervisor.node_id)
            stopped.__cause__ = self._supervisor.crash
            return stopped
        return NotLeader(None) if role is None else role.not_leader()

    def role_name(self) -> RoleName | None:
        """The role that this node has to the outside; None once it has ended."""
        role = self._supervisor.role
        if self._supervisor.over:
            return None
        if role is None or (role.name is RoleName.LEADER and not self._leads(role)):
            return RoleName.FOLLOWER
        return role.name

    @staticmethod
    def _leads(role: Role) -> bool:
        """Whether this leader still leads: not once it has decided to step down and only ends its actors."""
        return role.state.leader == role.state.node_id
