"""A running node, looked at: its status and its statistics."""

from __future__ import annotations

from collections import Counter

import trio

from raft_actors.actors.home_thread import current_task
from raft_actors.errors import InternalError, NodeStopped
from raft_actors.node.applier import Applier
from raft_actors.node.status import NodeStatistics, NodeStatus
from raft_actors.node.supervisor import Supervisor
from raft_actors.raft.transitions import RoleName


def applier_of(supervisor: Supervisor) -> Applier:
    """The applier, for callers that can't come before recovery. Raises as `Supervisor.recovered_state` does."""
    supervisor.recovered_state()
    if supervisor.applier is None:
        raise InternalError("a recovered node has no applier")
    return supervisor.applier


async def wait_leader(supervisor: Supervisor, least_term: int = 0) -> str:
    """Wait until a leader of this term or a later one is known; return its id. Raises as `Node.wait_leader`."""
    current_task()
    supervisor.check_caller()
    await trio.lowlevel.checkpoint()
    while True:
        if supervisor.over:
            raise NodeStopped(supervisor.node_id) from supervisor.crash
        role = supervisor.role
        if role is not None and role.state.leader is not None and role.state.term >= least_term:
            return role.state.leader
        if role is not None:
            role.check_not_left_out()
        await supervisor.changed.park()


async def wait_applied(supervisor: Supervisor, index: int) -> None:
    """Wait until the entry at `index` has been applied, or a snapshot restored. Raises as `Node.wait_applied`."""
    current_task()
    supervisor.check_caller()
    applier = applier_of(supervisor)
    await trio.lowlevel.checkpoint()
    while applier.applied_index < index:
        if applier.stopped:
            raise NodeStopped(supervisor.node_id) from supervisor.crash
        role = supervisor.role
        if role is not None and role.state.commit_index < index:
            role.check_not_left_out()
        await applier.wait_moved()


def status_of(supervisor: Supervisor, role: RoleName | None) -> NodeStatus:
    """A picture of the node, which has this role to the outside."""
    state = supervisor.recovered_state()
    log = state.log
    return NodeStatus(
        node_id=supervisor.node_id,
        cluster_id=supervisor.cluster.cluster_id,
        state=supervisor.life,
        role=role,
        term=state.term,
        voted_for=state.voted_for,
        leader=None if supervisor.over else state.leader,
        voters=tuple(sorted(state.voters)),
        learners=tuple(sorted(state.configuration.learners - state.voters)),
        is_member=state.is_member,
        commit_index=state.commit_index,
        applied_index=applier_of(supervisor).applied_index,
        durable_index=log.durable_index,
        first_index=log.first_index,
        last_index=log.last_index,
        snapshot_index=log.snapshot_index,
        snapshot_term=log.snapshot.term if log.snapshot else 0,
    )


def statistics_of(supervisor: Supervisor) -> NodeStatistics:
    """The node's counters and queue lengths."""
    state = supervisor.recovered_state()
    admission = supervisor.admission
    return NodeStatistics(
        pending_proposals=admission.count,
        pending_bytes=admission.bytes,
        waiting_proposals=admission.waits,
        proposal_window=admission.window.size,
        proposal_delay_s=admission.window.delay_s,
        unsynced_bytes=state.unsynced_bytes,
        dropped_messages=supervisor.dropped_messages,
        refused_messages=Counter(supervisor.refused_messages.by_cause),
        elections=supervisor.elections,
        membership_changes=state.configurations.changes,
        inbox=supervisor.inbox.statistics(),
        persistence=supervisor.persistence.statistics(),
        storage=supervisor.storage.statistics(),
        applier=applier_of(supervisor).statistics(),
        transport=supervisor.transport.statistics(),
    )
