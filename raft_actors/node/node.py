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
from typing import Any, Generic, TypeVar

import trio

from raft_actors.actors.actor import ActorStopped, MailboxFull
from raft_actors.actors.clock import NodeClock
from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import CommandTooLarge, ConfigurationError, InternalError, NodeStopped, NotLeader, Overloaded
from raft_actors.node.applied_log import AppliedLog
from raft_actors.node.applier import Applier, RequestSnapshot
from raft_actors.node.events import EventChannel
from raft_actors.node.proposals import PendingOutcome, PendingProposal, PendingProposals, PendingRead
from raft_actors.node.snapshots import SnapshotChunks
from raft_actors.node.status import NodeStatistics, NodeStatus
from raft_actors.node.supervisor import Observer, Supervisor
from raft_actors.persistence.abc import Storage
from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD
from raft_actors.raft.inputs import Requested
from raft_actors.raft.persistent_state import SnapshotMetadata
from raft_actors.raft.roles import Role
from raft_actors.raft.transitions import RoleName
from raft_actors.state_machine import StateMachine
from raft_actors.transports.abc import Transport

_PROPOSAL_OVERHEAD = BATCH_OVERHEAD + ENTRY_OVERHEAD

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")


class Node(Generic[C, R]):
    """One member of a Raft cluster. Open it with `open_node` (or `run_node` in a nursery of your own).

    Waits have no timeout of their own: bound them with `trio.move_on_after` or `fail_after`. A proposal whose wait is
    cancelled may still commit.

    Two parameters are for simulations: `observer` looks inside, and `clock` takes the place of Trio's for timers and
    time slices.
    """

    def __init__(
        self,
        node_id: str,
        *,
        cluster: ClusterConfig,
        state_machine: StateMachine[C, R],
        storage: Storage,
        transport: Transport,
        config: NodeConfig | None = None,
        observer: Observer | None = None,
        clock: NodeClock | None = None,
    ) -> None:
        if node_id not in cluster.voters:
            known = ", ".join(cluster.voters)
            raise ConfigurationError(
                f"node {node_id!r} is not among the voters of cluster {cluster.cluster_id!r} ({known})"
            )
        self.node_id = node_id
        self.cluster = cluster
        self.config = config if config is not None else NodeConfig()
        self._codec = state_machine.commands
        self._started = False
        self._supervisor = Supervisor(
            node_id,
            cluster=cluster,
            state_machine=state_machine,
            storage=storage,
            transport=transport,
            config=self.config,
            observer=observer,
            clock=clock,
        )

    # --- life ------------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def run(self, *, task_status: trio.TaskStatus[Node[C, R]] = trio.TASK_STATUS_IGNORED) -> None:
        """Be this node until `aclose` or cancellation: `node = await nursery.start(Node(...).run)`.

        `started()` gives the node once it has recovered its state and its peers can reach it. A node runs once.

        Raises:
            StorageError, TransportError, StateMachineError, InternalError: what ended the node, as itself.
        """
        if self._started:
            raise ConfigurationError(f"node {self.node_id!r} was run before: make a new Node on the same storage")
        self._started = True
        await self._supervisor.run(lambda: task_status.started(self))

    @trio.lowlevel.enable_ki_protection
    async def aclose(self) -> None:
        """Stop in two stages: take no more proposals and let those under way finish, then end all actors.

        The first stage is bounded by `NodeConfig.shutdown_timeout_s`; what is not finished by then gets `NodeStopped`.
        """
        supervisor = self._supervisor
        supervisor.admission.close()
        if self._started:
            try:
                with trio.move_on_after(self.config.shutdown_timeout_s):
                    await supervisor.admission.wait_idle()
            finally:
                supervisor.stop()
            await supervisor.ended.wait()

    @property
    def crash(self) -> BaseException | None:
        """The error that ended the node, or None."""
        return self._supervisor.crash

    # --- proposals -------------------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def propose(self, command: C) -> R:
        """Have a command committed and applied, and return what this node's state machine returned for it.

        Waits for its turn while too much is uncommitted. Cancelling the wait does not take the command back.

        Raises:
            NotLeader, CommandTooLarge: it was not proposed.
            Overloaded: it was not proposed: the leader's disk or its inbox is too far behind.
            LeadershipLost, NodeStopped: it may or may not take effect.
            CommandFailed: it took effect, and the state machine's `apply` raised; the cause is what it raised.
            TypeError: it is no command of this state machine.
        """
        proposal = self._proposal(command)
        supervisor = self._supervisor
        if supervisor.requested.taken or not supervisor.admission.admit_if_room(proposal):
            self._check_leader()
            await supervisor.admission.admit(proposal)
            self._hand_in(proposal)
        else:
            supervisor.requested.requests.append(proposal)
        await proposal.until_done()
        result: R = proposal.result_nowait()
        return result

    @trio.lowlevel.enable_ki_protection
    async def propose_many(self, commands: Sequence[C]) -> list[Any]:
        """Propose commands together, for the price of one wait; return their results in order.

        They are applied in this order, with nothing between them as long as leadership lasts. The result of a command
        whose `apply` raised is its `CommandFailed`, so that the others' are not lost.

        Raises:
            NotLeader, CommandTooLarge: none was proposed.
            LeadershipLost, NodeStopped: each may or may not take effect; those that do, in order.
            TypeError: one is no command of this state machine; none was proposed.
        """
        if not commands:
            await trio.lowlevel.checkpoint()
            return []
        proposal = PendingProposals(self._supervisor.admission, *self._encoded(commands))
        await self._submit(proposal)
        results: list[Any] = await proposal.wait()
        return results

    @trio.lowlevel.enable_ki_protection
    def propose_nowait(self, command: C) -> PendingProposal:
        """Propose a command without waiting, not even for room; its outcome is `await pending.wait()` (or,
        once it is `done`, `pending.result_nowait()`).

        Commands proposed thus by one task are applied in the order in which they were proposed.

        Raises:
            Overloaded: too much is uncommitted; nothing was proposed.
            NotLeader, CommandTooLarge, NodeStopped, TypeError: nothing was proposed.
        """
        proposal = self._proposal(command)
        self._check_leader()
        self._supervisor.admission.admit_nowait(proposal)
        self._hand_in(proposal)
        return proposal

    @trio.lowlevel.enable_ki_protection
    async def read(self, query: Callable[[Any], T]) -> T:
        """Run `query(state_machine)` at a point where all is applied that was committed before this call: linearizable.

        The query runs on the Trio thread and must not change the state. Reads that come together share one log entry.

        Raises:
            NotLeader: ask the leader that it names.
            LeadershipLost, NodeStopped: nothing was read.
            Exception: what the query raised.
        """
        read: PendingRead[T] = PendingRead(self._supervisor.admission, query)
        await self._submit(read)
        return await read.wait()

    def _encoded(self, commands: Sequence[C]) -> tuple[list[bytes], int]:
        encode, limit = self._codec.encode, self.config.max_command_bytes
        encoded = [encode(command) for command in commands]
        size = BATCH_OVERHEAD
        for data in encoded:
            if len(data) > limit:
                raise CommandTooLarge(len(data), limit)
            size += len(data) + ENTRY_OVERHEAD
        return encoded, size

    def _proposal(self, command: C) -> PendingProposal:
        data = self._codec.encode(command)
        if len(data) > self.config.max_command_bytes:
            raise CommandTooLarge(len(data), self.config.max_command_bytes)
        return PendingProposal(self._supervisor.admission, [data], _PROPOSAL_OVERHEAD + len(data))

    async def _submit(self, outcome: PendingOutcome[Any]) -> None:
        self._check_leader()
        await self._supervisor.admission.admit(outcome)
        self._hand_in(outcome)

    def _hand_in(self, outcome: PendingOutcome[Any]) -> None:
        """Put what was admitted into the inbox, or give its place back."""
        supervisor = self._supervisor
        waiting = supervisor.requested
        if not waiting.taken:
            waiting.requests.append(outcome)
            return
        supervisor.requested = item = Requested([outcome])
        try:
            supervisor.inbox.tell(item)
        except (MailboxFull, ActorStopped) as refusal:
            item.taken = True
            full = isinstance(refusal, MailboxFull)
            error = Overloaded(str(refusal)) if full else NodeStopped(self.node_id)
            outcome.fail(error)
            raise error from self.crash

    def _check_leader(self) -> None:
        """Refuse at once what the role would refuse later."""
        supervisor = self._supervisor
        role = supervisor.role
        if role is None or role.name is not RoleName.LEADER or not self._leads(role) or supervisor.ended.is_set():
            raise self._no_leader(role)

    def _no_leader(self, role: Role | None) -> Exception:
        if self._supervisor.ended.is_set():
            stopped = NodeStopped(self.node_id)
            stopped.__cause__ = self.crash
            return stopped
        return NotLeader(None) if role is None else role.not_leader()

    def _leads(self, role: Role) -> bool:
        """Whether this leader still leads: not once it has decided to step down and only ends its actors."""
        return role.state.leader == self.node_id

    def _role_name(self) -> RoleName:
        role = self._supervisor.role
        if role is None or (role.name is RoleName.LEADER and not self._leads(role)):
            return RoleName.FOLLOWER
        return role.name

    # --- waiting and looking ---------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def wait_leader(self) -> str:
        """Wait until this node knows the leader of its term; return the leader's id.

        Raises:
            NodeStopped: the node ended first.
        """
        supervisor = self._supervisor
        await trio.lowlevel.checkpoint()
        while True:
            if supervisor.ended.is_set():
                raise NodeStopped(self.node_id) from self.crash
            if supervisor.state is not None and supervisor.state.leader is not None:
                return supervisor.state.leader
            await supervisor.changed.park()

    @trio.lowlevel.enable_ki_protection
    async def wait_applied(self, index: int) -> None:
        """Wait until this node has applied the entry at `index`, or restored a snapshot that covers it.

        Raises:
            NodeStopped: the node ended first.
        """
        applier = self._applier()
        await trio.lowlevel.checkpoint()
        await applier.wait_applied(index)
        if applier.applied_index < index:
            raise NodeStopped(self.node_id) from self.crash

    @trio.lowlevel.enable_ki_protection
    async def take_snapshot(self) -> SnapshotMetadata:
        """Take a snapshot of what is applied now, whatever the policy says; return its metadata once it is durable.

        Raises:
            NodeStopped: the node ended first.
        """
        try:
            snapshot: SnapshotMetadata = await self._applier().ask(RequestSnapshot)
        except ActorStopped:
            raise NodeStopped(self.node_id) from self.crash
        return snapshot

    def status(self) -> NodeStatus:
        """A frozen picture of the node."""
        state = self._supervisor.recovered_state()
        log = state.log
        return NodeStatus(
            node_id=self.node_id,
            cluster_id=self.cluster.cluster_id,
            role=self._role_name(),
            term=state.term,
            voted_for=state.voted_for,
            leader=state.leader,
            voters=tuple(sorted(state.voters)),
            commit_index=state.commit_index,
            applied_index=self._applier().applied_index,
            durable_index=log.durable_index,
            first_index=log.first_index,
            last_index=log.last_index,
            snapshot_index=log.snapshot_index,
            snapshot_term=log.snapshot.term if log.snapshot else 0,
        )

    def statistics(self) -> NodeStatistics:
        """Counters and queue lengths."""
        supervisor, state = self._supervisor, self._supervisor.recovered_state()
        return NodeStatistics(
            pending_proposals=supervisor.admission.count,
            pending_bytes=supervisor.admission.bytes,
            unsynced_bytes=state.unsynced_bytes,
            dropped_messages=supervisor.dropped_messages,
            elections=supervisor.elections,
            inbox=supervisor.inbox.statistics(),
            persistence=supervisor.persistence.statistics(),
            storage=supervisor.storage.statistics(),
            applier=self._applier().statistics(),
            transport=supervisor.transport.statistics(),
        )

    # --- subscriptions ---------------------------------------------------------------------------------------

    def events(self, *, capacity: int = 1024) -> AbstractAsyncContextManager[EventChannel]:
        """Subscribe to changes of role, term, leader, commit index and snapshot: `async with node.events() as channel`.

        The channel gets what happens while it is open; read `status()` after opening it for where things stand.
        """
        return self._supervisor.events.subscribe(capacity)

    @asynccontextmanager
    async def applied(self, *, from_index: int | None = None) -> AsyncGenerator[AppliedLog[C], None]:
        """Read the applied log as a channel: `async with node.applied() as channel`.

        Begins at `from_index`, or with the first entry not applied yet. See `AppliedLog`.
        """
        applier, state = self._applier(), self._supervisor.recovered_state()
        begin = applier.applied_index + 1 if from_index is None else from_index
        if begin < 1:
            raise ConfigurationError(f"log indexes begin with 1, so from_index can't be {begin}")
        yield AppliedLog(applier, state.log, self._supervisor.storage, self._codec, begin)

    @asynccontextmanager
    async def open_snapshot(self) -> AsyncGenerator[tuple[SnapshotMetadata, SnapshotChunks] | None, None]:
        """Read the latest snapshot: its metadata, and its chunks to iterate over. None where there is none.

        It stays readable while it is open, even when a newer one replaces it.
        """
        reader = await self._supervisor.storage.open_snapshot()
        if reader is None:
            yield None
            return
        try:
            yield reader.metadata, SnapshotChunks(reader)
        finally:
            reader.close()

    def _applier(self) -> Applier:
        self._supervisor.recovered_state()
        if self._supervisor.applier is None:
            raise InternalError("a recovered node has no applier")
        return self._supervisor.applier
