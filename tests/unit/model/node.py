"""One node of a model cluster: a real role, real replicators and a real installer, and everything else made simple."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from raft_actors.config import ClusterConfig, NodeConfig
from raft_actors.errors import NotLeader
from raft_actors.node.installer import SnapshotInstaller
from raft_actors.node.proposals import PendingProposals
from raft_actors.node.replicator import Replicator, ReplicatorMessage
from raft_actors.raft.effects import (
    AnnounceCommit,
    Apply,
    Beat,
    Become,
    DiscardSnapshot,
    Effect,
    Feed,
    GiveLeadershipUp,
    LeaveBehind,
    Persist,
    Refuse,
    ReplicateTo,
    RestoreSnapshot,
    Send,
    StoreChunk,
    TellDifference,
    WakeReplicators,
)
from raft_actors.raft.entries import EntryBatch, EntryKind
from raft_actors.raft.features import FEATURES
from raft_actors.raft.inputs import Durable, Input, Received, SnapshotWritten, TimerFired
from raft_actors.raft.log import Log
from raft_actors.raft.membership import Proven
from raft_actors.raft.messages import Message
from raft_actors.raft.persistent_state import LogWrite, SnapshotMetadata
from raft_actors.raft.roles import Candidate, Follower, Leader, PreCandidate, Role
from raft_actors.raft.state import RaftState
from raft_actors.raft.transitions import RoleName, check_transition
from raft_actors.transports.abc import Endpoint, Transport, TransportStatistics
from tests.unit.model.checks import Checks
from tests.unit.model.disk import Disk, fold, run_now

ROLES: dict[RoleName, type[Role]] = {role.name: role for role in (Follower, PreCandidate, Candidate, Leader)}

SendMessage = Callable[[str, str, Message], bool]


class _Outlet(Transport):
    """A node's way to the model's network."""

    def __init__(self, node_id: str, send: SendMessage) -> None:
        self._node_id = node_id
        self._send = send

    def send_nowait(self, to: str, message: Message) -> bool:
        return self._send(self._node_id, to, message)

    async def run(self, endpoint: Endpoint, *, task_status: Any = None) -> None:
        raise NotImplementedError

    def set_peers(self, peers: Mapping[str, str]) -> None:
        raise NotImplementedError

    def statistics(self) -> TransportStatistics:
        raise NotImplementedError


class Node:
    """See the module's text. Nothing happens unless the scheduler says so."""

    def __init__(
        self,
        node_id: str,
        *,
        cluster: ClusterConfig,
        config: NodeConfig,
        rng: Random,
        disk: Disk,
        checks: Checks,
        send: SendMessage,
        features_of: Callable[[str], frozenset[str]] = lambda _peer: frozenset(),
        proven: Callable[[str], Proven] = lambda _member: Proven(),
    ) -> None:
        self.node_id = node_id
        self.disk = disk
        self.clock = 0.0
        self._cluster, self._config, self._rng = cluster, config, rng
        self._checks = checks
        self._transport = _Outlet(node_id, send)
        self._features_of, self._proven = features_of, proven
        self.incarnation = ""
        self.features = FEATURES
        self.turned_on: frozenset[str] = frozenset()
        self.start()

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with what is on disk, and nothing else."""
        recovered = self.disk.recover()
        log = Log(recovered, cache_bytes=self._config.log_cache_bytes)
        self.state = RaftState(
            node_id=self.node_id,
            cluster=self._cluster,
            config=self._config,
            rng=self._rng,
            log=log,
            term=recovered.hard_state.term,
            voted_for=recovered.hard_state.voted_for,
            commit_index=log.snapshot_index,
            stored_configurations=recovered.configurations,
            features=self.features,
            features_of=self._features_of,
            turned_on=self.turned_on,
            proven=self._proven,
            incarnation=self.incarnation,
        )
        self.to_write: deque[Persist] = deque()
        self.inbox: deque[Input] = deque()
        self.replicators: dict[str, tuple[Replicator, list[ReplicatorMessage]]] = {}
        self.installer = SnapshotInstaller(self.disk, self._report)
        self.applied_index = log.snapshot_index
        self.applied_term = log.snapshot.term if log.snapshot else 0
        self.digest = self.disk.digest()
        self.apply_to = self.applied_index
        self.role: Role = Follower(self.state)
        self.perform(self.role.start(self.clock))

    async def _report(self, item: Input) -> None:
        self.inbox.append(item)

    # --- one step of each actor -------------------------------------------------------------------------------

    def step(self, *items: Input) -> None:
        """The role decides on some items, as `RoleActor` has it."""
        for position, item in enumerate(items):
            if self.perform(self._watched(self.role, item)):
                self.inbox.extendleft(reversed(items[position + 1 :]))
                return
        self.perform(self.role.end_of_step(self.clock))
        self.state.check()

    def take_inbox(self, count: int) -> None:
        """The role decides on the oldest items of the inbox."""
        self.step(*(self.inbox.popleft() for _ in range(min(count, len(self.inbox)))))

    def fire_timer(self) -> None:
        """The role's deadline passes."""
        self.clock = max(self.clock, self.role.deadline)
        self.step(TimerFired())

    def write(self, count: int) -> None:
        """The persistence actor carries out the oldest writes as one transaction, and acknowledges them."""
        for _ in range(min(count, len(self.to_write))):
            persist = self.to_write.popleft()
            self.disk.carry_out(persist.write)
            self.inbox.append(Durable(persist))

    def run_replicator(self, peer: str) -> None:
        """The replicator for a peer handles all that waits for it."""
        replicator, waiting = self.replicators[peer]
        messages = waiting[:]
        waiting.clear()
        run_now(replicator.receive(messages))

    def apply(self) -> None:
        """The applier does what it can."""
        log = self.state.log
        while self.applied_index < self.apply_to and self.applied_index + 1 >= log.first_index:
            index = self.applied_index + 1
            found = log.recent(index, self.apply_to, 200)
            if found is None:
                found = list(run_now(self.disk.read_entries(index, min(self.apply_to, log.durable_index), 200)))
            for batch in found:
                self._apply_batch(batch)

    def _apply_batch(self, batch: EntryBatch) -> None:
        for entry in batch.entries():
            assert entry.index == self.applied_index + 1
            self.applied_index, self.applied_term = entry.index, entry.term
            if entry.kind is EntryKind.COMMAND:
                self.digest = fold(self.digest, entry.command)
            self._checks.applies(entry.index, self.digest)

    def take_snapshot(self) -> None:
        """The snapshotter writes what is applied now."""
        if self.applied_index > self.state.log.snapshot_index:
            metadata = SnapshotMetadata(self.applied_index, self.applied_term)
            self.inbox.append(SnapshotWritten(metadata, self.disk.begin_own_snapshot(metadata, self.digest)))

    # --- effects ----------------------------------------------------------------------------------------------

    def _watched(self, role: Role, item: Input) -> list[Effect]:
        before = self.state.commit_index
        effects = role.handle(item, self.clock)
        if self.state.commit_index != before:
            self._checks.commits(self.state, before, leads=isinstance(role, Leader))
        return effects

    def perform(self, effects: list[Effect]) -> bool:
        """Perform effects; True where one of them ended the role."""
        for effect in effects:
            if isinstance(effect, Become):
                self._become(effect)
                return True
            _PERFORM.get(type(effect), _ignore)(self, effect)
        return False

    def _become(self, become: Become) -> None:
        check_transition(self.role.name, become.role)
        self.perform(self.role.leave())
        self.replicators.clear()
        self.role = ROLES[become.role](self.state)
        if isinstance(self.role, Leader):
            self._checks.leads(self.state)
        self.perform(self.role.start(self.clock))
        if become.redeliver is not None:
            self.step(become.redeliver)

    def _send(self, effect: Send) -> None:
        self._transport.send_nowait(effect.to, effect.message)

    def _persist(self, effect: Persist) -> None:
        if isinstance(effect.write, LogWrite):
            self._checks.wrote(self.state.log, effect.write.entries)
        self.to_write.append(effect)

    def _apply(self, effect: Apply) -> None:
        self.apply_to = max(self.apply_to, effect.commit_index)
        for outcome in effect.outcomes:
            if isinstance(outcome, PendingProposals) and outcome.index is not None:
                # A part of them, where leadership was lost in the middle.
                committed = outcome.last_index + 1 - outcome.index
                self._checks.outcome(outcome.index, outcome.commands[:committed])

    def _restore(self, effect: RestoreSnapshot) -> None:
        snapshot = self.disk.snapshot
        if snapshot is not None and snapshot.index > self.applied_index:
            self.applied_index, self.applied_term = snapshot.index, snapshot.term
            self.digest = self.disk.digest()
            self.apply_to = max(self.apply_to, snapshot.index)
            self._checks.applies(self.applied_index, self.digest)

    def _refuse(self, effect: Refuse) -> None:
        if isinstance(effect.error, NotLeader) and isinstance(effect.outcome, PendingProposals):
            self._checks.not_proposed.update(effect.outcome.commands)

    def _install(self, effect: StoreChunk | DiscardSnapshot) -> None:
        run_now(self.installer.receive([effect]))

    def _replicate_to(self, effect: ReplicateTo) -> None:
        for peer in self.replicators.keys() - {*effect.peers}:
            del self.replicators[peer]
        for peer in effect.peers:
            if peer in self.replicators:
                continue
            replicator = Replicator(
                peer, self.state, next_index=effect.next_index, transport=self._transport, storage=self.disk
            )
            self.replicators[peer] = (replicator, [])

    def _tell_replicators(self, effect: WakeReplicators | Beat) -> None:
        for peer, (replicator, waiting) in self.replicators.items():
            if isinstance(effect, Beat):
                replicator._is_silent = peer in effect.silent  # as `Replicator.notify` has it
            waiting.append(effect)

    def _feed(self, effect: Feed) -> None:
        self.replicators[effect.peer][1].append(effect.reply)


def _ignore(_node: Node, _effect: Effect) -> None:
    pass


_PERFORM: dict[type[Any], Callable[[Node, Any], None]] = {
    Send: Node._send,
    Persist: Node._persist,
    Apply: Node._apply,
    RestoreSnapshot: Node._restore,
    Refuse: Node._refuse,
    StoreChunk: Node._install,
    DiscardSnapshot: Node._install,
    ReplicateTo: Node._replicate_to,
    WakeReplicators: Node._tell_replicators,
    Beat: Node._tell_replicators,
    AnnounceCommit: _ignore,  # the next heartbeat tells of it, too
    LeaveBehind: _ignore,
    GiveLeadershipUp: _ignore,
    TellDifference: _ignore,
    Feed: Node._feed,
}


def received(sender: str, message: Message) -> Received:
    """A message as the inbox holds it."""
    return Received(sender, message)
