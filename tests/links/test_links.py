"""Links between real processes that break and come back, while clients write. What it costs in seconds is no test's
business: `make links` makes a table of it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tests.links.network import Network, Way, stand_between
from tests.links.scenarios import ALONE, BRIDGE, DEAF_FOLLOWER, FLAPPING_FOLLOWER, ONE_LINK, RING, Scenario
from tests.links.watch import acknowledged_by, highest_term, leader_first, losses, wait_whole
from tests.processes.harness import Cluster, open_cluster

#: Elections for no other reason than that the machine is busy are rare; what is cut off in silence notices soon.
PATIENT: dict[str, Any] = {"election_timeout_s": (1.0, 2.0), "heartbeat_interval_s": 0.1}
SOME = 10
TIMES = 3


async def test_five_processes_whose_links_break(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, 5, apart=True, **PATIENT) as cluster:
        network = await stand_between(cluster)
        await cluster.start()
        await cluster.started()
        await cluster.load(1, pause_s=0.02)
        await wait_whole(cluster, network)

        for scenario in (ONE_LINK, RING, BRIDGE, FLAPPING_FOLLOWER):
            await _leads_on(cluster, network, scenario, Way.BROKEN)
        for scenario in (DEAF_FOLLOWER, ALONE):
            await _leads_on(cluster, network, scenario, Way.SILENT)
        await _leader_leaves_and_returns(cluster, network, Way.BROKEN)
        await _leader_leaves_and_returns(cluster, network, Way.SILENT)
        await cluster.settle()  # nothing that was acknowledged is lost, nothing was done twice


async def _leads_on(cluster: Cluster, network: Network, scenario: Scenario, way: Way) -> None:
    """The leader has its majority, so nobody else is elected, and clients notice nothing."""
    leader, *others = leader_first(cluster)
    links = scenario.breaks([leader, *others])
    cut_off = [node_id for node_id in others if (leader, node_id) in links]
    term, errors = highest_term(cluster), cluster.book.errors.total()
    for _ in range(min(scenario.times, TIMES)):
        before = {node_id: losses(cluster, node_id) for node_id in cut_off}
        network.turn(links, way)
        await cluster.until(partial(_have_lost_more, cluster, before))
        await cluster.acknowledged(SOME)
        network.mend()
        await wait_whole(cluster, network)
    await cluster.acknowledged(SOME)
    assert (cluster.leader(), highest_term(cluster)) == (leader, term), scenario.name
    assert cluster.book.errors.total() == errors, scenario.name


def _have_lost_more(cluster: Cluster, before: dict[str, int]) -> bool:
    return all(losses(cluster, node_id) > count for node_id, count in before.items())


async def _leader_leaves_and_returns(cluster: Cluster, network: Network, way: Way) -> None:
    """Another one is elected and commits; when the old one is back, it follows."""
    old, *others = leader_first(cluster)
    term = highest_term(cluster)
    network.turn({link for other in others for link in ((old, other), (other, old))}, way)
    await cluster.until(lambda: cluster.leader() in others)
    new = await cluster.wait_leader()
    before = acknowledged_by(cluster, new)
    await cluster.until(lambda: acknowledged_by(cluster, new) >= before + SOME)
    elected = highest_term(cluster)
    assert elected > term
    network.mend()
    await wait_whole(cluster, network)
    assert (cluster.leader(), highest_term(cluster)) == (new, elected)
