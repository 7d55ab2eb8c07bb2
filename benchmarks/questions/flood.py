"""What do strangers cost who open connections to a node without end?"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import trio

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import Cluster, Worker, WorkerFailed, open_cluster
from benchmarks.engines import Engine
from benchmarks.questions.base import Column, Question, decimals, mebibytes, only_ours, percent, product, thousands
from benchmarks.questions.loading import Load, load_leader

# Where strangers come to, while the leader commits: nowhere, to a listener beside it (see `workers.refuser`), to it.
_NOBODY, _LEFT, _CLOSED, _NODE = _PORTS = ("nobody", "leave", "close", "node")
_CLOSED_UNHEARD = ("TOO_MANY", "TOO_MANY_IN_ALL")
_DROPPED = "DROPPED"


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    sets: list[dict[str, Parameter]] = [
        {
            "nodes": 3,
            "storage": "disk",
            "payload": settings.values["payload"][0],
            "proposers": proposers,
            "strangers": settings.values["strangers"][0],
            "sources": sources,
        }
        for proposers in settings.values["proposers"]
        for sources in settings.values["sources"]
    ]
    return product(only_ours(engines), sets)


async def _measure(settings: Settings, case: Case) -> Sample:
    options = {"tls": True}  # as a port is that strangers reach
    async with open_cluster(
        case.engine, nodes=case.number("nodes"), storage=case.word("storage"), folder=settings.folder, options=options
    ) as cluster:
        leader = await cluster.wait_leader()
        values = await _measure_idle(settings, case, cluster, leader)
        samples = await _measure_loaded(settings, case, cluster, leader)
        commits, cpu_us = (
            {port: statistics.mean(sample.values[value] for sample in samples[port]) for port in _PORTS}
            for value in ("commits_per_s", "leader_cpu_us")
        )
        return Sample(
            {
                **{f"{port}_commits_per_s": commits[port] for port in _PORTS},
                **{f"of_{port}": commits[_NODE] / max(commits[port], 1e-9) for port in _PORTS},
                **{f"{port}_cpu_us": cpu_us[port] for port in _PORTS},
                **values,
                "elections": sum(sample.values["elections"] for sample in samples[_NODE]),
                "resident_bytes": leader.resident_bytes(),
            }
        )


async def _measure_idle(settings: Settings, case: Case, cluster: Cluster, leader: Worker) -> dict[str, float]:
    """What strangers take of a leader that has nothing else to do."""
    said = dict[str, float]()
    idle_share = await _cpu_share(leader, settings.seconds)
    async with _flooded(cluster.addresses[leader.node], settings, case, said):
        counted, began = await _refused(leader), trio.current_time()
        flooded_share = await _cpu_share(leader, settings.seconds)
        after, seconds = await _refused(leader), trio.current_time() - began
    refused = {reason: count - counted.get(reason, 0) for reason, count in after.items()}
    unheard, dropped = sum(refused.get(reason, 0) for reason in _CLOSED_UNHEARD), refused.get(_DROPPED, 0)
    return {
        "stranger_cpu_us": (flooded_share - idle_share) / (said["opened"] / said["seconds"]) * 1e6,
        "idle_share": flooded_share - idle_share,
        "offered_per_s": said["opened"] / said["seconds"],
        "unheard_per_s": unheard / seconds,
        "heard_per_s": (sum(refused.values()) - unheard - dropped) / seconds,
        "dropped_per_s": dropped / seconds,
        "flooder_share": said["cpu_s"] / said["seconds"],
    }


async def _measure_loaded(settings: Settings, case: Case, cluster: Cluster, leader: Worker) -> dict[str, list[Sample]]:
    """What a loaded leader commits, by turns there and back: whatever drifts hits all of them alike."""
    load = Load(proposers=case.number("proposers"), payload=case.number("payload"))
    samples: dict[str, list[Sample]] = {port: [] for port in _PORTS}
    async with _refusing(_LEFT) as left, _refusing(_CLOSED) as closed:
        addresses = {_LEFT: left, _CLOSED: closed, _NODE: cluster.addresses[leader.node]}
        for port in (*_PORTS, *reversed(_PORTS)):
            async with _flooded(addresses.get(port), settings, case, {}):
                samples[port].append(await load_leader(settings, cluster, leader, load))
    return samples


async def _cpu_share(leader: Worker, seconds: float) -> float:
    """How much of a core it takes, of itself or of strangers."""
    used, began = leader.cpu_seconds(), trio.current_time()
    await trio.sleep(seconds)
    return (leader.cpu_seconds() - used) / (trio.current_time() - began)


async def _refused(leader: Worker) -> dict[str, int]:
    counts: dict[str, int] = (await leader.call("refused"))["by_reason"]
    return counts


@asynccontextmanager
async def _refusing(how: str) -> AsyncGenerator[str]:
    """Have a refuser for the length of the block: its address."""
    command = [sys.executable, "-m", "benchmarks.workers.refuser", how]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or not (line := await process.stdout.receive_some()):
            raise WorkerFailed(f"the refuser that is to {how} connections ended")
        yield line.decode().strip()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@asynccontextmanager
async def _flooded(address: str | None, settings: Settings, case: Case, said: dict[str, float]) -> AsyncGenerator[None]:
    """Have strangers come to an address for the length of the block; then `said` holds what came of it."""
    if address is None:
        yield
        return
    strangers, sources = case.number("strangers"), case.number("sources")
    command = [sys.executable, "-m", "benchmarks.workers.flooder", address, str(strangers), str(sources)]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        # As many strangers as there may be clients are heard before they are too many: that is over first.
        await trio.sleep(settings.warmup_s)
        yield
        if process.stdin is None or process.stdout is None:
            return
        await process.stdin.aclose()
        said.update(json.loads(b"".join([data async for data in process.stdout])))
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()


QUESTION = Question(
    name="flood",
    asks="What do strangers cost who open 10,000 connections a second to the leader?",
    options=(
        Option("proposers", "tasks that each await their own commit", (256,), (64,)),
        Option("strangers", "connections that they open in a second (the first counts)", (10_000,), (10_000,)),
        Option("sources", "addresses that they come from", (1, 1000), (1,)),
        Option("payload", "bytes in a command (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("commits/s: no strangers", "nobody_commits_per_s", thousands, spread=True),
        Column("at a port where nobody accepts", "leave_commits_per_s", thousands, spread=True),
        Column("at one that only closes", "close_commits_per_s", thousands, spread=True),
        Column("at the leader's", "node_commits_per_s", thousands, spread=True),
        Column("of no strangers", "of_nobody", percent),
        Column("of nobody accepts", "of_leave", percent, spread=True),
        Column("of only closes", "of_close", percent, spread=True),
        Column("leader CPU µs/commit beside nobody accepts", "leave_cpu_us", decimals, spread=True),
        Column("at the leader's", "node_cpu_us", decimals, spread=True),
        Column("CPU µs/stranger", "stranger_cpu_us", decimals),
        Column("of a core", "idle_share", percent),
        Column("offered/s", "offered_per_s", thousands),
        Column("closed unheard/s", "unheard_per_s", thousands),
        Column("dropped/s", "dropped_per_s", thousands),
        Column("heard, refused/s", "heard_per_s", thousands),
        Column("the flooder's core", "flooder_share", percent),
        Column("memory", "resident_bytes", mebibytes),
        Column("elections", "elections", thousands),
    ),
    engines=("raft_actors",),
    rounds=2,
    seconds=2.0,
    notes=(
        "Nodes speak TLS. A stranger says the beginning of a TLS record that is none, and leaves.",
        "The flooder and the kernel take their share of the same cores. So the same flood also comes, by turns, there",
        "and back, to a listener beside the cluster that accepts nobody, and to one that only closes: what is left of",
        "the commits beside these is what the node's own part leaves.",
        "CPU µs/stranger is what an idle leader takes more while they come, for each that was offered.",
        "Offered is what the flooder opens; what the system drops never gets to the node, and is counted as DROPPED.",
    ),
)
