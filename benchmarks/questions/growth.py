"""Does a node stay as fast, and as small, while its log grows?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import Cluster, Worker, open_cluster
from benchmarks.engines import OURS, Engine
from benchmarks.plots import Drawing, series
from benchmarks.questions.base import Column, Question, mebibytes, percent, product, thousands
from benchmarks.questions.loading import Load, fill, load_leader
from benchmarks.results import Report

_COMPACTION: dict[str, dict[str, Any]] = {"on": {}, "off": {"snapshot_entries": None, "snapshot_bytes": None}}


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {
        "nodes": 3,
        "storage": "disk",
        "payload": settings.values["payload"][0],
        "proposers": settings.values["proposers"][0],
        "entries": settings.values["entries"][0],
    }
    cases = product(engines, [{**base, "compaction": each} for each in settings.words("compaction")])
    return [case for case in cases if case.engine is OURS or case.word("compaction") == "on"]


async def _measure(settings: Settings, case: Case) -> Sample:
    entries, steps, payload = case.number("entries"), settings.numbers("steps")[0], case.number("payload")
    load = Load(proposers=case.number("proposers"), payload=payload)
    track: dict[str, list[float]] = {
        name: [] for name in ("entries", "commits_per_s", "leader_mib", "follower_mib", "stored_mib")
    }
    async with open_cluster(
        case.engine,
        nodes=case.number("nodes"),
        storage=case.word("storage"),
        folder=settings.folder,
        options=_COMPACTION[case.word("compaction")] if case.engine is OURS else {},
    ) as cluster:
        leader = await cluster.wait_leader()
        for step in range(steps + 1):
            applied = await cluster.wait_all_applied(leader)
            missing = entries * step // steps - applied
            if missing > 0:
                await fill(leader, commits=missing, payload=payload)
                await cluster.wait_all_applied(leader)
            await _look(settings, cluster, leader, load, track)
    rates, memory, stored = track["commits_per_s"], track["leader_mib"], track["stored_mib"]
    return Sample(
        {
            "first_per_s": rates[0],
            "last_per_s": rates[-1],
            "kept": rates[-1] / rates[0] if rates[0] else 0,
            "memory_growth_bytes": (memory[-1] - memory[0]) * 2**20,
            "memory_bytes": memory[-1] * 2**20,
            "stored_bytes": stored[-1] * 2**20,
        },
        series=track,
    )


async def _look(
    settings: Settings, cluster: Cluster, leader: Worker, load: Load, track: dict[str, list[float]]
) -> None:
    """Note how the cluster does with the entries that it has."""
    status = await leader.call("status")
    sample = await load_leader(settings, cluster, leader, load)
    track["entries"].append(status["applied"])
    track["commits_per_s"].append(sample.values["commits_per_s"])
    track["leader_mib"].append(leader.resident_bytes() / 2**20)
    track["follower_mib"].append(max(each.resident_bytes() for each in cluster.followers(leader)) / 2**20)
    track["stored_mib"].append((await leader.call("status"))["stored_bytes"] / 2**20)


def _draw(report: Report) -> list[Drawing]:
    plots = {
        "growth-throughput": ("commits_per_s", "commits/s"),
        "growth-memory": ("leader_mib", "resident memory of the leader, MiB"),
        "growth-files": ("stored_mib", "the leader's files, MiB"),
    }
    return [
        series(report, report.rows, name, x="entries", y=value, labels=("entries in the log so far", label))
        for name, (value, label) in plots.items()
    ]


QUESTION = Question(
    name="growth",
    asks="Does a node stay as fast, and as small, while its log grows?",
    options=(
        Option("entries", "how far it grows (the first counts)", (5_000_000,), (20_000,)),
        Option("steps", "how often to look (the first counts)", (10,), (2,)),
        Option(
            "compaction",
            "with the default policy, or never (raft_actors only)",
            ("on", "off"),
            ("on", "off"),
            ("on", "off"),
        ),
        Option("proposers", "tasks that each await their own commit (the first counts)", (1024,), (64,)),
        Option("payload", "bytes in a command (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("commits/s at first", "first_per_s", thousands),
        Column("in the end", "last_per_s", thousands),
        Column("kept", "kept", percent, spread=True),
        Column("leader's memory grew by", "memory_growth_bytes", mebibytes, spread=True),
        Column("to", "memory_bytes", mebibytes),
        Column("files", "stored_bytes", mebibytes),
    ),
    draw=_draw,
    engines=("raft_actors",),
    rounds=1,
    seconds=5.0,
    notes=(
        "Between two looks the log is filled as fast as may be; memory is compared with that after the first load.",
    ),
)
