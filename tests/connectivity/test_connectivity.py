"""A part of the table of connectivity; all of it is made by `make connectivity`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.connectivity.graphs import Graph, all_graphs, drawn_graph, names
from tests.connectivity.kept import Kept
from tests.connectivity.trial import Kind, run_trial

THREE = list(all_graphs(3))
RING = frozenset({("n1", "n2"), ("n2", "n3"), ("n3", "n4"), ("n4", "n5"), ("n5", "n1")})


@pytest.mark.parametrize("part", range(8))
def test_graphs_of_three_nodes(part: int) -> None:
    for graph in THREE[part::8]:
        assert run_trial(graph, 1).wrong is None, graph


@pytest.mark.parametrize("seed", range(12))
def test_drawn_graphs_of_five_nodes(seed: int) -> None:
    outcome = run_trial(drawn_graph(5, seed), seed)
    assert outcome.wrong is None, outcome


def test_a_ring_of_five_costs_no_commit() -> None:
    links = RING | {(other, one) for one, other in RING}
    outcome = run_trial(Graph(names(5), links), 3)
    assert (outcome.wrong, outcome.terms) == (None, 0)


def test_who_can_be_elected() -> None:
    chain = frozenset({("n1", "n2"), ("n2", "n1"), ("n2", "n3"), ("n3", "n2"), ("n1", "n3")})
    graph = Graph(names(3), chain)
    equal = dict.fromkeys(names(3), (1, 1))
    assert graph.cuts == [("n3", "n1")]
    assert graph.connected() == ["n1", "n2", "n3"]
    assert graph.electable(equal) == ["n1", "n2", "n3"]
    assert graph.electable({**equal, "n2": (0, 9)}) == ["n1", "n3"]
    assert Graph(names(3), frozenset({("n1", "n2"), ("n2", "n3"), ("n3", "n1")})).connected() == []
    only_one_way = Graph(names(3), chain - {("n2", "n3")})
    assert only_one_way.electable({**equal, "n1": (2, 1), "n2": (1, 2)}) == ["n1"]


def test_where_raft_is_helpless_nothing_is_asked_of_it() -> None:
    nobody = run_trial(Graph(names(3), frozenset()), 1)
    assert (nobody.kind, nobody.commits_after_s, nobody.terms, nobody.wrong) == (Kind.UNCONNECTED, None, 0, None)


def test_what_was_run_once_is_not_run_again(tmp_path: Path) -> None:
    graph = Graph(names(3), frozenset())
    outcome = run_trial(graph, 1)
    kept = Kept(tmp_path / "outcomes")
    assert kept.outcome(graph, 1) is None
    kept.add(outcome)
    again = Kept(tmp_path / "outcomes")
    assert again.outcome(graph, 1) == outcome
    assert again.outcome(graph, 2) is None
    assert again.outcome(Graph(names(3), frozenset(), frozenset({"n1"})), 1) is None
