"""A job goes on at another node when leadership does: `python -m examples.leader_cron`."""

from __future__ import annotations

from functools import partial

import trio

from examples.leader_cron.cron import Claims, Job, run_jobs
from examples.three_nodes import leader_of, three_nodes
from raft_actors import Node

PERIOD_S = 0.1


async def main() -> None:
    """Every node runs the loop; the leader runs the job."""
    runs: list[tuple[int, str]] = []
    enough = {3: trio.Event(), 6: trio.Event()}

    async def report(node: Node[Claims]) -> None:
        slot = (await node.read(lambda claims: claims.latest["report"]))[0]
        runs.append((slot, node.node_id))
        if len(runs) in enough:
            enough[len(runs)].set()

    async with three_nodes(Claims) as nodes, trio.open_nursery() as nursery:
        for node in nodes.values():
            nursery.start_soon(run_jobs, node, {"report": Job(PERIOD_S, partial(report, node))})
        await enough[3].wait()
        first = leader_of(nodes).node_id
        second = await nodes[first].transfer_leadership()
        await enough[6].wait()
        nursery.cancel_scope.cancel()
    slots = [slot for slot, _ in runs]
    print("each run once:", len(slots) == len(set(slots)))
    print("at both leaders:", {first, second} == {node for _, node in runs})


trio.run(main)
