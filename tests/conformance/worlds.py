"""Members of one small cluster over a transport of each kind, for the contract that all transports keep."""

from __future__ import annotations

from typing import Any

import attrs

from raft_actors.transports import MemoryNetwork, TcpTransport, Transport
from raft_actors.transports.abc import PeerLost
from tests.transports.support import Member

QUEUE = 8  # messages that may wait on the way to one peer


def ignore(_peer: str) -> None: ...


@attrs.define
class World:
    """Makes the members of one small cluster."""

    addresses: dict[str, str]
    network: MemoryNetwork | None

    def transport(self, node_id: str) -> Transport:
        if self.network is not None:
            return self.network.transport(node_id)
        return TcpTransport(self.addresses[node_id], max_queue_messages=QUEUE, seed=1)

    def member(
        self,
        node_id: str,
        *,
        cluster_id: str = "test",
        peers: str = "abc",
        full: bool = False,
        voters: str = "",
        lost: PeerLost = ignore,
        **identity: Any,
    ) -> Member:
        others = {peer: self.addresses[peer] for peer in peers if peer != node_id}
        member = Member.make(self.transport(node_id), node_id, others, cluster_id=cluster_id, full=full)
        member.endpoint = attrs.evolve(member.endpoint, initial_voters=tuple(voters), peer_lost=lost, **identity)
        return member
