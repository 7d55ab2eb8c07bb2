"""Carries out a plan: one action after the other, several at a time, and nodes that come back after their crashes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import trio

from raft_actors.testing.actions import ACTIONS
from raft_actors.testing.fault_context import LOOK_S, FaultContext
from raft_actors.testing.faulty_cluster import FaultyCluster
from raft_actors.testing.lost_stores import take_in_all
from raft_actors.testing.member_actions import MEMBER_ACTIONS
from raft_actors.testing.plan import PlannedFaults


class FaultInjector(FaultContext):
    """A plan at work on a cluster.

    Attributes:
        taken: action → how often it was taken.
    """

    def __init__(self, cluster: FaultyCluster[Any, Any], plan: PlannedFaults) -> None:
        super().__init__(cluster, plan)
        self.taken: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Inject faults for so long, then heal the cluster."""
        ends = trio.current_time() + seconds
        self._begin()
        names, weights = list(self.plan.actions), list(self.plan.actions.values())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._bring_back, nursery)
            while names:
                next_at = trio.current_time() + self.rng.expovariate(1 / self.plan.gap_s)
                if next_at >= ends:
                    break
                await trio.sleep_until(next_at)
                name = self.rng.choices(names, weights)[0]
                self.taken[name] += 1
                nursery.start_soon({**ACTIONS, **MEMBER_ACTIONS}[name], self)
            await trio.sleep_until(ends)
            nursery.cancel_scope.cancel()
        await self._upgrade_all()
        await self.cluster.heal_all()
        await take_in_all(self.cluster)

    async def _upgrade_all(self) -> None:
        """Where versions have changed, the newest one is everybody's in the end."""
        network = self.cluster.network
        if "change_version" in self.plan.actions:
            for name in sorted(network.older):
                if name in self.cluster.nodes:
                    self.cluster.crash(name)
                await self.cluster.wait_down(name)
            network.older.clear()

    def _begin(self) -> None:
        cluster, plan = self.cluster, self.plan
        cluster.set_faults(plan.requests, plan.replies)
        cluster.network.outlive = plan.outlive
        cluster.network.older = dict.fromkeys(cluster.node_ids[: plan.older], frozenset())
        for name in cluster.node_ids:
            cluster.disk(name).delay_s = plan.disk_s
            cluster.clock(name).set_rate(self.rng.uniform(*plan.clock_rates))
            if plan.leases is not None:
                error = plan.leases.clock_error
                cluster.clock(name).boottime_rate = self.rng.choice((1 - error, 1.0, 1 + error))

    async def _bring_back(self, nursery: trio.Nursery) -> None:
        """Start every node that is down again, some time after."""
        cluster = self.cluster
        while True:
            await trio.sleep(LOOK_S)
            for name in cluster.node_ids:
                if name not in cluster.nodes and name not in cluster.lost and name not in self.returning:
                    self.returning.add(name)
                    nursery.start_soon(self._start_later, name)

    async def _start_later(self, name: str) -> None:
        await trio.sleep(self.rng.expovariate(1 / self.plan.down_s))
        await self.cluster.try_start(name)
        self.returning.discard(name)
