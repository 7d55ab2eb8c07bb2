"""What to wait for, and to look at, while links between real processes break and are mended."""

from __future__ import annotations

from tests.links.network import Network
from tests.processes.harness import Cluster


def leader_first(cluster: Cluster) -> list[str]:
    """All nodes, whoever leads first."""
    return sorted(cluster.voters, key=lambda node_id: (node_id != cluster.leader(), node_id))


def highest_term(cluster: Cluster) -> int:
    """The highest term that any node has told of."""
    return max(int(event.get("term", 0)) for worker in cluster.workers.values() for event in worker.events)


async def wait_whole(cluster: Cluster, network: Network) -> None:
    """Wait until all links work, and all nodes follow one leader.

    Looks again whenever something is reported, so there must be writes.
    """
    await cluster.wait_leader()
    await cluster.until(lambda: network.is_whole() and _follow_one(cluster))


def _follow_one(cluster: Cluster) -> bool:
    known = [worker.last("leader") for worker in cluster.workers.values()]
    leaders = {None if event is None else event["leader"] for event in known}
    return leaders == {cluster.leader()} and None not in leaders


def losses(cluster: Cluster, node_id: str) -> int:
    """How often a node has told that it knows of no leader."""
    return sum(event["event"] == "leader" and event["leader"] is None for event in cluster.workers[node_id].events)


def acknowledged_by(cluster: Cluster, node_id: str) -> int:
    """How many notes a node has acknowledged as leader."""
    return sum(len(acks) for client, acks in cluster.book.acks.items() if client.startswith(f"{node_id}."))
