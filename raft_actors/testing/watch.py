"""Who sees all: takes in what the nodes of a cluster do, keeps the facts, and tells who asked for it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import attrs
import trio
from typing_extensions import override

from raft_actors.node.supervisor import Supervisor
from raft_actors.persistence.memory_disk import MemoryDisk
from raft_actors.raft.messages import Message
from raft_actors.raft.persistent_state import Write
from raft_actors.raft.roles import Role
from raft_actors.raft.transitions import RoleName
from raft_actors.testing.facts import AppliedEntry, Facts
from raft_actors.testing.hooks import Hooks
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life
from raft_actors.transports.abc import Deliver, Endpoint, Transport, TransportStatistics


class Watch:
    """Passes on what happens to those who want to know. See `Hooks` for what each method is about.

    Attributes:
        facts: what was seen so far.
        invariants: those that are checked.
        stepped: called after each decision, whether or not it changed anything; None: nothing is.
        after_apply: called after each command that was applied; likewise.
    """

    def __init__(
        self,
        disks: Mapping[str, MemoryDisk],
        invariants: Iterable[Invariant],
        fail: Callable[[str], None],
        *,
        others: Iterable[Hooks] = (),
    ) -> None:
        """Watch a cluster with these disks.

        Args:
            fail: called with what is wrong, as soon as it is seen. Must not raise.
            others: hooks that check nothing, such as a recorder; told before the invariants.
        """
        self.facts: Facts = Facts(dict(disks))
        self.stepped: Callable[[Life], None] | None = None
        self.after_apply: Callable[[Life], None] | None = None
        self.invariants: tuple[Invariant, ...] = tuple(invariants)
        for invariant in self.invariants:
            invariant.attach(self.facts, fail)
        self._hooks: tuple[Hooks, ...] = (*others, *self.invariants)
        self._started = self._those_with("started")
        self._changed = self._those_with("changed")
        self._became = self._those_with("became")
        self._sent = self._those_with("sent")
        self._heard = self._those_with("heard")
        self._written = self._those_with("written")
        self._applied = self._those_with("applied")
        self._restored = self._those_with("restored")
        self._digested = self._those_with("digested")
        self._ended = self._those_with("ended")
        for name, disk in disks.items():
            self._attach(name, disk)

    def _those_with(self, method: str) -> list[Callable[..., None]]:
        """The bound methods of those who override it."""
        return [
            getattr(hooks, method)
            for hooks in self._hooks
            if getattr(type(hooks), method) is not getattr(Hooks, method)
        ]

    def _attach(self, node_id: str, disk: MemoryDisk) -> None:
        """Have a disk tell what becomes durable on it."""
        if self._written:
            disk.after_write = lambda writes: self.written(node_id, writes)

    # --- decisions -------------------------------------------------------------------------------------------

    def observer(self, life: Life) -> Callable[[Supervisor, Role], None]:
        """What is to be called after each of a node's decisions (`Node(observer=…)`)."""

        def decided(supervisor: Supervisor, role: Role) -> None:
            life.role = role
            if life.over:
                return
            if not life.is_as_seen():
                if life.supervisor is None:
                    life.supervisor = supervisor
                    self.facts.stores.setdefault(life.node_id, set()).add(life.state.incarnation)
                    life.see()
                    life.seen_role = None
                    for tell in self._started:
                        tell(life)
                self.changed(life)
            life.seen_synced_writes = role.state.synced_writes
            if self.stepped is not None:
                self.stepped(life)

        return decided

    def changed(self, life: Life) -> None:
        """A decision has changed something."""
        state, facts = life.state, self.facts
        new_role = life.role is not life.seen_role
        if new_role and life.role is not None and life.role.name is RoleName.LEADER:
            facts.leaders.setdefault(state.term, life.node_id)
        if state.commit_index > facts.committed.last_index:
            facts.committed.extend(state.log, state.commit_index, state.term)
            if facts.replaced:
                facts.note_bound(state.configurations.at(state.commit_index).configuration, state.term)
        for tell in self._changed:
            tell(life)
        if new_role:
            for tell in self._became:
                tell(life)
        life.see()

    # --- everything else -------------------------------------------------------------------------------------

    def transport(self, life: Life, inner: Transport) -> Transport:
        """A transport that tells what is sent and received through it."""
        return _WatchedTransport(inner, life, self._sent, self._heard) if self._sent or self._heard else inner

    def written(self, node_id: str, writes: Sequence[Write]) -> None:
        """Something has become durable."""
        for tell in self._written:
            tell(node_id, writes)

    def applied(self, life: Life, index: int, command: bytes, result: Hashable) -> None:
        """A command was applied."""
        history = self.facts.history
        if life.applied_count == len(history):
            history.append(AppliedEntry(index, command, result))
        for tell in self._applied:
            tell(life, index, command, result)
        life.applied_count += 1
        life.applied_index = index
        if self.after_apply is not None:
            self.after_apply(life)

    def restored(self, life: Life, index: int, count: int) -> None:
        """A snapshot was restored."""
        life.restored_index = index
        for tell in self._restored:
            tell(life, index, count)
        life.applied_count = count
        life.applied_index = index

    def digested(self, life: Life, index: int, snapshot: bytes) -> None:
        """A snapshot of a state was written."""
        self.facts.snapshots.add(index, snapshot)
        digest = zlib.crc32(snapshot)
        for tell in self._digested:
            tell(life, index, digest)

    def not_committed(self, index: int, term: int) -> None:
        """A client was told so of the entry that had its place there in that term."""
        for hooks in self._hooks:
            hooks.not_committed(index, term)

    def disk_replaced(self, node_id: str, disk: MemoryDisk) -> None:
        """To be called when a node that is down is given another disk, or its own with older contents."""
        self.facts.disk_replaced(node_id, disk)
        self._attach(node_id, disk)
        for hooks in self._hooks:
            hooks.disk_replaced(node_id)

    def ended(self, life: Life) -> None:
        """A node has ended."""
        if life.supervisor is not None:
            unresolved = life.state.unresolved
            self.facts.outcomes.update(
                {
                    "committed": unresolved.committed,
                    "not committed": unresolved.not_committed,
                    "unknown": unresolved.unknown,
                }
            )
        for tell in self._ended:
            tell(life)

    def finish(self) -> None:
        """The run is over."""
        for hooks in self._hooks:
            hooks.finished()


_Tell = Callable[[Life, str, Message], None]


class _WatchedTransport(Transport):
    """Another transport, overheard."""

    def __init__(self, inner: Transport, life: Life, sent: Sequence[_Tell], heard: Sequence[_Tell]) -> None:
        self._inner = inner
        self._life = life
        self._sent = sent
        self._heard = heard

    @override
    async def run(  # noqa: ASYNC128 - the inner transport calls started()
        self, endpoint: Endpoint, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        if self._heard:
            endpoint = attrs.evolve(endpoint, deliver=self._overhear(endpoint.deliver))
        await self._inner.run(endpoint, task_status=task_status)

    def _overhear(self, deliver: Deliver) -> Deliver:
        def overheard(sender: str, message: Message) -> bool:
            if not self._life.over:
                for tell in self._heard:
                    tell(self._life, sender, message)
            return deliver(sender, message)

        return overheard

    @override
    def send_nowait(self, to: str, message: Message) -> bool:
        if not self._life.over:
            for tell in self._sent:
                tell(self._life, to, message)
        return self._inner.send_nowait(to, message)

    @override
    async def ask(self, address: str, request: bytes) -> bytes:
        return await self._inner.ask(address, request)

    @override
    def set_peers(self, peers: Mapping[str, str]) -> None:
        self._inner.set_peers(peers)

    @override
    def refuse(self, peer: str, why: str) -> None:
        self._inner.refuse(peer, why)

    @override
    def own_features(self) -> frozenset[str]:
        return self._inner.own_features()

    @override
    def features_of(self, peer: str) -> frozenset[str]:
        return self._inner.features_of(peer)

    @override
    def statistics(self) -> TransportStatistics:
        return self._inner.statistics()
