"""The table of connectivity: `python -m tests.connectivity [--drawn N] [--jobs N] [--keep FILE] [--output FILE]`.

All 64 graphs of three nodes and some drawn ones of five, each imposed on a healthy simulated cluster.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from multiprocessing import Pool
from pathlib import Path

from tests.connectivity.graphs import Graph, all_graphs, drawn_graph
from tests.connectivity.kept import Kept
from tests.connectivity.table import document
from tests.connectivity.trial import Outcome, run_trial

DOCUMENT = Path(__file__).parents[2] / "docs" / "connectivity.md"


def main() -> int:
    """Run all, write the table; 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.connectivity", description="Make the table of connectivity.")
    parser.add_argument("--drawn", type=int, default=10_000, help="graphs of five nodes (default 10000)")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first of them (default 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one for each core)")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add outcomes here, and run none that is there")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="where the table goes (default docs/)")
    arguments = parser.parse_args()
    graphs = [(graph, 1) for graph in all_graphs(3)]
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.drawn)
    graphs += [(drawn_graph(5, seed), seed) for seed in seeds]
    outcomes = _run_all(graphs, Kept(arguments.keep), arguments.jobs)
    arguments.output.write_text(document(outcomes, seeds))
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    for outcome in wrong:
        print(f"seed {outcome.seed}: {outcome.wrong}: cut {outcome.graph.cuts}, behind {sorted(outcome.graph.behind)}")
    print(f"{len(outcomes):,} graphs, {len(wrong)} wrong; the table is in {arguments.output}")
    return 1 if wrong else 0


def _run_all(graphs: list[tuple[Graph, int]], kept: Kept, jobs: int) -> list[Outcome]:
    """The outcomes in the graphs' order; a quarter of a second of one core each, but for those that are known."""
    outcomes = {(graph, seed): kept.outcome(graph, seed) for graph, seed in graphs}
    missing = [task for task, outcome in outcomes.items() if outcome is None]
    with Pool(jobs) as pool:
        for outcome in _watched(pool.imap(_run, missing, chunksize=16), len(missing)):
            outcomes[outcome.graph, outcome.seed] = outcome
            kept.add(outcome)
    return [outcome for outcome in outcomes.values() if outcome is not None]


def _run(task: tuple[Graph, int]) -> Outcome:
    return run_trial(*task)


def _watched(outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    for number, outcome in enumerate(outcomes, start=1):
        if sys.stderr.isatty():
            print(f"\r{number:,} of {total:,}", end="\n" if number == total else "", file=sys.stderr)
        yield outcome


if __name__ == "__main__":
    sys.exit(main())
