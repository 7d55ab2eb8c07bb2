"""What do strangers cost who open connections to a node without end?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import trio

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import Worker, open_cluster
from benchmarks.engines import Engine
from benchmarks.questions.base import Column, Question, decimals, mebibytes, only_ours, percent, product, thousands
from benchmarks.questions.loading import Load, load_leader

_CLOSED_UNHEARD = ("TOO_MANY", "TOO_MANY_IN_ALL")


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 3, "storage": "disk", "payload": settings.values["payload"][0]}
    sets: list[dict[str, Parameter]] = []
    for proposers in settings.values["proposers"]:
        alone: dict[str, Parameter] = {**base, "proposers": proposers, "strangers": 0, "sources": 1}
        floods = [
            {**alone, "strangers": settings.values["strangers"][0], "sources": n} for n in settings.values["sources"]
        ]
        sets += [alone, *floods]
    return product(only_ours(engines), sets)


async def _measure(settings: Settings, case: Case) -> Sample:
    options = {"tls": True}  # as a port is that strangers reach
    async with open_cluster(
        case.engine, nodes=case.number("nodes"), storage=case.word("storage"), folder=settings.folder, options=options
    ) as cluster:
        leader = await cluster.wait_leader()
        load = Load(proposers=case.number("proposers"), payload=case.number("payload"))
        address, said = cluster.addresses[leader.node], dict[str, float]()
        idle_share = await _cpu_share(leader, settings.seconds)
        async with _flooded(address, case, said):
            flooded_share = await _cpu_share(leader, settings.seconds)
        before, counted = leader.resident_bytes(), await _refused(leader)
        opened = said.get("opened", 0.0) / max(said.get("seconds", 1.0), 1e-9)
        async with _flooded(address, case, said):
            sample = await load_leader(settings, cluster, leader, load)
        after = await _refused(leader)
        seconds = said.get("seconds", 1.0)
        refused = {reason: count - counted.get(reason, 0) for reason, count in after.items()}
        return Sample(
            {
                "commits_per_s": sample.values["commits_per_s"],
                "leader_cpu_us": sample.values["leader_cpu_us"],
                "elections": sample.values["elections"],
                "stranger_cpu_us": (flooded_share - idle_share) / opened * 1e6 if opened else 0.0,
                "idle_share": flooded_share - idle_share,
                "offered_per_s": said.get("opened", 0.0) / seconds,
                "unheard_per_s": sum(refused.get(reason, 0) for reason in _CLOSED_UNHEARD) / seconds,
                "heard_per_s": sum(count for reason, count in refused.items() if reason not in _CLOSED_UNHEARD)
                / seconds,
                "flooder_share": said.get("cpu_s", 0.0) / seconds if said else 0.0,
                "grown_bytes": leader.resident_bytes() - before,
                "resident_bytes": leader.resident_bytes(),
            },
            latencies=sample.latencies,
            texts={f"flood-{case.number('strangers')}-from-{case.number('sources')}.json": json.dumps(refused)},
        )


async def _cpu_share(leader: Worker, seconds: float) -> float:
    """How much of a core it takes, of itself or of strangers."""
    used, began = leader.cpu_seconds(), trio.current_time()
    await trio.sleep(seconds)
    return (leader.cpu_seconds() - used) / (trio.current_time() - began)


async def _refused(leader: Worker) -> dict[str, int]:
    counts: dict[str, int] = (await leader.call("refused"))["by_reason"]
    return counts


@asynccontextmanager
async def _flooded(address: str, case: Case, said: dict[str, float]) -> AsyncGenerator[None]:
    """Have strangers come for the length of the block; then `said` holds what came of it."""
    strangers, sources = case.number("strangers"), case.number("sources")
    if not strangers:
        yield
        return
    command = [sys.executable, "-m", "benchmarks.workers.flooder", address, str(strangers), str(sources)]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield
        if process.stdin is None or process.stdout is None:
            return
        await process.stdin.aclose()
        said.clear()
        said.update(json.loads(b"".join([data async for data in process.stdout])))
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()


QUESTION = Question(
    name="flood",
    asks="What do strangers cost who open 10,000 connections a second to the leader?",
    options=(
        Option("proposers", "tasks that each await their own commit", (256, 1024), (64,)),
        Option("strangers", "connections that they open in a second (the first counts)", (10_000,), (10_000,)),
        Option("sources", "addresses that they come from", (1, 1000), (1,)),
        Option("payload", "bytes in a command (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("commits/s", "commits_per_s", thousands, spread=True),
        Column("leader CPU µs/commit", "leader_cpu_us", decimals, spread=True),
        Column("CPU µs/stranger", "stranger_cpu_us", decimals),
        Column("of a core, idle", "idle_share", percent),
        Column("offered/s", "offered_per_s", thousands),
        Column("closed unheard/s", "unheard_per_s", thousands),
        Column("heard, refused/s", "heard_per_s", thousands),
        Column("the flooder's core", "flooder_share", percent),
        Column("memory", "resident_bytes", mebibytes),
        Column("grown by", "grown_bytes", mebibytes),
        Column("elections", "elections", thousands),
    ),
    engines=("raft_actors",),
    notes=(
        "Nodes speak TLS. A stranger says the beginning of a TLS record that is none, and leaves.",
        "The flooder runs on the same cores and takes its share of them, as a column says: commits/s go by that, too.",
        "CPU µs/stranger is what an idle leader takes more while they come, for each that was offered.",
        "Offered is what the flooder opens; what the system's queue has no room for never gets to the node.",
    ),
)
