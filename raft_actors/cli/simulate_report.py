"""What `raft-actors simulate` shows: progress, failures, and the sum of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from raft_actors.cli.progress_bar import ProgressBar
from raft_actors.observe.trace import Event
from raft_actors.records import define
from raft_actors.testing.runner import SeedReport

#: Events printed with a failure; the rest is in the trace of a replay.
_SHOWN_EVENTS = 30

#: Without a terminal, a line of progress at most that often.
_LINE_EVERY_S = 10.0


@define
class Totals:
    """The sum of all reports so far.

    Attributes:
        verdicts: verdict → seeds.
        broken: what was broken → seeds.
        cpu_s: time of processors.
    """

    seeds: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    messages: int = 0
    calls: int = 0
    lost_nodes: int = 0
    verdicts: Counter[str] = attrs.field(factory=Counter[str])
    broken: Counter[str] = attrs.field(factory=Counter[str])
    actions: Counter[str] = attrs.field(factory=Counter[str])
    outcomes: Counter[str] = attrs.field(factory=Counter[str])
    began_s: float = attrs.field(factory=time.monotonic)

    def add(self, report: SeedReport) -> None:
        """Add a seed's."""
        self.seeds += 1
        self.simulated_s += report.simulated_s
        self.cpu_s += report.cpu_s
        self.messages += report.messages
        self.calls += report.calls
        self.lost_nodes += report.lost_nodes
        self.verdicts[report.verdict] += 1
        self.actions.update(report.actions)
        self.outcomes.update(report.outcomes)
        if report.broken:
            self.broken[report.broken] += 1

    @property
    def failures(self) -> int:
        """Seeds with which something is wrong."""
        return self.seeds - self.verdicts["ok"]

    @property
    def real_s(self) -> float:
        """Time since the beginning."""
        return max(time.monotonic() - self.began_s, 1e-9)

    def words(self) -> str:
        """In a line."""
        return (
            f"{self.verdicts['ok']:,} ok, {self.failures:,} failed; "
            f"{self.simulated_s / self.real_s:,.0f} simulated s/s, {self.messages / self.real_s:,.0f} messages/s"
        )


class SeedsBar(ProgressBar):
    """Shows how many seeds are done, and what was found: without a terminal every now and then."""

    def __init__(self, console: Console, total: int | None) -> None:
        words = TextColumn("{task.fields[words]}")
        super().__init__(
            console, total, TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), words, words=""
        )
        self._total = total
        self._next_line_s = time.monotonic() + _LINE_EVERY_S

    def show(self, totals: Totals) -> None:
        """Say how things stand."""
        if not self._move(totals.seeds, words=totals.words()) and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _LINE_EVERY_S
            of = "" if self._total is None else f" of {self._total:,}"
            self.say(f"  {totals.seeds:,}{of} seeds: {totals.words()}")


def failure_lines(report: SeedReport, replay: str) -> Iterator[str]:
    """What there is to say of a seed that failed."""
    yield f"SEED {report.seed} ({report.nodes} nodes): {report.broken or report.verdict}"
    for line in report.text.splitlines():
        yield f"  {line}"
    if report.events:
        yield "  last events:"
    for event in report.events[-_SHOWN_EVENTS:]:
        yield f"    {event_words(event)}"
    yield f"  replay: {replay}"


def event_words(event: Event) -> str:
    """An event in one line."""
    details: dict[str, Any] = {name: value for name, value in event.items() if name not in ("t", "n", "kind", "node")}
    text = " ".join(f"{name}={value}" for name, value in details.items())
    return f"{event['t']:11.6f} {event.get('node', ''):4} {event['kind']:9} {text}"


def print_summary(console: Console, totals: Totals, *, interrupted: bool) -> None:
    """Print the sum of what is known."""
    table = Table(title="Interrupted: so far" if interrupted else "Simulated", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("seeds", f"{totals.seeds:,}")
    for verdict, number in sorted(totals.verdicts.items()):
        table.add_row(f"  {verdict}", f"{number:,}")
    for name, number in sorted(totals.broken.items()):
        table.add_row(f"    {name}", f"{number:,}")
    table.add_row("simulated time", f"{totals.simulated_s:,.0f} s")
    table.add_row("real time", f"{totals.real_s:,.1f} s")
    table.add_row("simulated seconds per second", f"{totals.simulated_s / totals.real_s:,.1f}")
    if totals.cpu_s:
        table.add_row("… per second of CPU", f"{totals.simulated_s / totals.cpu_s:,.1f}")
    table.add_row("messages", f"{totals.messages:,}")
    table.add_row("messages per second", f"{totals.messages / totals.real_s:,.0f}")
    table.add_row("clients' calls", f"{totals.calls:,}")
    table.add_row("proposals of deposed leaders", f"{totals.outcomes.total():,}")
    for outcome, number in sorted(totals.outcomes.items()):
        table.add_row(f"  {outcome}", f"{number:,}")
    table.add_row("faults brought about", f"{totals.actions.total():,}")
    table.add_row("nodes with destroyed disks", f"{totals.lost_nodes:,}")
    console.print(table)
