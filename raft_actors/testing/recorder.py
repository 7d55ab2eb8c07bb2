"""Writes down in the trace what nodes and disks do."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from typing_extensions import override

from raft_actors.observe.trace import Trace
from raft_actors.raft.persistent_state import CommitSnapshot, LogWrite, Write
from raft_actors.testing.disk import SimulatedDisk
from raft_actors.testing.hooks import Hooks
from raft_actors.testing.life import Life


class TraceRecorder(Hooks):
    """What keeps the trace. Messages are traced by the network, faults by whoever brings them about."""

    def __init__(self, trace: Trace, disks: Mapping[str, SimulatedDisk]) -> None:
        self._trace = trace
        self._disks = disks
        self._applied: dict[str, int] = dict.fromkeys(disks, 0)
        for node_id, disk in disks.items():
            disk.asked = lambda writes, node_id=node_id: self._asked(node_id, writes)

    @override
    def started(self, life: Life) -> None:
        state = life.state
        self._trace.add(
            "start",
            life.node_id,
            life=life.number,
            term=state.term,
            last_index=state.log.last_index,
            snapshot_index=state.log.snapshot_index,
        )

    @override
    def changed(self, life: Life) -> None:
        state, role = life.state, life.role
        if role is not None and (role is not life.seen_role or state.term != life.seen_term):
            self._trace.add("role", life.node_id, role=role.name.value, term=state.term)
        if state.commit_index != life.seen_commit:
            self._trace.add("commit", life.node_id, index=state.commit_index)

    @override
    def applied(self, life: Life, index: int, command: bytes, result: Hashable) -> None:
        self._applied[life.node_id] = index
        self._trace.add("apply", life.node_id, first_index=life.applied_index + 1, last_index=index)

    @override
    def restored(self, life: Life, index: int, count: int) -> None:
        self._applied[life.node_id] = index

    @override
    def ended(self, life: Life) -> None:
        self._applied[life.node_id] = 0

    def _asked(self, node_id: str, writes: Sequence[Write]) -> None:
        for write in writes:
            if not isinstance(write, LogWrite):
                continue
            if write.truncate_from is not None:
                self._trace.add("truncate", node_id, from_index=write.truncate_from)
            for batch in write.entries:
                self._trace.add(
                    "append", node_id, first_index=batch.first_index, last_index=batch.last_index, term=batch.term
                )

    @override
    def written(self, node_id: str, writes: Sequence[Write]) -> None:
        state = self._disks[node_id].state
        self._trace.add(
            "durable",
            node_id,
            term=state.hard_state.term,
            voted_for=state.hard_state.voted_for,
            last_index=state.last_index,
        )
        snapshot = state.snapshot
        if snapshot is not None and any(isinstance(write, CommitSnapshot) for write in writes):
            # A node takes snapshots of what it has applied, and is sent those of what it has not.
            how = "taken" if snapshot.index <= self._applied[node_id] else "installed"
            self._trace.add("snapshot", node_id, index=snapshot.index, term=snapshot.term, how=how)
