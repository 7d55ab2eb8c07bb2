"""From a query to its answer, by way of the role, which knows when the state may be looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any, Generic, TypeVar

import trio

from raft_actors.actors.actor import ActorStopped, MailboxFull
from raft_actors.actors.home_thread import current_task
from raft_actors.errors import ConfigurationError, NodeStopped, NotLeader, Overloaded, ReadNotReady
from raft_actors.node.applier import Applier
from raft_actors.node.limbo import Limbo
from raft_actors.node.looking import applier_of
from raft_actors.node.proposals import PendingRead, Seen
from raft_actors.node.submission import Submission
from raft_actors.node.supervisor import Supervisor
from raft_actors.overload import OverloadCause
from raft_actors.raft.inputs import ReadsRequested
from raft_actors.raft.roles import Leader
from raft_actors.read_levels import (
    LINEARIZABLE,
    BoundedStale,
    Lease,
    Linearizable,
    Local,
    ReadLevel,
    ReadResult,
    ReadYourWrites,
)
from raft_actors.state_machine import StateMachine

M_co = TypeVar("M_co", bound=StateMachine[Any, Any], covariant=True)
T = TypeVar("T")


class Reading:
    """Brings one node's reads on their way."""

    def __init__(self, supervisor: Supervisor, submission: Submission[Any, Any]) -> None:
        self._supervisor = supervisor
        self._submission = submission
        self._requested = ReadsRequested([], taken=True)  # the item that took in the last read
        self._limbo = Limbo(supervisor.state_machine)

    async def read(
        self, query: Callable[[Any], T], level: ReadLevel, keys: Collection[Hashable] | None = None
    ) -> PendingRead[T]:
        """Have a query run where the level allows it; return the read, which is settled. Raises as `Node.read` does."""
        task = current_task()
        supervisor = self._supervisor
        supervisor.check_caller()
        read: PendingRead[T] = PendingRead(supervisor.admission, query)
        if supervisor.cluster.leases is not None and (type(level) is Lease or keys is not None):
            await trio.lowlevel.checkpoint()
            if self._inherit(read, keys) and type(level) is Lease and self._by_lease(read) is None:
                return read
            if read.done:  # it was answered, and the lease ran out meanwhile: the process was held up
                again, read = read, PendingRead(supervisor.admission, query)
                read.settled_in = again.settled_in
        elif type(level) is Lease:
            raise ConfigurationError("there are no leases: ClusterConfig(leases=Leases(…)), the same on every node")
        elif type(level) is not Linearizable and await self._looked(read, level):
            return read
        try:
            if self._requested.taken or not supervisor.admission.admit_if_room(read):
                await self._hand_in_when_room(read)
            else:
                self._requested.reads.append(read)
            await read.until_done(task)
        except BaseException:
            read.abandon()
            raise
        return read

    def read_nowait(self, query: Callable[[Any], T], level: Local | Lease, keys: Collection[Hashable] | None) -> T:
        """Have a query run on what is applied, or say why not."""
        supervisor = self._supervisor
        supervisor.check_caller()
        read: PendingRead[T] = PendingRead(supervisor.admission, query)
        applier = self._living_applier()
        if type(level) is Local:
            if not applier.reads.is_whole:
                raise ReadNotReady("a snapshot is being restored: there is no state to look at")
            applier.reads.look(read)
            return read.result_nowait()
        if supervisor.cluster.leases is None:
            raise ReadNotReady("there are no leases: ClusterConfig(leases=Leases(…))")
        self._submission.check_leader()
        if not self._inherit(read, keys):
            raise ReadNotReady("this new leader can't know yet whether what is read is committed: name keys, or wait")
        why = self._by_lease(read)
        if why is not None:
            raise ReadNotReady(why)
        return read.result_nowait()

    def _inherit(self, read: PendingRead[Any], keys: Collection[Hashable] | None) -> bool:
        """Note whether it concerns nothing of earlier terms that may or may not be committed. Not at a follower."""
        leader = self.leader()
        if leader is None or self._limbo.concerns(leader, keys):
            return False
        read.settled_in = leader.term
        return True

    def _by_lease(self, read: PendingRead[Any]) -> str | None:
        """Answer by the lease, or say why not. The lease is looked at after the query, too: this process may have been
        held up in between, and others have gone on.
        """
        leader = self.leader()
        if leader is None:
            return "this node does not lead"
        leader.lease.wanted = True
        reads = self._living_applier().reads
        if not reads.is_whole or reads.index < leader.state.commit_index:
            return "what is committed is not applied here yet"
        if not leader.lease.is_valid:
            return "no lease runs now: it is renewed with the next heartbeat"
        reads.look(read)
        if leader.lease.is_valid and self.leader() is leader:
            return None
        return "the lease ran out while it was read"

    def leader(self) -> Leader | None:
        """The role that leads, if this node does."""
        role = self._supervisor.role
        return role if isinstance(role, Leader) and role.state.leader == role.state.node_id else None

    def age_s(self, seen: Seen | None) -> float | None:
        """How old the state may be that a read saw."""
        if seen is None or seen.as_of is None:
            return None
        return max(0.0, self._supervisor.clock.boottime() - seen.as_of)

    def boottime(self) -> float:
        """The time on the clock that goes on in suspend."""
        return self._supervisor.clock.boottime()

    def token(self) -> int:
        """What is applied now."""
        self._supervisor.check_caller()
        return applier_of(self._supervisor).applied_index

    async def _looked(self, read: PendingRead[Any], level: ReadLevel) -> bool:
        """Answer from what is applied here, if the level allows that; a checkpoint either way."""
        applier = self._living_applier()
        reads = applier.reads
        if type(level) is not Local:
            self._check_kept_up()
        match level:
            case BoundedStale(seconds=None, entries=int(entries)):
                read.may_miss = entries
                return False
            case BoundedStale(seconds=seconds):
                # A bound on what was committed before this call, so it does not matter how long this is held up.
                oldest = self.boottime() - (seconds or 0.0)
                if reads.as_of is None or reads.as_of < oldest:
                    return False
                await trio.lowlevel.checkpoint()
            case ReadYourWrites(token=token):
                await trio.lowlevel.checkpoint()
                while applier.applied_index < token and not applier.stopped:
                    # To be removed is an entry, too, which is applied. After it comes no other one.
                    self._check_kept_up()
                    await applier.wait_moved()
            case _:
                await trio.lowlevel.checkpoint()
        while not reads.is_whole and not applier.stopped:
            await applier.wait_moved()
        self._living_applier()
        reads.look(read)
        return True

    def _check_kept_up(self) -> None:
        """Refuse where nobody keeps this node up to date: it is no member. (A leader that removes itself still leads.)

        Raises:
            NotMember: it is none.
        """
        role = self._supervisor.role
        if role is not None and not role.state.is_member and self.leader() is None:
            raise role.not_leader()

    def _living_applier(self) -> Applier:
        supervisor = self._supervisor
        applier = applier_of(supervisor)
        if supervisor.over:
            raise NodeStopped(supervisor.node_id) from supervisor.crash
        return applier

    async def _hand_in_when_room(self, read: PendingRead[Any]) -> None:
        supervisor = self._supervisor
        self._check_leader_known()
        await supervisor.admission.admit(read)
        self._hand_in(read)

    def hand_in_if_room(self, read: PendingRead[Any]) -> bool:
        """Hand in a `Linearizable` read now, and return whether it was: not where it would have to wait for room, nor
        where no leader is known, both of which `read` sees to. One that is refused now is settled with the reason.
        """
        supervisor = self._supervisor
        role = supervisor.role
        if supervisor.over or role is None or role.state.leader is None or not supervisor.admission.admit_if_room(read):
            return False
        try:
            self._hand_in(read)
        except (Overloaded, NodeStopped) as refusal:
            read.fail(refusal)
        return True

    def _hand_in(self, read: PendingRead[Any]) -> None:
        supervisor, waiting = self._supervisor, self._requested
        if not waiting.taken:
            waiting.reads.append(read)
            return
        self._requested = item = ReadsRequested([read])
        try:
            supervisor.inbox.tell(item)
        except MailboxFull as full:
            item.taken = True
            raise Overloaded(str(full), OverloadCause.INBOX) from None
        except ActorStopped:
            item.taken = True
            raise NodeStopped(supervisor.node_id) from supervisor.crash

    def _check_leader_known(self) -> None:
        """Refuse at once what the role would refuse later."""
        supervisor = self._supervisor
        if supervisor.over:
            raise NodeStopped(supervisor.node_id) from supervisor.crash
        role = supervisor.role
        if role is None:
            raise NotLeader(None)
        if role.state.leader is None:
            raise role.not_leader()


class ReadingNode(Generic[M_co]):
    """What a node offers to those who read."""

    _reading: Reading

    @trio.lowlevel.enable_ki_protection
    async def read(
        self,
        query: Callable[[M_co], T],
        level: ReadLevel = LINEARIZABLE,
        *,
        keys: Collection[Hashable] | None = None,
    ) -> T:
        """Run `query(state_machine)` on a state that is as new as the level says; by default `Linearizable`: all that
        was committed before this call is in it.

        Any member answers. One that does not lead asks the leader how much must be applied, and runs the query itself.
        Nothing is written. Reads that come together share one question. One may be cancelled.

        The query runs on the Trio thread, in the context of this call (`contextvars`), and must not change the state.

        Args:
            query: is given the state machine.
            level: `Linearizable`, `Lease`, `BoundedStale`, `ReadYourWrites` or `Local`: see docs/guarantees.md.
            keys: what the query is about, in the names of `StateMachine.touches`: with leases, a leader that has just
                been elected may answer it before it may commit. None: anything.

        Raises:
            ConfigurationError: a `Lease` read in a cluster without leases.
            NotLeader: no leader is known, or it has to be asked itself (it is of an older version); nothing was read.
            NotMember: this node is no member (any more), and the level is another one than `Local`; nothing was read.
            Overloaded, LeadershipLost, NodeStopped: nothing was read.
            TypeError: the query is an async function.
            UsageError: this is not a task of the node's Trio run, or the node was never run.
            Exception: what the query raised.
        """
        return (await self._reading.read(query, level, keys)).result_nowait()

    @trio.lowlevel.enable_ki_protection
    async def read_result(self, query: Callable[[M_co], T], level: ReadLevel = LINEARIZABLE) -> ReadResult[T]:
        """As `read`, and say what it saw: which entry was the last applied, and how old that may be."""
        called_at = self._reading.boottime()
        read = await self._reading.read(query, level)
        value, seen = read.result_nowait(), read.seen
        if seen is None:  # through the log: it saw what was committed when it was called, at least
            seen = Seen(read.last_index, 0, called_at)
        return ReadResult(value, seen.index, seen.term, self._reading.age_s(seen))

    @trio.lowlevel.enable_ki_protection
    def read_nowait(
        self, query: Callable[[M_co], T], level: Local | Lease, *, keys: Collection[Hashable] | None = None
    ) -> T:
        """Run the query now, on what this node has applied, or say why the level does not allow that now.

        Raises:
            ReadNotReady: it does not; the message says why (no lease runs, say).
            NotLeader: a `Lease` read at a node that does not lead.
            NodeStopped: the node has ended.
            TypeError: the query is an async function.
            UsageError: this is not the node's thread, or the node has not recovered yet.
            Exception: what the query raised.
        """
        return self._reading.read_nowait(query, level, keys)

    def read_token(self) -> int:
        """A token of all that this node has applied, for `ReadYourWrites` at any node: after `await propose(…)`, what
        that has done is among it.
        """
        return self._reading.token()
