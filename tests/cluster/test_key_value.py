"""A key-value store on top stays linearizable, whatever happens to the cluster (as in the MIT 6.5840 labs)."""

from __future__ import annotations

import attrs
import pytest
import trio

from raft_actors import NodeConfig
from raft_actors.testing import Operation, Verdict, check_history, open_cluster
from tests.cluster.key_value import Client, Cluster, KeyValue, KeyValueModel
from tests.cluster.support import seeds, snapshotting

KEYS = ("a", "b", "c", "d", "e")


@attrs.frozen(kw_only=True)
class Scenario:
    """What clients and cluster are put through."""

    nodes: int = 5
    clients: int = 5
    unreliable: bool = False
    late_replies: bool = False
    crashes: bool = False
    partitions: bool = False
    snapshots: bool = False
    duration_s: float = 8.0


SCENARIOS = {
    "one client": Scenario(nodes=3, clients=1, duration_s=3),
    "many clients": Scenario(clients=15, duration_s=3),
    "unreliable": Scenario(unreliable=True),
    "late replies": Scenario(unreliable=True, late_replies=True),
    "partitions": Scenario(partitions=True),
    "partitions, unreliable": Scenario(partitions=True, unreliable=True),
    "crashes": Scenario(crashes=True),
    "crashes, unreliable": Scenario(crashes=True, unreliable=True),
    "crashes and partitions": Scenario(crashes=True, partitions=True),
    "snapshots": Scenario(snapshots=True, duration_s=4),
    "snapshots, crashes": Scenario(snapshots=True, crashes=True),
    "snapshots, crashes, partitions": Scenario(snapshots=True, crashes=True, partitions=True),
    "snapshots, all of it": Scenario(snapshots=True, unreliable=True, crashes=True, partitions=True),
    "all of it, seven nodes, fifteen clients": Scenario(
        nodes=7, clients=15, snapshots=True, unreliable=True, crashes=True, partitions=True
    ),
}


async def make_trouble(cluster: Cluster, scenario: Scenario) -> None:
    """Partition the cluster at random and crash nodes at random, then give it a moment of peace."""
    rng, end = cluster.rng, trio.current_time() + scenario.duration_s
    while trio.current_time() < end:
        if scenario.partitions:
            names = list(cluster.node_ids)
            rng.shuffle(names)
            cut = rng.randrange(len(names))
            cluster.partition(names[:cut], names[cut:])
        await trio.sleep(rng.uniform(0.2, 1.5))
        if scenario.crashes:
            victims = rng.sample(cluster.node_ids, rng.choice((1, 1, 2, len(cluster.node_ids))))
            for name in victims:
                cluster.crash(name)
            await trio.sleep(rng.uniform(0, 0.5))
            for name in victims:
                await cluster.start(name)
    cluster.heal()
    await trio.sleep(1)


async def run_clients(cluster: Cluster, scenario: Scenario) -> list[Operation]:
    history: list[Operation] = []
    clients = [Client(f"c{number}", cluster, KEYS, history) for number in range(scenario.clients)]
    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(client.run)
        await make_trouble(cluster, scenario)
        for client in clients:
            client.done = True
    return history


@pytest.mark.parametrize("name", SCENARIOS)
@seeds(3, usually=1)
async def test_linearizable(seed: int, name: str) -> None:
    scenario = SCENARIOS[name]
    config = snapshotting(20) if scenario.snapshots else NodeConfig()
    async with open_cluster(KeyValue, nodes=scenario.nodes, seed=seed, config=config) as cluster:
        if scenario.unreliable:
            cluster.unreliable(late_replies=scenario.late_replies)
        history = await run_clients(cluster, scenario)
        answered = [operation for operation in history if operation.end_s < float("inf")]
        assert len(answered) > 20, "too little was done to say anything"
        report = check_history(KeyValueModel(), history)
        assert report.verdict is Verdict.OK, str(report)
        if scenario.snapshots:
            assert any(node.status().snapshot_index for node in cluster.nodes.values())
