"""How fast this commit is beside those before: `make trend` adds a line to benchmarks/trend.jsonl, and plots them all.

Three figures of one process, so that they need no quiet machine and take a minute: time is the processor's. They show
that something became dearer; for a comparison with other engines there is `python -m benchmarks`.
"""

# pyright: reportUnknownMemberType=false
# (matplotlib types its own methods only in part)

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from benchmarks.engines import ROOT
from benchmarks.machine import describe
from raft_actors import ClusterConfig, Node, NodeConfig, StateMachine, open_node
from raft_actors.persistence import MemoryStorage
from raft_actors.testing import Options, run_seed
from raft_actors.transports import MemoryNetwork

FILE = ROOT / "benchmarks" / "trend.jsonl"
PLOT = ROOT / "docs" / "plots" / "trend.svg"
COMMAND = b"x" * 128
BATCH = 256


@attrs.frozen
class Size:
    """How much is measured: the fewer, the noisier."""

    seeds: int = 4
    seconds: float = 10.0
    batches: int = 150
    rounds: int = 3


class _Count(StateMachine[bytes, int]):
    """The cheapest machine that has a result."""

    def __init__(self) -> None:
        self.count = 0

    def apply(self, command: bytes) -> int:
        self.count += 1
        return self.count

    def snapshot(self) -> Sequence[bytes]:
        return [b"%d" % self.count]

    async def restore(self, chunks: Any) -> None:
        self.count = int(b"".join([chunk async for chunk in chunks]))


@asynccontextmanager
async def _leader() -> AsyncGenerator[Node[_Count], None]:
    """Three nodes in this process; the one that leads."""
    network, cluster = MemoryNetwork(), ClusterConfig("trend", dict.fromkeys(("n1", "n2", "n3"), "memory"))
    config = NodeConfig(snapshot_entries=None, snapshot_bytes=None)
    async with AsyncExitStack() as stack:
        nodes: dict[str, Node[_Count]] = {}
        for name in cluster.voters:
            nodes[name] = await stack.enter_async_context(
                open_node(
                    name,
                    cluster=cluster,
                    state_machine=_Count,
                    storage=MemoryStorage(),
                    transport=network.transport(name),
                    config=config,
                )
            )
        yield nodes[await nodes["n1"].wait_leader()]


async def _commit(batches: int) -> float:
    """CPU seconds of all three nodes."""
    async with _leader() as leader:
        await leader.propose_many([COMMAND] * BATCH)
        begin = time.process_time()
        for _ in range(batches):
            await leader.propose_many([COMMAND] * BATCH)
        return time.process_time() - begin


async def _memory(batches: int) -> float:
    """Bytes of all three nodes and their stores, which are in memory, for each commit."""
    async with _leader() as leader:
        await leader.propose_many([COMMAND] * BATCH)
        tracemalloc.start()
        try:
            for _ in range(batches):
                await leader.propose_many([COMMAND] * BATCH)
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()


def measure(size: Size, say: Callable[[str], None] = lambda _: None) -> dict[str, float]:
    """The figures, medians of some rounds."""
    say("simulated clusters …")
    cpu_s = sum(run_seed(seed, Options(nodes=3, seconds=size.seconds)).cpu_s for seed in range(size.seeds))
    say("commits …")
    commits = size.batches * BATCH
    used_s = statistics.median(trio.run(_commit, size.batches) for _ in range(size.rounds))
    say("memory …")
    return {
        "seeds_per_cpu_s": size.seeds / cpu_s,
        "commits_per_cpu_s": commits / used_s,
        "bytes_per_commit": trio.run(_memory, size.batches) / commits,
    }


def _newest_commit() -> tuple[str, str]:
    """The newest commit and its subject, of those who have the project with its history."""
    git = ["git", "log", "-1", "--format=%h %s"]
    try:
        done = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):  # there is no git, or no history
        return "unknown", ""
    commit, _, subject = done.stdout.strip().partition(" ")
    return commit, subject


def append(file: Path, figures: dict[str, float], size: Size) -> list[dict[str, Any]]:
    """Add a line, with what it was measured on; return all of them."""
    commit, subject = _newest_commit()
    line = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit,
        "subject": subject,
        **{name: float(f"{value:.4g}") for name, value in figures.items()},
        "size": attrs.asdict(size),
        "python": platform.python_version(),
        "machine": describe(ROOT)["cpu"],
    }
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(line, ensure_ascii=False) + "\n")
    return [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]


def plot(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """All lines, one panel a figure, in the order in which they were measured."""
    from matplotlib.figure import Figure

    names = {
        "seeds_per_cpu_s": "simulated runs a second of CPU",
        "commits_per_cpu_s": "commits a second of CPU, three nodes",
        "bytes_per_commit": "bytes of memory a commit, three nodes",
    }
    figure = Figure(figsize=(8, 7), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True)
    places = range(len(lines))
    for panel, (name, title) in zip(panels, names.items(), strict=True):
        values = [line[name] for line in lines]
        panel.plot(places, values, marker="o", color="tab:blue")
        panel.set_title(title, fontsize=10, loc="left")
        panel.set_ylim(0, 1.15 * max(values))
        panel.grid(alpha=0.3)
    panels[-1].set_xticks(places, [line["commit"] for line in lines], rotation=60, fontsize=7)
    figure.savefig(path)


def main() -> int:
    """Measure, append, plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=FILE, help="where lines are added")
    parser.add_argument("--plot", type=Path, default=PLOT, help="what is drawn of all of them")
    parser.add_argument("--quick", action="store_true", help="only show that it works")
    options = parser.parse_args()
    size = Size(seeds=1, seconds=1.0, batches=4, rounds=1) if options.quick else Size()
    figures = measure(size, lambda text: print(text, file=sys.stderr))
    lines = append(options.file, figures, size)
    plot(lines, options.plot)
    for name, value in figures.items():
        before = lines[-2][name] if len(lines) > 1 else None
        change = "" if before is None else f"  ({value / before - 1:+.0%} since {lines[-2]['commit']})"
        print(f"{name:20} {value:12,.1f}{change}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
