"""The node as an application sees it: propose, read, wait, look.

application ── propose, read ──▶ inbox ◀── messages ── transport ◀── peers
                                   │
                      the current role decides ──▶ persistence ──▶ storage
                                   │      ▲── durable ──┘
                                   ├──▶ replicators (a leader's) ──▶ transport
                                   └──▶ applier ──▶ state machine ──▶ results to proposers
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from threading import get_ident as _get_ident
from typing import Any, Generic, TypeVar

import trio

from raft_actors.actors.clock import NodeClock
from raft_actors.actors.home_thread import NOT_IN_TRIO, current_task
from raft_actors.config import ClusterConfig, NodeConfig, check_together
from raft_actors.errors import (
    ChangeFailed,
    CommandFailed,
    ConfigurationError,
    NotLeader,
    UsageError,
)
from raft_actors.node.applied_log import AppliedLog
from raft_actors.node.events import EventChannel
from raft_actors.node.handoff import Handoff
from raft_actors.node.joining import Join
from raft_actors.node.leadership import Leaderships, LeadingNode, innermost
from raft_actors.node.leadership import entered as _entered
from raft_actors.node.looking import applier_of, statistics_of, status_of, wait_applied, wait_leader
from raft_actors.node.machines import state_machine_from
from raft_actors.node.members import MemberCalls
from raft_actors.node.operating import Operations
from raft_actors.node.proposals import PendingProposal, PendingProposals
from raft_actors.node.reading import Reading, ReadingNode
from raft_actors.node.serving import ClientService
from raft_actors.node.session_calls import SessionsNode
from raft_actors.node.snapshot_calls import SnapshotCalls
from raft_actors.node.status import NodeState, NodeStatistics, NodeStatus
from raft_actors.node.submission import Submission
from raft_actors.node.supervisor import Observer, Supervisor
from raft_actors.persistence.abc import Storage
from raft_actors.state_machine import StateMachine
from raft_actors.transports.abc import Transport

# By short names: every proposal asks for both.
_current_task = trio.lowlevel.current_task

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")
M_co = TypeVar("M_co", bound=StateMachine[Any, Any], covariant=True)


class Node(ReadingNode[M_co], LeadingNode, MemberCalls, SnapshotCalls, SessionsNode[M_co], Generic[M_co]):
    """One member of a Raft cluster. Open it with `open_node` (or `run_node` in a nursery of your own).

    Its type names the state machine: a `Node[Accounts]` proposes the commands of `Accounts`, and reads from one.

    Waits have no timeout of their own: bound them with `trio.move_on_after` or `fail_after`. A proposal whose wait is
    cancelled may still commit.

    A node belongs to the thread of the Trio run that it runs in. Async methods are for tasks of that run; the others
    may also be called by the host of a guest run. Calls from elsewhere, and before the node was run, raise `UsageError`
    and change nothing; `state` and `crash` may be read anywhere.

    Two parameters are for simulations: `observer` looks inside, and `clock` takes the place of Trio's for timers and
    time slices.
    """

    def __init__(  # noqa: PLR0913 - keywords
        self,
        node_id: str,
        *,
        cluster: ClusterConfig,
        state_machine: M_co | Callable[[], M_co],
        storage: Storage,
        transport: Transport,
        config: NodeConfig | None = None,
        join: bool | Join = False,
        observer: Observer | None = None,
        clock: NodeClock | None = None,
    ) -> None:
        if not cluster.voters and not isinstance(join, Join):
            raise ConfigurationError("a cluster needs at least one voter: ClusterConfig(voters={'n1': 'host:port'})")
        if node_id not in cluster.voters and not join:
            raise ConfigurationError(
                f"node {node_id!r} is not among the voters of cluster {cluster.cluster_id!r} "
                f"({', '.join(cluster.voters)}): is it to join, or has it joined? Then say join=True"
            )
        check_together(cluster, config or NodeConfig())
        self.node_id = node_id
        self.config: NodeConfig = config if config is not None else NodeConfig()
        machine = state_machine_from(state_machine)
        self._codec = machine.commands
        self._started = False
        self._supervisor = Supervisor(
            node_id,
            cluster=cluster,
            state_machine=machine,
            storage=storage,
            transport=transport,
            config=self.config,
            observer=observer,
            clock=clock,
        )
        self._supervisor.join = join if isinstance(join, Join) else None
        self._supervisor.operate = Operations(self, self._supervisor).answer
        self._home = self._supervisor.home
        self._handoff = Handoff(self._supervisor)
        self._submission: Submission[Any, Any] = Submission(self._supervisor, self._codec)
        self._reading = Reading(self._supervisor, self._submission)
        self._leaderships = Leaderships(self._supervisor, self._reading, self._submission)
        self._supervisor.clients = ClientService(self, self._supervisor, self._submission, self._reading)

    # --- life ------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def run(self, *, task_status: trio.TaskStatus[Node[M_co]] = trio.TASK_STATUS_IGNORED) -> None:
        """Be this node until `aclose` or cancellation: `node = await nursery.start(Node(...).run)`.

        `started()` gives the node once it has recovered its state and its peers can reach it. A node runs once.

        Raises:
            StorageError, TransportError, StateMachineError, InternalError: what ended the node, as itself.
            ConfigurationError: it was run before, or its state machine serves another node by now.
            UsageError: this is no Trio task.
        """
        current_task()
        if self._started:
            raise ConfigurationError(f"node {self.node_id!r} was run before: make a new Node on the same storage")
        self._started = True
        await self._supervisor.run(lambda: task_status.started(self))

    @trio.lowlevel.enable_ki_protection
    async def aclose(self, *, leave: bool = False) -> None:
        """Stop in two stages: take no more proposals, hand leadership over and let what is under way finish; then end
        all actors. With `leave`, this node is removed from the cluster before, for good.

        The first stage is bounded by `NodeConfig.shutdown_timeout_s`; what is not finished by then gets `NodeStopped`.

        Raises:
            ChangeFailed: the node has stopped, and may still be a member: have the leader remove it.
        """
        current_task()
        self._home.check()
        supervisor = self._supervisor
        supervisor.admission.close()
        supervisor.changed.unpark_all()  # clients go elsewhere
        if not self._started:
            self._started = supervisor.over = True
            supervisor.ended.set()
        left = not leave
        try:
            with trio.move_on_after(self.config.shutdown_timeout_s):
                left = not leave or await self._handoff.leave()
                await self._handoff.before_stopping()
                await supervisor.admission.wait_idle()
        finally:
            supervisor.stop()
        await supervisor.ended.wait()
        if not left:
            raise ChangeFailed(f"node {self.node_id!r} has stopped, and may still be a member: remove it at the leader")

    @property
    def cluster(self) -> ClusterConfig:
        """The cluster, with the voters that it began with: of a node that joins, once it knows them."""
        return self._supervisor.cluster

    @property
    def state(self) -> NodeState:
        """Where in its life the node stands."""
        return self._supervisor.life

    @property
    def crash(self) -> BaseException | None:
        """The error that ended the node, or None."""
        return self._supervisor.crash

    # --- proposals -------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def propose(self: Node[StateMachine[C, R]], command: C, *, forward: bool = True) -> R:
        """Have a command committed and applied, and return what this node's state machine returned for it.

        Where another member leads, the command is forwarded to it, at most once (not with `forward=False`); while no
        leader is known, this waits for one. It also waits while too much is uncommitted. If leadership ends first, the
        wait goes on until this node knows the command's outcome: for ever, if the node stays cut off. Cancelling the
        wait withdraws the command only if no leader has accepted it yet.

        Raises:
            NotLeader, CommandTooLarge: it was not proposed. NotLeader with `forward=False`, or for an older leader.
            NotCommitted: it never takes effect: another entry was committed in its place. It may be proposed again.
            Overloaded: it was not proposed: the leader's disk or its inbox is too far behind.
            ResultLost: it took effect, and its result is not known here.
            LeadershipEnded: it was not proposed, for it belongs to a block of `while_leading` that is over.
            LeadershipLost, NodeStopped: it may or may not take effect. LeadershipLost: it was forwarded to a
                leader that ended, or was cut off, before it reported the command's index. NodeStopped that is not
                `under_way`: it was not proposed.
            CommandFailed: it took effect, and the state machine's `apply` raised; the cause is what it raised.
            TypeError: it is no command of this state machine.
            UsageError: this is not a task of the node's Trio run, or the node was never run; it was not proposed.
        """
        try:
            task = _current_task()
        except RuntimeError:
            raise UsageError(NOT_IN_TRIO) from None
        supervisor = self._supervisor
        if _get_ident() != self._home.ident:
            supervisor.check_caller()
        submission = self._submission
        if _entered.get() and (leadership := innermost(submission)) is not None:
            bound: R = await leadership.propose(command)
            return bound
        proposal: PendingProposal[R] = submission.proposal(command, forward=forward)
        submission.hand_in_in_turn(proposal)
        try:  # what `outcome_for` does, without a coroutine more for every proposal
            await proposal.until_done(task)
        except trio.Cancelled:
            submission.withdraw(proposal)
            raise
        return proposal.result_nowait()

    @trio.lowlevel.enable_ki_protection
    async def propose_many(
        self: Node[StateMachine[C, R]], commands: Sequence[C], *, forward: bool = True
    ) -> list[R | CommandFailed]:
        """Propose commands together, for the price of one wait; return their results in order.

        They are applied in this order, with nothing between them as long as leadership lasts. The result of a command
        whose `apply` raised is its `CommandFailed`, so that the others' are not lost. They are forwarded to the leader
        as by `propose`; more than `NodeConfig.max_inflight_bytes` of them can be proposed only at the leader itself.

        Raises:
            NotLeader, CommandTooLarge: none was proposed.
            NotCommitted: none takes effect, or only the first ones: those whose `results` the error has.
            ResultLost: all took effect, and their results are not known here.
            LeadershipLost, NodeStopped: each may or may not take effect; those that do, in order.
            TypeError: one is no command of this state machine; none was proposed.
            UsageError: as for `propose`.
        """
        current_task()
        self._supervisor.check_caller()
        if (leadership := innermost(self._submission)) is not None:
            return await leadership.propose_many(commands)
        if not commands:
            await trio.lowlevel.checkpoint()
            return []
        proposals: PendingProposals[R] = self._submission.proposals(commands, forward=forward)
        await self._submission.submit(proposals)
        return await self._submission.outcome_of(proposals)

    @trio.lowlevel.enable_ki_protection
    def propose_nowait(self: Node[StateMachine[C, R]], command: C) -> PendingProposal[R]:
        """Propose a command here without waiting, not even for room; its outcome is `await pending.wait()` (or,
        once it is `done`, `pending.result_nowait()`).

        Commands proposed thus by one task are applied in the order in which they were proposed.

        Raises:
            Overloaded: too much is uncommitted; nothing was proposed.
            NotLeader, CommandTooLarge, NodeStopped, TypeError, UsageError: nothing was proposed.
        """
        self._supervisor.check_caller()
        if (leadership := innermost(self._submission)) is not None:
            return leadership.propose_nowait(command)
        self._submission.check_room()
        proposal: PendingProposal[R] = self._submission.proposal(command, forward=False)
        self._submission.submit_nowait(proposal)
        return proposal

    # --- waiting and looking ---------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def wait_leader(self) -> str:
        """Wait until this node knows the leader of its term; return the leader's id.

        Raises:
            NodeStopped: the node ended first.
            NotMember: the node was removed from the cluster, and no leader tells it anything any more. (One that has
                not joined yet waits. Once one that was removed is added again, this can be called again.)
            UsageError: this is not a task of the node's Trio run, or the node was never run.
        """
        return await wait_leader(self._supervisor)

    @trio.lowlevel.enable_ki_protection
    async def wait_leader_changed(self, refusal: NotLeader) -> str:
        """Wait until this node knows of a leader that the node which raised `refusal` did not; return the leader's id.

        For a loop that can propose at this node alone: before that, a retry can't end otherwise. (`wait_leader` returns
        at once while the leader is known, so a loop around that one would spin.)

            while True:
                try:
                    return await node.propose(command)
                except NotLeader as refusal:
                    await node.wait_leader_changed(refusal)

        Raises as `wait_leader` does.
        """
        # A term has one leader at most: a node that knows it learns nothing new before a later term has one.
        return await wait_leader(self._supervisor, refusal.term if refusal.leader is None else refusal.term + 1)

    @trio.lowlevel.enable_ki_protection
    async def transfer_leadership(self, to: str | None = None) -> str:
        """Hand leadership to another voter, and return the id of who leads then (dissertation §3.10).

        For planned work on the leader's machine: no election timeout has to pass. The target must have the whole log
        first (a leader that was just elected has to ask it how much it has). Proposals made here meanwhile are held,
        and forwarded to the new leader once it is known (with `forward=False`: refused with `NotLeader`, which names
        it); none is lost or applied twice. If the target does not take over within the longest election timeout, this
        node goes on leading, and proposes them. Cancelling the wait does not take the transfer back.

        Args:
            to: the voter's id; None: the one that holds most of the log.

        Raises:
            NotLeader: this node does not lead.
            TransferRefused: the target is unknown, this node itself, far behind, or not heard of; or another transfer
                is under way.
            TransferFailed: the target did not take over in time.
            NodeStopped: the node ended first.
            UsageError: this is not a task of the node's Trio run, or the node was never run.
        """
        current_task()
        self._supervisor.check_caller()
        self._submission.check_leader()
        return await self._handoff.transfer(to)

    @trio.lowlevel.enable_ki_protection
    async def wait_applied(self, index: int) -> None:
        """Wait until this node has applied the entry at `index`, or restored a snapshot that covers it.

        Raises:
            NodeStopped: the node ended first.
            NotMember: the node was removed from the cluster, so it won't get that entry. (See `wait_leader`.)
            UsageError: this is not a task of the node's Trio run, or the node has not recovered yet.
        """
        await wait_applied(self._supervisor, index)

    def status(self) -> NodeStatus:
        """A frozen picture of the node; after its end, of where it stood.

        Raises:
            NodeStopped: it ended before it had recovered; the cause is what ended it.
            UsageError: this is not the node's thread, or the node has not recovered yet.
        """
        self._supervisor.check_caller()
        return status_of(self._supervisor, self._submission.role_name())

    def statistics(self) -> NodeStatistics:
        """Counters and queue lengths. Raises as `status` does."""
        self._supervisor.check_caller()
        return statistics_of(self._supervisor)

    # --- subscriptions ---------------------------------------------------------------------------------------

    def events(self, *, capacity: int = 1024) -> AbstractAsyncContextManager[EventChannel]:
        """Subscribe to changes of role, term, leader, commit index and snapshot: `async with node.events() as channel`.

        The channel gets what happens while it is open; read `status()` after opening it for where things stand. A node
        that ends says so in its last events: a `RoleChanged` without a role, and a `LeaderChanged` without a leader.
        """
        self._supervisor.check_caller()
        return self._supervisor.events.subscribe(capacity)

    @asynccontextmanager
    async def applied(
        self: Node[StateMachine[C, Any]], *, from_index: int | None = None, kept_results: int = 4096
    ) -> AsyncGenerator[AppliedLog[C], None]:
        """Read the applied log as a channel: `async with node.applied() as channel`.

        Begins at `from_index`, or with the first entry not applied yet. Commands that are applied while it is open come
        with their results, of which `kept_results` wait for a reader that is behind (older ones are let go).
        """
        current_task()
        self._supervisor.check_caller()
        applier, state = applier_of(self._supervisor), self._supervisor.recovered_state()
        begin = applier.applied_index + 1 if from_index is None else from_index
        if begin < 1:
            raise ConfigurationError(f"log indexes begin with 1, so from_index can't be {begin}")
        with applier.readers.keeping(kept_results, applier.applied_index + 1) as results:
            yield AppliedLog(applier, state.log, self._supervisor.storage, self._codec, begin, results)
