"""The demo's progress and results, on a terminal or in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from raft_actors.cli.demo_load import Acknowledgement
from raft_actors.cli.demo_text import Comparison
from raft_actors.cli.progress_bar import ProgressBar
from raft_actors.records import frozen


class LinesBar(ProgressBar):
    """Shows how many lines are stored: without a terminal after each tenth."""

    def __init__(self, console: Console, total: int) -> None:
        text = TextColumn("lines stored")
        super().__init__(console, total, SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._total = total
        self._tenth = 0

    def show(self, count: int) -> None:
        """Say that so many lines are stored."""
        if not self._move(count) and (tenth := count * 10 // self._total) > self._tenth:
            self._tenth = tenth
            self.say(f"  {count:,} of {self._total:,} lines stored")


@frozen
class Figures:
    """What the acknowledgements tell, in commits per second and seconds; None where there were too few to tell."""

    before: float | None
    after: float | None
    failover_s: float | None


def figures(acknowledgements: Sequence[Acknowledgement], started_s: float, killed_s: float) -> Figures:
    """Work out the figures.

    The failover ends with the acknowledgement of the first line whose write began after the kill: what was committed
    before may still be on its way to its client.
    """
    old = [one for one in acknowledgements if one.at_s <= killed_s]
    new = sorted(one.at_s for one in acknowledgements if one.began_s > killed_s)
    first, last = (new[0], new[-1]) if new else (0.0, 0.0)
    return Figures(
        before=len(old) / (killed_s - started_s) if old else None,
        after=(len(new) - 1) / (last - first) if last > first else None,
        failover_s=first - killed_s if new else None,
    )


def _shown(value: float | None, form: str) -> str:
    return "too few lines to tell" if value is None else form.format(value)


def print_report(
    console: Console,
    found: Figures,
    leaders: Sequence[tuple[str, int]],
    retries: int,
    statuses: Mapping[str, Mapping[str, Any]],
    comparisons: Mapping[str, Comparison],
) -> None:
    """Print the figures, and each node's state. `leaders`: node id and term, in order."""
    summary = Table(title="Throughput and failover", title_justify="left", show_header=False)
    summary.add_column()
    summary.add_column(justify="right")
    summary.add_row("commits per second before the failure", _shown(found.before, "{:,.0f}"))
    summary.add_row("failover: from the kill to the next commit", _shown(found.failover_s, "{:.2f} s"))
    summary.add_row("commits per second after it", _shown(found.after, "{:,.0f}"))
    summary.add_row("leaders", " → ".join(f"{node_id} (term {term})" for node_id, term in leaders))
    summary.add_row("attempts that had to be repeated", f"{retries:,}")
    nodes = Table(title="Nodes", title_justify="left")
    for name in ("node", "role", "term", "log", "snapshot", "applied", "data"):
        nodes.add_column(name, justify="right" if name in ("term", "snapshot", "applied") else "left")
    for node_id, status in statuses.items():
        nodes.add_row(
            node_id,
            str(status["raft_role"]),
            str(status["term"]),
            f"{status['first_index']}–{status['last_index']}",
            str(status["snapshot_index"]),
            str(status["applied_index"]),
            str(comparisons[node_id]),
        )
    console.print()
    console.print(summary)
    console.print(nodes)
