"""`raft-actors demo`: load a text into a cluster, kill its leader half way, and check every copy."""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raft_actors.cli.demo_text import DemoError, compare, default_text, read_lines
from raft_actors.cli.interrupts import terminated_as_interrupted
from raft_actors.cli.options import nodes_of_demo, positive

if TYPE_CHECKING:
    from raft_actors.cli.demo_cluster import Cluster
    from raft_actors.cli.demo_load import Loader
    from raft_actors.cli.demo_report import LinesBar

    Subcommands = argparse._SubParsersAction[Any]  # pyright: ignore[reportPrivateUsage]

_DESCRIPTION = """
Start a cluster of `raft-actors serve` processes in a temporary folder, and write a text into it line by line through
Redis clients that wait for each reply. Half way, kill the leader with SIGKILL; go on with the next leader. Under that
load let a node join that the cluster did not begin with, and another one leave. Start the killed node again, and let it
catch up. Then compare what every member holds with the text. Exits with 1 if anything that was acknowledged is missing
or differs.
"""

_EXTRAS = ("redis", "rich")
_STALLED_S = 30.0
_TICK_S = 0.1


def add_to(subcommands: Subcommands) -> None:
    """Add this subcommand."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "demo", help="see a cluster at work: load a text, kill the leader, check every copy", description=_DESCRIPTION
    )
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the text (default: one that comes with Python)"
    )
    parser.add_argument(
        "--nodes", type=nodes_of_demo, default=3, metavar="N", help="size of the cluster, at least 3 (default 3)"
    )
    parser.add_argument("--connections", type=positive, default=16, metavar="N", help="clients at a time (default 16)")
    parser.add_argument(
        "--snapshot-entries",
        type=positive,
        metavar="N",
        help="snapshot after so many log entries (default: such that there are about ten)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo. 0: every node has every acknowledged line; 1: not so.

    Raises:
        DemoError: it could not be carried through.
    """
    missing = [name for name in _EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoError(f"the demo needs {' and '.join(missing)}: pip install 'raft-actors[cli]'")
    from raft_actors.cli.demo_cluster import Cluster

    lines = read_lines(options.file or default_text())
    every = options.snapshot_entries or max(10, len(lines) // 10)
    settings = (f"--snapshot-entries={every}", f"--trailing-entries={every // 4}")
    with (
        terminated_as_interrupted(),
        tempfile.TemporaryDirectory(prefix="raft-actors-demo-") as folder,
        Cluster(Path(folder), options.nodes, settings, spare=1) as cluster,
    ):
        return _Demo(cluster, lines, options.connections).run()


class _Demo:
    """One run, step by step."""

    def __init__(self, cluster: Cluster, lines: list[bytes], connections: int) -> None:
        from raft_actors.cli.progress_bar import Output

        self._cluster = cluster
        self._lines = lines
        self._connections = connections
        self._console = Output()
        self._leaders: list[tuple[str, int]] = []

    def run(self) -> int:
        from raft_actors.cli.demo_load import Loader
        from raft_actors.cli.demo_report import LinesBar, figures, print_report

        cluster, console, total = self._cluster, self._console, len(self._lines)
        *everyone, new = cluster.nodes
        console.print(f"Starting {len(everyone)} nodes …", highlight=False)
        cluster.start(*everyone)
        leader = cluster.wait_leader(everyone[0])
        self._note(leader)
        console.print(f"{leader} leads. Writing {total:,} lines through {self._connections} clients.", highlight=False)
        ports = {node_id: node.redis_port for node_id, node in cluster.nodes.items()}
        started_s = time.monotonic()
        with LinesBar(console, total).shown() as bar, Loader(ports, self._lines, self._connections) as loader:
            self._load(loader, bar, total // 2)
            killed = self._leader(everyone[0])
            cluster.kill(killed)
            killed_s = time.monotonic()
            bar.say(f"Killed {killed} with SIGKILL after {loader.count:,} lines.")
            alive = [node_id for node_id in everyone if node_id != killed]
            cluster.join(new, via=alive[0])
            cluster.wait_voter(new, at=alive[0])
            bar.say(f"{new} has joined, caught up, and votes, after {loader.count:,} lines.")
            gone = self._remove_a_follower(alive, new)
            bar.say(f"{gone} has left, after {loader.count:,} lines.")
            loader.release()
            self._load(loader, bar, total)
        leader = self._leader(new)
        self._note(leader)
        console.print(f"{leader} led on. Starting {killed} again.", highlight=False)
        cluster.start(killed)
        everyone = [node_id for node_id in (*everyone, new) if node_id != gone]
        self._catch_up(leader, everyone)
        statuses = {node_id: cluster.status(node_id) for node_id in everyone}
        comparisons = {
            node_id: compare(self._lines, loader.acknowledged, cluster.contents(node_id)) for node_id in everyone
        }
        found = figures(loader.acknowledgements, started_s, killed_s)
        print_report(console, found, self._leaders, loader.retries, statuses, comparisons)
        good = all(one.good for one in comparisons.values())
        console.print(
            f"Every node holds every one of the {total:,} acknowledged lines."
            if good
            else "ACKNOWLEDGED DATA ARE MISSING OR DIFFER: see the table.",
            style="green" if good else "red",
            highlight=False,
        )
        return 0 if good else 1

    def _remove_a_follower(self, alive: list[str], new: str) -> str:
        leader = self._leader(new)
        gone = next(node_id for node_id in alive if node_id != leader)
        self._cluster.operate(new, "remove", id=gone)
        self._cluster.end(gone)
        return gone

    def _leader(self, at: str) -> str:
        return str(self._cluster.status(at)["leader"])

    def _note(self, leader: str) -> None:
        self._leaders.append((leader, int(self._cluster.status(leader)["term"])))

    def _load(self, loader: Loader, bar: LinesBar, until: int) -> None:
        """Wait until so many lines are stored.

        Raises:
            DemoError: a node has died by itself, or nothing moves any more.
        """
        count, moved_s = loader.count, time.monotonic()
        while count < until:
            before, count = count, loader.wait_count(until, _TICK_S)
            if count > before:
                moved_s = time.monotonic()
            elif time.monotonic() - moved_s > _STALLED_S:
                raise DemoError(f"no line was acknowledged for {_STALLED_S:.0f} s\n{self._cluster.logs()}")
            self._cluster.check()
            bar.show(count)

    def _catch_up(self, leader: str, everyone: list[str]) -> None:
        index = int(self._cluster.status(leader)["commit_index"])
        for node_id in everyone:
            self._cluster.wait_applied(node_id, index)
