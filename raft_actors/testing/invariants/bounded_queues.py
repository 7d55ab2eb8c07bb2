"""Every queue has its bound (the table "Bounds" in docs/architecture.md): one slow part of a cluster must not fill the
memory of another."""

from __future__ import annotations

from typing_extensions import override

from raft_actors.node.role_actors import LeaderActor
from raft_actors.node.supervisor import Supervisor
from raft_actors.raft.entries import BATCH_OVERHEAD, ENTRY_OVERHEAD
from raft_actors.raft.roles import Leader
from raft_actors.testing.invariants.base import Invariant
from raft_actors.testing.life import Life

#: Looks between two measurements. What exceeds its bound for want of back-pressure does so for longer.
_STRIDE = 8


class BoundedQueues(Invariant):
    """No queue of a node is longer than its settings say.

    Mailboxes refuse what is too much by themselves. What is measured here are the queues whose bound is a rule that the
    code must keep: proposals, what waits for the disk, recent entries in memory, and appends that were not answered.
    """

    name = "bounded queues"
    source = "docs/architecture.md, Bounds"

    def __init__(self) -> None:
        super().__init__()
        self._looks = 0
        self._most_admitted: dict[Life, int] = {}

    @override
    def changed(self, life: Life) -> None:
        """Measure now and then."""
        self._looks += 1
        supervisor = life.supervisor
        if supervisor is None:
            return
        most = self._most_admitted
        most[life] = max(most.get(life, 0), supervisor.admission.bytes)
        if self._looks % _STRIDE == 0:
            self.measure(life, supervisor)

    def measure(self, life: Life, supervisor: Supervisor) -> None:
        """Compare all queues of a node with their bounds."""
        config, state, admission = supervisor.config, life.state, supervisor.admission
        # One command may be larger than what else is a limit: it goes alone.
        command = config.max_command_bytes + BATCH_OVERHEAD + ENTRY_OVERHEAD
        largest = max(config.max_append_bytes, command)
        if admission.count > config.max_pending_proposals:
            self._too_many(life, "proposals and reads", admission.count, config.max_pending_proposals)
        if admission.bytes > config.max_uncommitted_bytes and admission.count > 1:
            self._too_many(life, "bytes of proposals", admission.bytes, config.max_uncommitted_bytes)
        # A leader asks whether the disk is behind before it takes what was admitted; a follower, before a message. What
        # is proposed together may be larger than what else is admitted, and be given up before it is on the disk.
        admitted = max(config.max_uncommitted_bytes, admission.bytes, self._most_admitted.get(life, 0))
        unsynced = config.max_uncommitted_bytes + admitted + 2 * largest
        if state.unsynced_bytes > unsynced:
            self._too_many(life, "bytes on their way to the disk", state.unsynced_bytes, unsynced)
        cached = config.log_cache_bytes + state.unsynced_bytes + largest
        if state.log.cached_bytes > cached:
            self._too_many(life, "bytes of entries in memory", state.log.cached_bytes, cached)
        if isinstance(life.role, Leader):
            self._measure_leader(life, life.role)
        if isinstance(supervisor.role_actor, LeaderActor):
            self._measure_replicators(life, supervisor.role_actor, largest)

    def _measure_leader(self, life: Life, leader: Leader) -> None:
        config = leader.state.config
        uncommitted = len(leader.intake.uncommitted)
        if uncommitted > config.max_pending_proposals:
            self._too_many(life, "proposals that wait for a majority", uncommitted, config.max_pending_proposals)

    def _measure_replicators(self, life: Life, actor: LeaderActor, largest: int) -> None:
        config = life.state.config
        for peer, replicator in actor.replication.replicators.items():
            progress = replicator.progress
            if len(progress.inflight) > config.max_inflight_appends:
                what = f"appends to {peer!r} without an answer"
                self._too_many(life, what, len(progress.inflight), config.max_inflight_appends)
            in_flight = config.max_inflight_bytes + largest
            if progress.inflight_bytes > in_flight:
                what = f"bytes of appends to {peer!r} without an answer"
                self._too_many(life, what, progress.inflight_bytes, in_flight)

    def _too_many(self, life: Life, what: str, count: int, bound: int) -> None:
        self.fail(f"{life} has {count:,} {what}; there should be at most {bound:,}")
