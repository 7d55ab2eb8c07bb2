"""The supervisor: one node's life, from recovery to the last actor's end.

It opens the storage, restores the state machine, starts the actors that outlive roles, and then is one role after
another. If any actor crashes, the node ends with that one error. Nothing is restarted piecemeal: a restart is a new
node on the same storage, which is what recovery is tested for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

import trio

from raft_actors.actors.actor import ActorStopped, Mailbox, MailboxFull
from raft_actors.actors.clock import NodeClock
from raft_actors.actors.home_thread import HomeThread
from raft_actors.actors.one_error import one_error
from raft_actors.actors.pending import Pending
from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import NodeStopped, UsageError
from raft_actors.node.acquaintances import Acquaintances
from raft_actors.node.admission import Admission
from raft_actors.node.applier import Applier
from raft_actors.node.closing import closed
from raft_actors.node.digester import Digester
from raft_actors.node.endpoint import endpoint_of
from raft_actors.node.events import EventHub
from raft_actors.node.initial_voters import initial_voters
from raft_actors.node.installer import SnapshotInstaller
from raft_actors.node.joining import Join, be_a_member, prepare, resume
from raft_actors.node.machines import use
from raft_actors.node.observing import Observing
from raft_actors.node.performer import performers
from raft_actors.node.permission import is_trusted
from raft_actors.node.recovery import recover
from raft_actors.node.refused_messages import RefusedMessages
from raft_actors.node.role_actors import ROLE_ACTORS, FollowerActor, RoleActor, Services
from raft_actors.node.scopes import Scopes
from raft_actors.node.snapshotter import Snapshotter
from raft_actors.node.status import NodeState
from raft_actors.node_log import NodeLog
from raft_actors.persistence.abc import Storage, StoreIdentity
from raft_actors.persistence.actor import PersistenceActor
from raft_actors.raft import effects
from raft_actors.raft.inputs import Durable, Input, PeerConnected, PeerDisconnected, Received, Requested
from raft_actors.raft.messages import Message
from raft_actors.raft.roles import Role
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName
from raft_actors.state_machine import StateMachine
from raft_actors.transports.abc import Transport
from raft_actors.transports.conversation import Caller
from raft_actors.transports.greeting import Operate
from raft_actors.wording import described

if TYPE_CHECKING:
    from raft_actors.node.serving import ClientService

_logger = logging.getLogger(__name__)

Observer = Callable[["Supervisor", Role], None]
"""Called with a node's inside after each of its decisions, and with a new role once it has started. For tests that
look into running nodes: it runs within the node's task, must be quick, and must neither change anything nor raise."""


class Supervisor:
    """Runs the actors of one node. See the module's text.

    Attributes:
        home: the thread that the node lives on.
        state, applier: there once the storage is open; None before.
        observer: see `Observer`; None where nobody looks.
        clock: what timers and time slices go by.
        role, role_actor: the current role: what decides, and what lives by it.
        requested: the inbox item that took in the last request; while it waits there, further ones may join it.
        crash: the error that ended the node, or None.
        over: whether the node has no role any more, and answers nobody. Its storage may be closing still.
        ended: set once all of it has ended.
        changed: parks those who wait for another leader, or other members.
        transfers: who waits to hear what came of handing leadership over, or that a change of members has begun.
        scopes: what goes on only while this node leads.
    """

    def __init__(
        self,
        node_id: str,
        *,
        cluster: ClusterConfig,
        state_machine: StateMachine[Any, Any],
        storage: Storage,
        transport: Transport,
        config: NodeConfig,
        observer: Observer | None = None,
        clock: NodeClock | None = None,
    ) -> None:
        self.node_id = node_id
        self.cluster = cluster
        self.config = config
        self.state_machine = state_machine
        self.storage = storage
        self.transport = transport
        self.observer = observer
        self.clock: NodeClock = clock or NodeClock()
        self.inbox: Mailbox[Input] = Mailbox(name=f"node {node_id}", capacity=config.inbox_capacity)
        self.home: HomeThread = HomeThread(f"node {node_id!r}")
        self.inbox.home = self.home
        self.requested: Requested = Requested([], taken=True)
        self.admission: Admission = Admission(
            node_id,
            max_bytes=config.max_uncommitted_bytes,
            max_count=config.max_pending_proposals,
            congestion_delay_s=config.congestion_delay_s,
            max_wait_s=config.max_room_wait_s,
            home=self.home,
            now=self.clock.now,
        )
        self.events: EventHub = EventHub(self.home)
        self.persistence: PersistenceActor[effects.Persist] = PersistenceActor(
            storage, self._acknowledge, lambda persist: self.inbox.tell_when_room(Durable(persist))
        )
        self.snapshotter: Snapshotter = Snapshotter(storage, config, self.inbox.tell_when_room, self.clock)
        self.installer: SnapshotInstaller = SnapshotInstaller(storage, self.inbox.tell_when_room)
        self.digester: Digester = Digester(config, self.inbox.tell_when_room, self.clock)
        self.state: RaftState | None = None
        self.applier: Applier | None = None
        self.role: Role | None = None
        self.role_actor: RoleActor | None = None
        self.elections: int = 0
        self.dropped_messages: int = 0
        self.crash: BaseException | None = None
        self._log = NodeLog(_logger, node_id)
        self.refused_messages: RefusedMessages = RefusedMessages(self._log, transport)
        self.over: bool = False
        self.ended: trio.Event = trio.Event()
        self.changed: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()
        self.transfers: set[Pending[Any]] = set()
        self.operate: Operate | None = None
        self.clients: ClientService | None = None
        self.join: Join | None = None
        self.address = ""
        self.must_be_named = False
        self.initial_voters: tuple[str, ...] = ()
        self.scopes: Scopes = Scopes()
        self._opened_storage = False
        self._scope = trio.CancelScope()
        self._failure: Exception | None = None
        self.acquaintances: Acquaintances = Acquaintances(node_id, self.fail)
        self._seen = Observing(self.events, self.changed, self._log, transport, self.acquaintances, self.admission)

    # --- life ------------------------------------------------------------------------------------------------

    async def run(self, started: Callable[[], None]) -> None:
        """Live until cancelled or stopped; call `started` once the node has recovered and can be reached.

        Raises:
            RaftError: what ended the node: the one error of the actor that crashed first.
        """
        self.home.settle()
        try:
            with self._scope:
                await self._live(started)
            if self._failure is not None:
                raise self._failure
        except BaseException as error:  # noqa: BLE001 - raised again, without its groups
            cause = one_error(error)
            if not isinstance(cause, trio.Cancelled):
                self.crash = cause
                self._log.error("ends: %s: %s", type(cause).__name__, cause)
            raise cause from cause.__cause__  # noqa: ASYNC104 - the same error, or a cancellation as itself
        finally:
            try:
                self._settle_all()
                if self._opened_storage:
                    await self._close_storage()  # noqa: ASYNC102 - it shields itself, and not for ever
            finally:
                self.ended.set()
                self._log.info("has ended")

    def stop(self) -> None:
        """End the node now. What it has acknowledged is on disk; what it has not, is answered with NodeStopped."""
        self._scope.cancel()

    def fail(self, error: Exception) -> None:
        """End the node with this error, wherever it was met."""
        self._failure = self._failure or error
        self._scope.cancel()

    async def _live(self, started: Callable[[], None]) -> None:
        await prepare(self)
        identity = StoreIdentity(self.cluster.cluster_id, self.node_id, tuple(sorted(self.cluster.voters)))
        self._opened_storage = True  # cancelled from here on, it may be open, or about to be
        try:
            recovered = await self.storage.open(identity, tail_bytes=self.config.log_cache_bytes)
        except Exception:
            self._opened_storage = False  # it is as it was before: another node's, maybe, which goes on using it
            raise
        voters = self.initial_voters = initial_voters(self.node_id, self.cluster, recovered)
        use(self.state_machine)
        state = self.state = recover(
            self.node_id,
            recovered,
            cluster=self.cluster,
            config=self.config,
            clock=self.clock,
            transport=self.transport,
            proven=self.acquaintances.proven,
            must_be_named=self.must_be_named,
        )
        resume(self, recovered, state)
        self.acquaintances.recovered(state, self.address)
        applier = self.applier = Applier(
            self.state_machine,
            log=state.log,
            storage=self.storage,
            config=self.config,
            begin_snapshot=self.snapshotter.tell,
            digester=self.digester,
            skipped_commands=self.cluster.skipped_commands,
            clock=self.clock,
        )
        await applier.restore()
        async with trio.open_nursery() as nursery:
            for actor in (self.persistence, self.snapshotter, self.installer, self.digester, applier):
                nursery.start_soon(actor.run, name=f"{actor.name} of {self.node_id}")
            await nursery.start(self.transport.run, endpoint_of(self, voters))
            at = (state.term, state.log.last_index, state.commit_index, applier.applied_index)
            self._log.info("runs: term %d, last entry %d, committed %d, applied %d", *at)
            started()
            nursery.start_soon(be_a_member, self)
            # What is known to be committed is applied while the election goes on: no leader is needed for it.
            applier.commit_to(effects.Apply(state.commit_index))
            applier.wake()
            await self._be_each_role(state, applier)

    async def _be_each_role(self, state: RaftState, applier: Applier) -> None:
        services = Services(
            inbox=self.inbox,
            transport=self.transport,
            storage=self.storage,
            perform=performers(
                self.acquaintances,
                transport=self.transport,
                persistence=self.persistence,
                applier=applier,
                installer=self.installer,
                events=self.events,
                refused_messages=self.refused_messages,
                not_sent=state.outbox.not_sent,
            ),
            end_step=partial(self._end_step, applier),
            observe=self._seen.look if self.observer is None else self._observe,
            clock=self.clock,
            scopes=self.scopes,
        )
        actor: RoleActor = FollowerActor(state, services)
        redelivered: Input | None = None
        while True:
            self.role_actor, self.role = actor, actor.role
            self.elections += actor.role.name is RoleName.CANDIDATE
            become = await actor.run(redelivered=redelivered)
            actor, redelivered = ROLE_ACTORS[become.role](state, services), become.redeliver

    def _end_step(self, applier: Applier) -> None:
        self.persistence.begin()  # first: the disk should not wait for commands to be applied
        applier.end_step()

    async def _close_storage(self) -> None:
        error = await closed(self.storage, self.node_id)
        if error is None:
            return
        self._log.error("its store met an error at closing: %s", described(error))
        if self.crash is None:
            self.crash = error
            raise error
        self.crash.add_note(f"at the same time: {described(error)}")

    def _settle_all(self) -> None:
        """Leave nobody waiting: every proposer, reader and subscriber learns that the node has ended."""
        self.over = True
        handed_on: frozenset[object] = frozenset() if self.state is None else self.state.outbox.handed_on()

        def stopped(index: int | None, *, under_way: bool = False) -> Exception:
            error = NodeStopped(self.node_id, index, under_way=under_way)
            error.__cause__ = self.crash
            return error

        self.admission.close(self.crash)
        self.admission.fail_all(lambda outcome: stopped(outcome.index, under_way=outcome in handed_on))
        for transfer in self.transfers:
            transfer.fail(stopped(None))
        self.scopes.end_all("the node has stopped")
        self.inbox.close()
        self._seen.end()
        if self.applier is not None:
            self.applier.stop()
        self.changed.unpark_all()

    # --- what goes in ----------------------------------------------------------------------------------------

    def deliver(self, sender: str, message: Message) -> bool:
        """Take a message from a peer; see `Endpoint.deliver`."""
        try:
            self.inbox.tell_at_once(Received(sender, message))
        except MailboxFull:
            self.dropped_messages += 1
            return False
        except ActorStopped:
            return False
        return True

    def welcome(self, stranger: str, address: str) -> bool:
        """Whether to hear a node that is no peer; see `Endpoint.stranger`."""
        return self._seen.welcome(self.state, stranger, address)

    def trusts(self, caller: Caller) -> bool:
        """Whether somebody who is no peer has its rights now; see `Endpoint.trusts`."""
        return is_trusted(caller, self.node_id, self.recovered_state().configuration.ids)

    def peer_lost(self, peer: str) -> None:
        """Pass on a hint; where there is no room for it, the election timeout will do."""
        with suppress(MailboxFull, ActorStopped):
            self.inbox.tell(PeerDisconnected(peer))

    def peer_reached(self, peer: str) -> None:
        """Pass on a hint; where there is no room for it, the next heartbeat will do."""
        with suppress(MailboxFull, ActorStopped):
            self.inbox.tell(PeerConnected(peer))

    def _acknowledge(self, persist: effects.Persist) -> None:
        self.inbox.tell_at_once(Durable(persist))

    # --- what comes out --------------------------------------------------------------------------------------

    def _observe(self, role: Role) -> None:
        """See what has changed. Called after each decision, so that no change goes unseen."""
        self._seen.look(role)
        if self.observer is not None:
            self.observer(self, role)

    @property
    def life(self) -> NodeState:
        """Where in its life the node stands."""
        if self.crash is not None:
            return NodeState.CRASHED
        if self.over:
            return NodeState.CLOSED
        if not self.home.ident:
            return NodeState.NEW
        if self.role is None:
            return NodeState.RECOVERING
        return NodeState.CLOSING if self.admission.closed else NodeState.RUNNING

    def check_caller(self) -> None:
        """Refuse a call that comes from another thread than the node's, or before the node lives.

        Once all has ended, anybody may look at what is left: nothing changes any more.

        Raises:
            UsageError: it does.
        """
        home = self.home
        if home.ident != get_ident() and not self.ended.is_set():
            if home.ident:
                raise home.elsewhere()
            raise UsageError(
                f"node {self.node_id!r} has not been run: start it by `await nursery.start(node.run)`, or use open_node"
            )

    def recovered_state(self) -> RaftState:
        """The state, for callers that can't come before recovery.

        Raises:
            UsageError: they did.
            NodeStopped: the node ended before it had recovered; the cause is what ended it.
        """
        if self.state is None:
            if self.over:
                raise NodeStopped(self.node_id) from self.crash
            raise UsageError(
                f"node {self.node_id!r} has not recovered yet: wait for `nursery.start(node.run)`, or use open_node"
            )
        return self.state
