"""Clients that are no members, under all that befalls a simulated cluster; what must hold is the same as for nodes.

    python -m tests.cluster.client_faults --seeds 200

Each seed draws a plan, as `raft-actors simulate` does, and runs it under two `RaftClient`s with proposers and readers,
whose links to nodes are cut now and then. No call may fail; each command is applied once, where its result says; no
read misses what was acknowledged before it began; and all are answered once everything is healed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from random import Random

import attrs
import trio

from raft_actors import ReadYourWrites
from raft_actors.testing import simulate
from raft_actors.testing.event_queue import SimulationClock
from raft_actors.testing.plans import LEAST_NODES, Plan
from raft_actors.testing.simulation import Simulation
from tests.cluster.client_support import Client, Count, ReadableLog, client_of

CLIENTS = ("client 1", "client 2")
_PROPOSERS, _READERS = 3, 2
#: How many nodes there may be, beside those of the smallest cluster.
_MORE_NODES = 2
_THINK_S = (0.0, 0.2)
_ANSWERED_WITHIN_S = 60.0
_PATIENCE_S = 1000.0


@attrs.define(eq=False)
class Clients:
    """What the callers of all clients were told.

    Attributes:
        results: command → its place, of those that were acknowledged.
        reads: how many were answered.
        over: whether no more is to be called.
    """

    cluster: Simulation[bytes, int]
    results: dict[bytes, object] = attrs.field(factory=dict[bytes, object])
    reads: int = 0
    over: bool = False

    async def run(self, name: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open a client, and have proposers and readers use it."""
        some = Random(f"{self.cluster.seed} {name}").choice(self.cluster.node_ids)
        async with client_of(self.cluster, f"{some}.test:1", name=name, patience_s=_PATIENCE_S) as client:
            task_status.started()
            async with trio.open_nursery() as nursery:
                for number in range(_PROPOSERS):
                    nursery.start_soon(self._propose, client, f"{name}, {number}")
                for number in range(_READERS):
                    nursery.start_soon(self._read, client, f"{name}, reader {number}")

    async def _propose(self, client: Client, name: str) -> None:
        rng = Random(f"{self.cluster.seed} {name}")
        for count in itertools.count():
            if self.over:
                break
            commands = [f"{name}: {count} {place}".encode() for place in range(rng.choice((1, 1, 3)))]
            if len(commands) == 1:
                answers: list[object] = [await client.propose(commands[0])]
            else:
                answers = [*await client.propose_many(commands)]
            self.results.update(zip(commands, answers, strict=True))
            await trio.sleep(rng.uniform(*_THINK_S))

    async def _read(self, client: Client, name: str) -> None:
        rng = Random(f"{self.cluster.seed} {name}")
        while not self.over:
            known, token = len(self.results), client.read_token()
            if rng.random() < 0.8:
                seen = await client.read(Count())
                if seen < known:
                    raise self.cluster.failed(f"stale read: {name} saw {seen} commands, and {known} were acknowledged")
            else:
                result = await client.read_result(Count(), ReadYourWrites(token))
                if result.index < token:
                    raise self.cluster.failed(f"stale read: {name} saw index {result.index}, its token was {token}")
            self.reads += 1
            await trio.sleep(rng.uniform(*_THINK_S))

    async def lose_touch(self) -> None:
        """Let a client and a node not hear each other for a while, or one of them not the other."""
        rng, network = Random(f"{self.cluster.seed} links of clients"), self.cluster.network
        while True:
            await trio.sleep(rng.expovariate(0.5))
            link = [rng.choice(CLIENTS), rng.choice(self.cluster.node_ids)]
            ways = [link, link[::-1]][rng.choice((slice(0, 1), slice(1, 2), slice(0, 2)))]
            for sender, receiver in ways:
                network.cut(sender, receiver)
            await trio.sleep(rng.uniform(0.05, 2.0))
            for sender, receiver in ways:
                network.mend(sender, receiver)


def plan_of(seed: int) -> Plan:
    """The seed's plan. All nodes are of a version that knows sessions."""
    plan = Plan.draw(Random(f"{seed} plan"))
    actions = {name: weight for name, weight in plan.actions.items() if name != "change_version"}
    return attrs.evolve(plan, older=0, actions=actions)


async def clients_under_faults(seed: int, seconds: float) -> Clients:
    """Run a seed.

    Raises:
        CheckFailed: something that must hold did not.
        ProposalError: a call failed.
    """
    plan, nodes = plan_of(seed), LEAST_NODES + Random(f"{seed} nodes").randint(0, _MORE_NODES)
    async with simulate(
        ReadableLog, nodes=nodes, seed=seed, config=plan.config, leases=plan.leases, disk_delay_s=0.0
    ) as cluster:
        clients = Clients(cluster)
        with trio.move_on_after(seconds + _PATIENCE_S) as patience:
            async with trio.open_nursery() as nursery:
                for name in CLIENTS:
                    await nursery.start(clients.run, name)
                async with trio.open_nursery() as trouble:
                    trouble.start_soon(clients.lose_touch)
                    await cluster.inject_faults(seconds, plan)
                    trouble.cancel_scope.cancel()
                await cluster.check_liveness()
                clients.over = True
                patience.deadline = trio.current_time() + _ANSWERED_WITHIN_S
        if patience.cancelled_caught:
            raise cluster.failed("liveness: a client was not answered in time after all was healed")
        applied = [entry.command for entry in cluster.facts.history]
        if len(set(applied)) < len(applied):
            raise cluster.failed("once: a command of a client was applied twice")
        places = {command: place for place, command in enumerate(applied, 1)}
        wrong = [command for command, place in clients.results.items() if places.get(command) != place]
        if wrong:
            raise cluster.failed(f"once: {wrong[0]!r} is not where its result says")
    return clients


def main() -> int:
    """Return 1 if a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.client_faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0, help="simulated, of each (%(default)s)")
    options = parser.parse_args()
    failed, proposals, reads = 0, 0, 0
    for seed in range(options.first, options.first + options.seeds):
        try:
            clients = trio.run(clients_under_faults, seed, options.seconds, clock=SimulationClock())
        except Exception as error:  # noqa: BLE001 - a verdict comes of every error
            failed += 1
            sys.stdout.write(f"seed {seed}: {error!r}\n")
        else:
            proposals += len(clients.results)
            reads += clients.reads
    sys.stdout.write(f"{options.seeds} seeds, {failed} failed: {proposals:,} commands, {reads:,} reads\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
