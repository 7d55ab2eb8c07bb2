"""One graph, imposed on a healthy simulated cluster: does anybody lead and commit, and what does it cost?"""

from __future__ import annotations

import enum

import attrs
import trio

from raft_actors import NodeConfig, RoleName
from raft_actors.testing import Simulation, simulate
from raft_actors.testing.event_queue import SimulationClock
from tests.cluster.support import CommandLog, Commands
from tests.connectivity.graphs import Graph, LogEnd

LONGEST_S = NodeConfig().election_timeout_s[1]

WITHIN_S = 5 * LONGEST_S
"""In which time somebody has to commit."""

MOST_TERMS = 3
"""How many terms that may take, and all that follows."""

_WATCHED_S = 2 * WITHIN_S
_PROPOSE_S = 0.05
_STILL_S = 1.0  # the last commit may be so long ago in the end


class Kind(enum.StrEnum):
    """What can be expected of a graph."""

    ELECTABLE = "an up-to-date node has two-way links to a majority"
    OUTDATED = "all nodes with two-way links to a majority lack entries that too many of their neighbours have"
    UNCONNECTED = "no node has two-way links to a majority"


@attrs.frozen
class Outcome:
    """What came of a graph.

    Attributes:
        kind: of the graph, when it was imposed.
        kind_after: of the graph with the logs of the end: entries that can't be committed may have made a difference.
        commits_after_s: when the first command was committed that was proposed in the graph; None: none was.
        still: whether commands were committed at the end of the watch.
        terms: how many terms higher the highest was in the end.
    """

    graph: Graph
    seed: int
    kind: Kind
    kind_after: Kind
    commits_after_s: float | None
    still: bool
    terms: int

    @property
    def wrong(self) -> str | None:
        """What is not as it must be, or None."""
        if self.kind is not Kind.ELECTABLE or self.kind_after is not Kind.ELECTABLE:
            return None
        if self.commits_after_s is None or self.commits_after_s > WITHIN_S or not self.still:
            return f"commits after {self.commits_after_s} s, still: {self.still}"
        return f"{self.terms} terms" if self.terms > MOST_TERMS else None


def run_trial(graph: Graph, seed: int) -> Outcome:
    """Elect a leader, leave some nodes behind, break links, and watch."""
    return trio.run(_run, graph, seed, clock=SimulationClock())


async def _run(graph: Graph, seed: int) -> Outcome:
    async with simulate(CommandLog, nodes=len(graph.nodes), seed=seed) as cluster:
        leader = await cluster.wait_for_one_leader()
        await cluster.one(b"everywhere", len(graph.nodes))
        behind = graph.behind - {leader}
        if behind:
            cluster.partition(behind, set(graph.nodes) - behind)
            await cluster.one(b"not everywhere", len(graph.nodes) - len(behind))
            cluster.partition()
        logs = _log_ends(cluster)
        term = max(node.status().term for node in cluster.nodes.values())
        for sender, receiver in graph.cuts:
            cluster.network.cut(sender, receiver)
        commits = await _propose(cluster)
        return Outcome(
            graph,
            seed,
            _kind(graph, logs),
            _kind(graph, _log_ends(cluster)),
            commits[0] if commits else None,
            bool(commits) and _WATCHED_S - commits[-1] <= _STILL_S,
            max(node.status().term for node in cluster.nodes.values()) - term,
        )
    raise AssertionError("a simulation has ended early")


async def _propose(cluster: Simulation[bytes, int]) -> list[float]:
    """Propose to whoever leads, again and again; return when commands were committed, from now on."""
    begins = trio.current_time()
    commands, under_way, commits = Commands(), dict[int, set[bytes]](), list[float]()
    while (now := trio.current_time() - begins) < _WATCHED_S:
        done = [index for index, those in under_way.items() if cluster.facts.command_at(index) in those]
        if done:
            commits.append(now)
        for index in done:
            del under_way[index]
        for name, node in cluster.nodes.items():
            if node.status().role is RoleName.LEADER:
                command = commands()
                started = await cluster.start_command(name, command)
                if started is not None:
                    under_way.setdefault(started.index, set()).add(command)
        await trio.sleep(_PROPOSE_S)
    return commits


def _log_ends(cluster: Simulation[bytes, int]) -> dict[str, LogEnd]:
    """What is on the disks."""
    states = {name: cluster.disk(name).state for name in cluster.node_ids}
    return {name: (state.term_runs[-1].term, state.last_index) for name, state in states.items()}


def _kind(graph: Graph, logs: dict[str, LogEnd]) -> Kind:
    if graph.electable(logs):
        return Kind.ELECTABLE
    return Kind.OUTDATED if graph.connected() else Kind.UNCONNECTED
