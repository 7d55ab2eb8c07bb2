"""`raft-actors simulate`: run a cluster in simulated time under faults drawn from seeds, and check all that it does."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from raft_actors.cli.interrupts import terminated_as_interrupted
from raft_actors.cli.options import count, output_file, positive
from raft_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from raft_actors.testing.runner import SeedReport

    Subcommands = argparse._SubParsersAction[Any]  # pyright: ignore[reportPrivateUsage]

_DESCRIPTION = """
Run clusters of real nodes on a simulated network, simulated disks and simulated clocks, one for each seed, under faults
that the seed draws; check invariants after every step, and at the end that the cluster recovers and that what its
clients were told is linearizable. The same seed always gives the same run. Exits with 1 if anything was found.
"""


def add_to(subcommands: Subcommands) -> None:
    """Add this subcommand."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "simulate",
        help="run simulated clusters under faults, seed by seed, and check all that they do",
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "--seeds",
        type=seeds,
        default=range(100),
        metavar="FIRST:END",
        help="seeds to run, END not included; one seed alone; or FIRST: for all from there on (default 0:100)",
    )
    parser.add_argument("--nodes", type=positive, metavar="N", help="size of the clusters (default: drawn, 3 to 7)")
    parser.add_argument(
        "--seconds", type=positive, default=30, metavar="N", help="simulated time under faults, for each (default 30)"
    )
    parser.add_argument(
        "--profile", metavar="NAME", help="the kind of faults in all of them, such as “members” (default: drawn)"
    )
    parser.add_argument("--no-faults", action="store_true", help="only run the clients, and check")
    parser.add_argument("--jobs", type=positive, metavar="N", help="processes (default: one for each core)")
    parser.add_argument(
        "--hash-seed",
        type=count,
        metavar="N",
        help="PYTHONHASHSEED of all processes, as a failure names it (default: a different one for each)",
    )
    parser.add_argument("--for", type=positive, metavar="N", dest="limit_s", help="begin no seed after N real seconds")
    parser.add_argument(
        "--failures", type=output_file, metavar="FILE", help="add each failure to this file, one a line"
    )
    parser.add_argument(
        "--trace",
        type=trace_file,
        metavar="FILE",
        help="write what happened, as a diagram (.html) or as events (.jsonl); of several seeds, the first that fails",
    )
    parser.set_defaults(run=run)


def seeds(text: str) -> Iterable[int]:
    """`5`, `0:1000` or `7:`."""
    first, colon, end = text.partition(":")
    if not colon:
        return range(count(first), count(first) + 1)
    if not end:
        return itertools.count(count(first))
    if count(end) <= count(first):
        raise argparse.ArgumentTypeError(f"{text!r} holds no seed: write FIRST:END with END above FIRST")
    return range(count(first), count(end))


def trace_file(text: str) -> Path:
    """A file whose name says what to put into it."""
    if Path(text).suffix not in (".html", ".jsonl"):
        raise argparse.ArgumentTypeError(f"{text!r} says neither .html (a diagram) nor .jsonl (events)")
    return output_file(text)


def run(options: argparse.Namespace) -> int:
    """Run the seeds. 0: nothing was found; 1: something was; 130: interrupted before it could be.

    Raises:
        ConfigurationError: what it needs is missing.
    """
    if importlib.util.find_spec("rich") is None:
        raise ConfigurationError("simulations are shown by rich: pip install 'raft-actors[cli]'")
    with terminated_as_interrupted():
        return _Simulate(options).run()


class _Simulate:
    """One call of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        from raft_actors.cli.progress_bar import Output
        from raft_actors.cli.simulate_report import Totals
        from raft_actors.testing.runner import Options

        self._given = options
        seconds = float(options.seconds)
        self._options = Options(
            nodes=options.nodes, seconds=seconds, faults=not options.no_faults, profile=options.profile
        )
        self._console = Output()
        self._totals = Totals()
        self._first_failure: SeedReport | None = None

    def run(self) -> int:
        from raft_actors.cli.simulate_report import SeedsBar, print_summary

        total = len(self._given.seeds) if isinstance(self._given.seeds, range) else None
        interrupted = False
        try:
            with SeedsBar(self._console, total).shown() as bar:
                self._sweep(bar)
        except KeyboardInterrupt:
            interrupted = True
        print_summary(self._console, self._totals, interrupted=interrupted)
        if not interrupted:
            self._write_trace()
        if self._totals.failures:
            return 1
        return 130 if interrupted and total is not None else 0

    def _sweep(self, bar: Any) -> None:
        from raft_actors.testing.sweep import sweep

        given = self._given
        ends_at = None if given.limit_s is None else time.monotonic() + given.limit_s
        hashed = given.hash_seed
        with closing(sweep(given.seeds, self._options, jobs=given.jobs, ends_at=ends_at, hash_seed=hashed)) as reports:
            for report in reports:
                self._totals.add(report)
                if not report.ok:
                    self._tell(report, bar)
                bar.show(self._totals)

    def _tell(self, report: SeedReport, bar: Any) -> None:
        from raft_actors.cli.simulate_report import failure_lines

        self._first_failure = self._first_failure or report
        for line in failure_lines(report, self._replay(report)):
            bar.say(line)
        if self._given.failures is not None:
            found = {"seed": report.seed, "nodes": report.nodes, "hash_seed": report.hash_seed}
            what = {"broken": report.broken or report.verdict, "text": report.text, "replay": self._replay(report)}
            line = json.dumps({**found, **what}, ensure_ascii=False)
            try:
                with self._given.failures.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
            except OSError as error:  # the disk is full by now, say; the failure itself has been told
                bar.say(f"  (not added to {self._given.failures}: {error.strerror})")

    def _replay(self, report: SeedReport) -> str:
        """The command that runs this seed again, with a diagram."""
        parts = ["raft-actors simulate", f"--seeds {report.seed}", f"--nodes {report.nodes}"]
        parts += [f"--seconds {self._given.seconds}", *(["--no-faults"] if self._given.no_faults else [])]
        parts += [] if self._given.profile is None else [f"--profile '{self._given.profile}'"]
        parts += [] if report.hash_seed is None else [f"--hash-seed {report.hash_seed}"]
        return " ".join([*parts, f"--trace seed-{report.seed}.html"])

    def _write_trace(self) -> None:
        """Run the seed that is wanted once more, with all of its events."""
        from raft_actors.observe.diagram import write_diagram
        from raft_actors.observe.trace import as_lines
        from raft_actors.testing.sweep import sweep

        path: Path | None = self._given.trace
        if path is None:
            return
        if self._first_failure is not None:
            seed, nodes = self._first_failure.seed, self._first_failure.nodes
            hash_seed = self._first_failure.hash_seed
        elif isinstance(self._given.seeds, range) and len(self._given.seeds) == 1:
            seed, nodes, hash_seed = self._given.seeds[0], self._given.nodes, self._given.hash_seed
        else:
            self._console.print("Nothing failed: no trace was written.", highlight=False)
            return
        # In a process of its own again, for only so can it hash as that run did.
        options = attrs.evolve(self._options, nodes=nodes, trace=True)
        (report,) = sweep([seed], options, jobs=1, hash_seed=hash_seed)
        if path.suffix == ".html":
            write_diagram(report.events, path, title=f"seed {seed}, {report.nodes} nodes: {report.verdict}")
        else:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in as_lines(report.events))
        self._console.print(f"Wrote {len(report.events):,} events of seed {seed} to {path}.", highlight=False)
