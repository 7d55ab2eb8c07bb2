"""What is replicated: which run of which job was claimed last; and the loop that claims and runs what is due."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping

import attrs
import trio

from raft_actors import Leadership, Node, NodeStopped, ProposalError, StateMachine, attrs_commands


@attrs.frozen
class Claim:
    """Run number `slot` of this job is mine, says a node: counted from 1970 in periods of the job."""

    job: str
    slot: int
    node: str


class Claims(StateMachine[Claim, bool]):
    """Gives each run to one claimant: the first. Old runs are given to nobody any more."""

    commands = attrs_commands(Claim)

    def __init__(self) -> None:
        self.latest: dict[str, tuple[int, str]] = {}

    def apply(self, command: Claim) -> bool:
        """Whether the claimant has it. A claim that comes twice has it once, so nobody runs it twice."""
        slot, _node = self.latest.get(command.job, (-1, ""))
        if command.slot <= slot:
            return False
        self.latest[command.job] = (command.slot, command.node)
        return True

    def snapshot(self) -> Iterable[bytes]:
        """All of it, as JSON."""
        return [json.dumps(self.latest).encode()]

    async def restore(self, chunks: AsyncIterable[bytes]) -> None:
        """Be what the snapshot says."""
        latest = json.loads(b"".join([chunk async for chunk in chunks]))
        self.latest = {job: (slot, node) for job, (slot, node) in latest.items()}


@attrs.frozen
class Job:
    """What to run, and how often."""

    period_s: float
    run: Callable[[], Awaitable[None]]


async def run_jobs(node: Node[Claims], jobs: Mapping[str, Job], now: Callable[[], float] = time.time) -> None:
    """Run each job once in each of its periods, as long as this node leads; return when the node has ended.

    A run that was claimed and not finished, because the node died, is not made up for: *at most once*. For *at least
    once* have a job say by another command that it is done, and the next leader look for what is not.
    """

    async def one(leadership: Leadership, name: str, job: Job) -> None:
        slot = int(now() // job.period_s)
        while True:
            try:
                if await leadership.propose(Claim(name, slot, node.node_id)):
                    await job.run()
            except ProposalError:
                pass  # leadership is over, or will be: then this task is cancelled; else the next period comes
            await trio.sleep(max(0.0, (slot + 1) * job.period_s - now()))
            slot = max(slot + 1, int(now() // job.period_s))  # two clocks: it may be a little before its time

    with contextlib.suppress(NodeStopped):
        while True:
            async with node.while_leading() as leadership, trio.open_nursery() as nursery:
                for name, job in jobs.items():
                    nursery.start_soon(one, leadership, name, job)
