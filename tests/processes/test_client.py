"""A client beside real processes: it goes on when the node that it knows is killed, and when the leader is."""

from __future__ import annotations

from pathlib import Path

import trio

from raft_actors import open_client
from tests.processes.client_soak import Load
from tests.processes.harness import open_cluster
from tests.processes.ledger import Ledger, Total


async def test_kill_9_of_the_node_that_it_knows_and_of_the_leader_reach_no_caller(tmp_path: Path) -> None:
    async with open_cluster(tmp_path) as cluster:
        await cluster.start()
        await cluster.started()
        known = next(node for node in cluster.voters if node != cluster.leader())
        async with open_client([cluster.voters[known]], Ledger, cluster="processes") as client:
            load = Load(client, cluster)
            async with trio.open_nursery() as nursery:
                for number in range(4):
                    nursery.start_soon(load.write, f"outside {number}")
                nursery.start_soon(load.read)
                await cluster.acknowledged(20)
                await cluster.kill(known)
                await cluster.acknowledged(20)
                await cluster.start(known)
                await cluster.started(known)
                await cluster.kill(await cluster.wait_leader())
                await cluster.acknowledged(20)
                load.over = True
            assert load.errors == []
            assert await client.read(Total()) == len(load.answered)
        for node in set(cluster.voters) - set(cluster.alive()):
            await cluster.start(node)
        notes = (await cluster.settle())["notes"]
        counts = {name: sum(one == name for one, _ in load.answered) for name, _ in load.answered}
        assert notes == {name: [[1, count]] for name, count in counts.items()}
