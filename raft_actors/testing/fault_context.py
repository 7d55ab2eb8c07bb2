"""What an action may do with a cluster, and what the actions of one plan share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from random import Random
from typing import Any

import trio

from raft_actors.errors import NodeStopped
from raft_actors.testing.faulty_cluster import FaultyCluster
from raft_actors.testing.plan import PlannedFaults, draw_faults
from raft_actors.transports.faults import Faults

LOOK_S = 0.1
_GLANCE_S = 0.02
_RUSH = 50.0
_SNAPSHOTS_S = 1.0


class FaultContext:
    """A cluster, and the plan by which actions work on it; `FaultInjector` takes the actions.

    Attributes:
        cluster, plan: what they work on, and by.
        rng: all of their choices; seeded with the cluster's seed.
        under_compound_fault: whether one is under way.
        returning: nodes that somebody sees to when they are down.
        changes: how many changes of members are asked for just now.
        left_at: when a node was last about to leave.
    """

    def __init__(self, cluster: FaultyCluster[Any, Any], plan: PlannedFaults) -> None:
        self.cluster = cluster
        self.plan = plan
        self.rng: Random = Random(f"{cluster.seed} torment")  # any text; another one would change every seed
        self.under_compound_fault = False
        self.returning: set[str] = set()
        self.changes: int = 0
        self.left_at: float = float("-inf")
        self._victims: set[str] = set()
        self._partitions = 0

    @contextmanager
    def changing(self) -> Generator[None]:
        """A change of members is asked for while this lasts."""
        self.changes += 1
        try:
            yield
        finally:
            self.changes -= 1

    def some_node(self) -> str:
        """A node, whether it runs or not."""
        return self.rng.choice(self.cluster.node_ids)

    def some_running(self) -> str | None:
        """A node that runs, or None."""
        names = list(self.cluster.nodes)
        return self.rng.choice(names) if names else None

    def some_victim(self) -> str | None:
        """A node whose disk may be destroyed: never so many that no majority of whole ones is left."""
        most = len(self.cluster.node_ids) - self.cluster.majority
        name = self.some_node()
        if name not in self._victims and len(self._victims) >= most:
            return None
        self._victims.add(name)
        return name

    def shuffled(self) -> list[str]:
        """All nodes, in a random order."""
        names = list(self.cluster.node_ids)
        self.rng.shuffle(names)
        return names

    def draw_faults(self) -> Faults:
        """Other faults of messages."""
        return draw_faults(self.rng)

    async def last(self, mean_s: float) -> None:
        """Let a fault last for a random time."""
        await trio.sleep(self.rng.expovariate(1 / mean_s))

    async def mend_partition(self) -> None:
        """Let a partition last for a while, and end it if it is still there."""
        number = self.partitioned()
        await self.last(3.0)
        self.mend_partition_if(number)

    def partitioned(self) -> int:
        """Note that there is another partition; return its number."""
        self._partitions += 1
        return self._partitions

    def mend_partition_if(self, number: int) -> None:
        """End a partition if it is still there."""
        if number == self._partitions:
            self.cluster.partition()

    async def wait_for(self, condition: Callable[[], bool], timeouts: float) -> bool:
        """Wait until something is so, for so many of the longest election timeouts at most; tell whether it is."""
        gives_up = trio.current_time() + timeouts * self.cluster.config.election_timeout_s[1]
        while not condition() and trio.current_time() < gives_up:  # noqa: ASYNC110 - it may depend on anything
            await trio.sleep(_GLANCE_S)
        return condition()

    async def stand(self, name: str) -> None:
        """Have a node stand for election, although there may be a leader: its clock rushes past any timeout, and then
        the connections between the leader and the others break, so that they let it.
        """
        clock = self.cluster.clock(name)
        rate = clock.rate
        if not 0 < rate < _RUSH:
            return
        clock.set_rate(_RUSH)
        longest_s = self.cluster.config.election_timeout_s[1] / _RUSH
        await trio.sleep(longest_s)
        leader = self.cluster.leader()
        for other in self.cluster.node_ids:
            if leader is not None and other not in (leader, name):
                self.cluster.network.reset(leader, other)
        await trio.sleep(longest_s)
        if clock.rate == _RUSH:
            clock.set_rate(rate)

    async def take_down(self, name: str, *, down_s: float = 0.0) -> None:
        """Have a node down, and all of it gone, for so long at least before anybody starts it again."""
        while name in self.returning and name not in self.cluster.lost:  # noqa: ASYNC110 - others poll for it too
            await trio.sleep(LOOK_S)
        self.returning.add(name)
        if name in self.cluster.nodes:
            self.cluster.crash(name)
        await self.cluster.wait_down(name)
        if down_s:
            await trio.sleep(down_s)
        self.returning.discard(name)

    async def take_snapshot(self, name: str) -> None:
        """Have a node take a snapshot, whatever becomes of it."""
        try:
            await self.cluster.node(name).take_snapshot()
        except NodeStopped:
            return

    async def take_snapshots(self, names: Iterable[str]) -> None:
        """Have those of these nodes that run take snapshots at the same time, and wait for them, but not for long."""
        with trio.move_on_after(_SNAPSHOTS_S):
            async with trio.open_nursery() as nursery:
                for name in names:
                    if name in self.cluster.nodes:
                        nursery.start_soon(self.take_snapshot, name)
