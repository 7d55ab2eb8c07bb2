"""Measuring a cluster under load: what `commit`, `batch` and `cpu` have in common."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import attrs

from benchmarks.cases import Case, Sample, Settings
from benchmarks.cluster import REPLY_TIMEOUT_S, Cluster, Worker, open_cluster
from benchmarks.latencies import unpack

_SLOWEST_PER_S = 1000


@attrs.frozen(kw_only=True)
class Load:
    """What the proposers do (see `workers/wire`)."""

    proposers: int
    payload: int
    mode: str = "await"
    batch: int = 1


async def measure_load(settings: Settings, case: Case, load: Load, options: Mapping[str, Any] | None = None) -> Sample:
    """Start a cluster, load its leader, and throw it away."""
    async with open_cluster(
        case.engine,
        nodes=case.number("nodes"),
        storage=case.word("storage"),
        folder=settings.folder,
        options=options,
    ) as cluster:
        leader = await cluster.wait_leader()
        return await load_leader(settings, cluster, leader, load)


async def fill(leader: Worker, *, commits: int, payload: int) -> None:
    """Commit a number of commands, as fast as may be."""
    # No engine here is slower than this, on any machine that one would measure on.
    timeout_s = REPLY_TIMEOUT_S + commits / _SLOWEST_PER_S
    await leader.call("fill", timeout_s=timeout_s, commits=commits, payload=payload)


async def load_leader(settings: Settings, cluster: Cluster, leader: Worker, load: Load) -> Sample:
    """Load the leader of a running cluster, and see what it cost."""
    followers = cluster.followers(leader)
    before = await leader.call("status")
    leader_cpu, followers_cpu = leader.cpu_seconds(), sum(each.cpu_seconds() for each in followers)
    began = time.perf_counter()
    answer = await leader.call(
        "load",
        timeout_s=settings.warmup_s + settings.seconds + REPLY_TIMEOUT_S,
        warmup_s=settings.warmup_s,
        seconds=settings.seconds,
        **attrs.asdict(load),
    )
    took_s = time.perf_counter() - began
    leader_cpu = leader.cpu_seconds() - leader_cpu
    followers_cpu = sum(each.cpu_seconds() for each in followers) - followers_cpu
    after = await leader.call("status")
    commits, total = answer["commits"], max(1, answer["total"])
    per_s = commits / answer["seconds"]
    return Sample(
        values={
            "commits_per_s": per_s,
            "megabytes_per_s": per_s * load.payload / 1e6,
            "leader_cpu_us": leader_cpu / total * 1e6,
            "follower_cpu_us": followers_cpu / max(1, len(followers)) / total * 1e6,
            "leader_cpu_share": leader_cpu / took_s,
            "elections": after["term"] - before["term"],
            "leader_resident_bytes": leader.resident_bytes(),
        },
        latencies=unpack(answer["latencies"]),
    )
