"""Two workers, of which one dies with a job in its hands: `python -m examples.job_queue`."""

from __future__ import annotations

import trio

from examples.job_queue.queue import Done, GiveBack, Job, JobQueue, Submit, Take
from examples.three_nodes import leader_of, three_nodes
from raft_actors import AppliedCommand, Node


async def next_job(node: Node[JobQueue], worker: str) -> Job:
    """Take a job; where none waits, look again after each command that may have brought one."""
    async with node.applied() as log:  # opened first: what comes after the look below is not missed
        while (job := await node.propose(Take(worker))) is None:
            async for item in log:
                if isinstance(item, AppliedCommand) and isinstance(item.command, Submit | GiveBack):
                    break
        return job


async def do_one(node: Node[JobQueue], worker: str) -> None:
    """Wait for a job, and do it."""
    job = await next_job(node, worker)
    print(f"{worker} has {job.name}: {job.payload}")
    await node.propose(Done(worker, job.name))


async def main() -> None:
    """Submit jobs, let workers come and go, and see that each job is done."""
    async with three_nodes(JobQueue) as nodes:
        node = leader_of(nodes)
        await node.propose(Submit("letter", "print it"))
        await node.propose(Submit("parcel", "post it"))
        await node.propose(Submit("letter", "print it"))  # a client that did not know whether the first had counted
        job = await next_job(node, "anna")
        print(f"anna has {job.name}, and is not heard of again")
        await do_one(node, "bert")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(do_one, node, "bert")  # finds nothing, and waits
            await node.propose(GiveBack("anna"))
        print("done:", await node.read(lambda queue: queue.done))


trio.run(main)
