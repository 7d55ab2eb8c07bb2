"""What a node tells its transport of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_actors.config import MAX_MESSAGE_BYTES
from raft_actors.node.events import CertificateExpiring
from raft_actors.node.observing import peer_addresses
from raft_actors.transports.abc import Endpoint

if TYPE_CHECKING:
    from raft_actors.node.supervisor import Supervisor


def endpoint_of(supervisor: Supervisor, initial_voters: tuple[str, ...]) -> Endpoint:
    """The node as its transport sees it. Its store is open."""
    cluster, config, node_id = supervisor.cluster, supervisor.config, supervisor.node_id
    acquaintances, state = supervisor.acquaintances, supervisor.recovered_state()
    clients = supervisor.clients
    return Endpoint(
        cluster.cluster_id,
        node_id,
        peer_addresses(state),
        supervisor.deliver,
        MAX_MESSAGE_BYTES,
        peer_lost=supervisor.peer_lost,
        peer_reached=supervisor.peer_reached,
        initial_voters=initial_voters,
        heartbeat_interval_s=config.heartbeat_interval_s,
        election_timeout_s=config.election_timeout_s[0],
        leases=str(cluster.leases or ""),
        skipped_commands=cluster.skipped_text,
        certificate_expiring=lambda expires_at: supervisor.events.publish(CertificateExpiring(expires_at)),
        incarnation=acquaintances.incarnation,
        address=acquaintances.address,
        fallbacks=cluster.voters,
        configuration_index=lambda: acquaintances.newest().index,
        configuration_term=lambda: acquaintances.newest().term,
        stranger=supervisor.welcome,
        operate=supervisor.operate,
        admit=acquaintances.admit,
        refused=acquaintances.refused,
        converse=None if clients is None else clients.converse,
        max_request_bytes=0 if clients is None else clients.most_request_bytes,
        trusts=supervisor.trusts,
        start=acquaintances.starts.latest,
        met=acquaintances.met,
    )
