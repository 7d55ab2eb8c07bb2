"""Outcomes in a file, so that a run of most of an hour can be made in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.connectivity.graphs import Graph
from tests.connectivity.trial import Kind, Outcome


class Kept:
    """Outcomes of earlier runs, a JSON object a line. They are of the engine of then: begin anew if it has changed."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[tuple[str, int], dict[str, Any]] = {}
        if file is not None and file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                fields = json.loads(line)
                self._known[fields["graph"], fields["seed"]] = fields

    def outcome(self, graph: Graph, seed: int) -> Outcome | None:
        """What is known of a graph."""
        fields = self._known.get((_words(graph), seed))
        if fields is None:
            return None
        return Outcome(
            graph,
            seed,
            Kind[fields["kind"]],
            Kind[fields["kind_after"]],
            fields["commits_after_s"],
            fields["still"],
            fields["terms"],
        )

    def add(self, outcome: Outcome) -> None:
        """Keep one more."""
        if self._file is None:
            return
        fields = {
            "graph": _words(outcome.graph),
            "seed": outcome.seed,
            "kind": outcome.kind.name,
            "kind_after": outcome.kind_after.name,
            "commits_after_s": outcome.commits_after_s,
            "still": outcome.still,
            "terms": outcome.terms,
        }
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(fields) + "\n")


def _words(graph: Graph) -> str:
    links = " ".join(sorted(f"{sender}>{receiver}" for sender, receiver in graph.links))
    return f"{' '.join(graph.nodes)}; {links}; {' '.join(sorted(graph.behind))}"
