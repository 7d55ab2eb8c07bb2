"""One scenario on real processes, with a clock: how long clients' writes stood still."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import trio
from typing_extensions import override

from raft_actors import NodeConfig
from tests.links.network import Network, Way, stand_between
from tests.links.scenarios import Scenario
from tests.links.watch import highest_term, leader_first, wait_whole
from tests.processes.book import Book
from tests.processes.harness import Cluster, open_cluster

CLIENTS = 2
PAUSE_S = 0.005
"""Each client waits so long between the end of one write and the next."""

_DEFAULT = NodeConfig()
_DEFAULTS: dict[str, Any] = {
    "election_timeout_s": _DEFAULT.election_timeout_s,
    "heartbeat_interval_s": _DEFAULT.heartbeat_interval_s,
}


@attrs.frozen
class Outcome:
    """What a scenario cost.

    Attributes:
        gap_s: the longest time between two acknowledgements, from the first break on until all was whole again.
        terms: how many terms higher the highest was in the end.
        led_on: whether the same node led in the end.
        errors: writes that clients were not acknowledged.
    """

    scenario: Scenario
    size: int
    way: Way
    gap_s: float
    terms: int
    led_on: bool
    errors: int

    @property
    def wrong(self) -> bool:
        """Whether a leader that had its majority all along did not lead on unnoticed."""
        return self.scenario.leads_on and not (self.led_on and self.terms == 0 and self.errors == 0)


@attrs.define(eq=False)
class TimedBook(Book):
    """A book that knows when notes were acknowledged, on Trio's clock."""

    times: list[float] = attrs.field(factory=list[float])

    @override
    def note(self, event: dict[str, Any]) -> bool:
        if event["event"] == "ack":
            self.times.append(trio.current_time())
        return super().note(event)

    def longest_gap_s(self, begins: float) -> float:
        """The longest time without an acknowledgement from then until now."""
        return max(later - earlier for earlier, later in pairwise([*self._since(begins), trio.current_time()]))

    def _since(self, begins: float) -> list[float]:
        return [begins, *(time for time in self.times if time > begins)]


@attrs.define(eq=False)
class Trials:
    """A cluster with default settings in which scenarios are tried one after another."""

    cluster: Cluster
    network: Network
    book: TimedBook

    async def run(self, scenario: Scenario, way: Way, hold_s: float) -> Outcome:
        """Break links for so long, mend them and wait until all are whole, as often as the scenario says."""
        cluster = self.cluster
        leader, term, errors = cluster.leader(), highest_term(cluster), self.book.errors.total()
        begins = trio.current_time()
        for _ in range(scenario.times):
            self.network.turn(scenario.breaks(leader_first(cluster)), way)
            await trio.sleep(hold_s)
            self.network.mend()
            await wait_whole(cluster, self.network)
        return Outcome(
            scenario,
            len(cluster.voters),
            way,
            self.book.longest_gap_s(begins),
            highest_term(cluster) - term,
            cluster.leader() == leader,
            self.book.errors.total() - errors,
        )


@asynccontextmanager
async def open_trials(folder: Path, size: int) -> AsyncGenerator[Trials, None]:
    """Start a cluster whose clients write; see in the end that no write was lost."""
    async with open_cluster(folder, size, limit_s=900.0, apart=True, **_DEFAULTS) as cluster:
        cluster.book = book = TimedBook()
        network = await stand_between(cluster)
        await cluster.start()
        await cluster.started()
        await cluster.load(CLIENTS, pause_s=PAUSE_S)
        await wait_whole(cluster, network)
        yield Trials(cluster, network, book)
        await cluster.settle()
