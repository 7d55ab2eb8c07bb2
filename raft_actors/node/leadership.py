"""Leadership as a scope: what an application does only while this node leads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import trio

from raft_actors.actors.home_thread import current_task
from raft_actors.errors import CommandFailed, LeadershipEnded, NodeStopped, ProposalError
from raft_actors.node.looking import applier_of
from raft_actors.node.proposals import PendingProposal, PendingProposals
from raft_actors.node.reading import Reading
from raft_actors.node.scopes import Scopes
from raft_actors.node.submission import Submission
from raft_actors.node.supervisor import Supervisor
from raft_actors.raft.roles import Leader
from raft_actors.read_levels import LINEARIZABLE


class Leadership:
    """One stay in `Node.while_leading`.

    Attributes:
        term: the term that this node leads.
        ended: why the block was cancelled; None as long as it was not.
        over: whether the block was left.
    """

    def __init__(self, leader: Leader, reading: Reading, submission: Submission[Any, Any]) -> None:
        self.term: int = leader.term
        self.ended: str | None = None
        self.leader = leader
        self.cancel_scope: trio.CancelScope = trio.CancelScope()
        self.over: bool = False
        self._reading = reading
        self._submission = submission

    @property
    def holds(self) -> bool:
        """Whether this node still leads, as far as it knows; with leases, also that no other node can have committed
        anything yet. Check it right before what can't be undone: the block is cancelled only at its next checkpoint.
        """
        if self.ended is not None or self.over or self._reading.leader() is not self.leader:
            return False
        lease = self.leader.lease
        return lease.settings is None or lease.is_valid

    def end(self, why: str) -> None:
        """Cancel the block."""
        if self.ended is None:
            self.ended = why
            self.cancel_scope.cancel()

    async def propose(self, command: Any) -> Any:
        """As `Node.propose`, but in this term alone.

        Raises:
            LeadershipEnded: it is over; nothing was proposed.
            ProposalError: as `Node.propose`.
        """
        (result,) = await self.propose_many([command])
        if isinstance(result, CommandFailed):
            raise result
        return result

    async def propose_many(self, commands: Sequence[Any]) -> list[Any]:
        """As `Node.propose_many`, but in this term alone. Raises as `propose`; failures of commands are results."""
        current_task()
        self._check()
        if not commands:
            await trio.lowlevel.checkpoint()
            return []
        # Handed on to nobody: another leader's term is not this one.
        proposals: PendingProposals[Any] = self._submission.proposals(commands, forward=False)
        await self._submission.submit(proposals, term=self.term)
        return await proposals.wait()

    def propose_nowait(self, command: Any) -> PendingProposal[Any]:
        """As `Node.propose_nowait`, but in this term alone. Raises as `propose`, and as that one."""
        self._check()
        proposal: PendingProposal[Any] = self._submission.proposal(command, forward=False)
        self._submission.submit_nowait(proposal, term=self.term)
        return proposal

    def _check(self) -> None:
        if not self.holds:
            left = "the block that this belongs to was left" if self.over else "its lease has run out"
            raise LeadershipEnded(self.term, self.ended or left)

    def belongs_to(self, submission: Submission[Any, Any]) -> bool:
        """Whether it is one of the node that this is a part of."""
        return self._submission is submission


#: The blocks that a task is in, or was started in, of all nodes of the process; the innermost last.
entered: ContextVar[tuple[Leadership, ...]] = ContextVar("raft_actors.while_leading", default=())


def innermost(submission: Submission[Any, Any]) -> Leadership | None:
    """The block of the node that this is a part of which the running task is in; None: it is in none.

    A task that was started in one belongs to it, whatever its nursery is: what it does is work of that leadership, and
    must not be committed by mistake when another one has begun.
    """
    for leadership in reversed(entered.get()):
        if leadership.belongs_to(submission):
            return leadership
    return None


class Leaderships:
    """Lets an application in when this node leads."""

    def __init__(self, supervisor: Supervisor, reading: Reading, submission: Submission[Any, Any]) -> None:
        self._supervisor = supervisor
        self._reading = reading
        self._submission = submission

    @property
    def _scopes(self) -> Scopes:
        return self._supervisor.scopes

    async def enter(self) -> Leadership:
        """Wait until this node leads, has applied all that was committed before, and commits by itself.

        Raises:
            NodeStopped: the node ended first.
            NotMember: it was removed, and no leader tells it anything any more.
        """
        current_task()
        supervisor = self._supervisor
        supervisor.check_caller()
        await trio.lowlevel.checkpoint()
        while True:
            if supervisor.over:
                raise NodeStopped(supervisor.node_id) from supervisor.crash
            leader = self._reading.leader()
            if leader is None:
                if supervisor.role is not None:
                    supervisor.role.check_not_left_out()
                await supervisor.changed.park()
            elif await self._has_begun(leader):
                leadership = Leadership(leader, self._reading, self._submission)
                self._scopes.add(leadership)
                return leadership
            else:
                # For a transfer that may fail, or a lease that may begin: both come with the leader's beats.
                await trio.sleep(supervisor.config.heartbeat_interval_s)

    async def _has_begun(self, leader: Leader) -> bool:
        """Wait for the term's first entry, before which no later leader than the ones before it has committed, and make
        sure that this one leads still.
        """
        try:
            await applier_of(self._supervisor).wait_applied(leader.reads.inherited_index + 1)
            await self._reading.read(lambda _state_machine: None, LINEARIZABLE)
        except ProposalError:
            return False
        if self._reading.leader() is not leader or leader.transfer is not None:
            return False
        if leader.state.commit_index <= leader.reads.inherited_index:
            return False
        return leader.lease.settings is None or leader.lease.is_valid

    def leave(self, leadership: Leadership) -> None:
        """The block is over."""
        leadership.over = True
        self._scopes.discard(leadership)


class LeadingNode:
    """What a node offers to those who do something only while it leads."""

    _leaderships: Leaderships

    @asynccontextmanager
    async def while_leading(self) -> AsyncGenerator[Leadership, None]:
        """Do something only while this node leads: `async with node.while_leading() as leadership`.

        The block begins once this node leads and has applied all that was committed before. It is cancelled when the
        leadership ends; then `leadership.ended` says why (None: the block ended by itself). In a cluster with
        leases it is cancelled before any other node can commit anything, even if this one is cut off or was paused;
        without leases, once this node learns that it no longer leads. Check `leadership.holds` right before what can't
        be undone.

        What is proposed in the block is for this term alone: `propose`, `propose_many` and `propose_nowait`, of the
        leadership as of the node, raise LeadershipEnded once it is over, and never forward. That holds for tasks that
        are started in the block, too, also in a nursery around it. (A session is another matter: it carries each
        command out once, whoever leads.)

        Raises:
            NodeStopped: the node ended before it led.
            NotMember: the node was removed from the cluster, and no leader tells it anything any more. (One that has
                not joined yet waits.)
            UsageError: this is not a task of the node's Trio run, or the node was never run.
        """
        leadership = await self._leaderships.enter()
        entered.set((*entered.get(), leadership))
        try:
            with leadership.cancel_scope:
                yield leadership
        finally:
            # No token: the block may be left in another context than it was entered in.
            entered.set(tuple(one for one in entered.get() if one is not leadership))
            self._leaderships.leave(leadership)
