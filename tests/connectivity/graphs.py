"""Which links there are between nodes, each direction for itself, and what Raft can do with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from random import Random

import attrs

from raft_actors.raft.quorum import is_quorum

Link = tuple[str, str]
LogEnd = tuple[int, int]
"""Term and index of a log's last entry: of two, the greater is the more up-to-date (Raft paper, §5.4.1)."""


@attrs.frozen
class Graph:
    """The links that work.

    Attributes:
        nodes: all ids.
        links: (sender, receiver), for each direction that works.
        behind: nodes that lack the last committed entry when the others' links break.
    """

    nodes: tuple[str, ...]
    links: frozenset[Link]
    behind: frozenset[str] = frozenset()

    @property
    def cuts(self) -> list[Link]:
        """The directions that do not work."""
        return [link for link in permutations(self.nodes, 2) if link not in self.links]

    def two_way(self, node: str) -> set[str]:
        """The node, and those that it hears and that hear it."""
        return {node} | {other for other in self.nodes if {(node, other), (other, node)} <= self.links}

    def connected(self) -> list[str]:
        """The nodes with two-way links to a majority: only they can be elected, and stay elected."""
        return [node for node in self.nodes if is_quorum(self.two_way(node), self.nodes)]

    def electable(self, logs: Mapping[str, LogEnd]) -> list[str]:
        """Those of them whose log is up-to-date for a majority among these."""
        return [
            node
            for node in self.connected()
            if is_quorum({other for other in self.two_way(node) if logs[other] <= logs[node]}, self.nodes)
        ]


def names(size: int) -> tuple[str, ...]:
    """The ids of a cluster of this size."""
    return tuple(f"n{number}" for number in range(1, size + 1))


def all_graphs(size: int) -> Iterator[Graph]:
    """Every set of directed links between so many nodes: 64 for three."""
    nodes = names(size)
    possible = list(permutations(nodes, 2))
    for number in range(2 ** len(possible)):
        yield Graph(nodes, frozenset(link for bit, link in enumerate(possible) if number >> bit & 1))


def drawn_graph(size: int, seed: int) -> Graph:
    """A graph in which each link works as likely as that graph's own share, and up to a minority is behind."""
    rng = Random(f"{seed} graph")
    nodes = names(size)
    share = rng.uniform(0.3, 0.95)
    links = frozenset(link for link in permutations(nodes, 2) if rng.random() < share)
    behind = frozenset(rng.sample(nodes, rng.choice((0, 0, 1, (size - 1) // 2))))
    return Graph(nodes, links, behind)
