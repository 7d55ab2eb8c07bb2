"""What does a leader do with ten times what it can do?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import REPLY_TIMEOUT_S, Worker, open_cluster
from benchmarks.engines import Engine
from benchmarks.latencies import summarize, unpack
from benchmarks.questions.base import Column, Question, decimals, only_ours, percent, product, seconds_text, thousands
from benchmarks.questions.loading import Load, load_leader

_BOUNDS = ("time", "number")
_PAYLOAD = 128
#: What is offered where nothing is congested, as a share of the peak.
_UNCONGESTED = 0.8


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    sets: list[dict[str, Parameter]] = [
        {"nodes": 3, "storage": "disk", "compute_us": compute_us, "offered": times, "bound": bound}
        for compute_us in settings.values["compute_us"]
        for times in settings.values["offered"]
        for bound in settings.values["bound"]
    ]
    return product(only_ours(engines), sets)


async def _measure(settings: Settings, case: Case) -> Sample:
    """Find the peak, offer less, then offer a multiple of it, all of one cluster."""
    options: dict[str, Any] = {"compute_us": case.number("compute_us")}
    if case.word("bound") == "number":
        options["congestion_delay_s"] = None
    async with open_cluster(
        case.engine, nodes=case.number("nodes"), storage=case.word("storage"), folder=settings.folder, options=options
    ) as cluster:
        leader = await cluster.wait_leader()
        peak = 0.0
        for proposers in settings.numbers("proposers"):
            load = Load(proposers=proposers, payload=_PAYLOAD)
            sample = await load_leader(attrs.evolve(settings, warmup_s=0.5), cluster, leader, load)
            peak = max(peak, sample.values["commits_per_s"])
        calm = await _offer(settings, leader, peak * _UNCONGESTED)
        much = await _offer(settings, leader, peak * case.number("offered"))
    latencies = unpack(much["latencies"])
    calm_p99, p99 = _p99_ms(unpack(calm["latencies"])), _p99_ms(latencies)
    goodput = much["commits"] / much["seconds"]
    return Sample(
        values={
            "peak_per_s": peak,
            "offered_times": much["offered"] / peak,
            "goodput": goodput / peak,
            "calm_p99_ms": calm_p99,
            "p99_ms": p99,
            "p99_times": p99 / calm_p99,
            "longest_retry_s": much["longest_retry_s"],
        },
        latencies=latencies,
    )


async def _offer(settings: Settings, leader: Worker, rate: float) -> dict[str, Any]:
    return await leader.call(
        "offer",
        timeout_s=settings.warmup_s + settings.seconds + REPLY_TIMEOUT_S,
        warmup_s=settings.warmup_s,
        seconds=settings.seconds,
        payload=_PAYLOAD,
        rate=rate,
    )


def _p99_ms(latencies: Sequence[int]) -> float:
    summary = summarize([latencies])
    return summary.percentiles["p99"] if summary is not None else float("nan")


QUESTION = Question(
    name="overload",
    asks="What does a leader do with ten times what it can do?",
    options=(
        Option("compute_us", "microseconds that the state machine computes for a command", (1000,), (1000,)),
        Option("offered", "what is offered, in multiples of the peak", (10,), (10,)),
        Option("bound", "what bounds the proposals under way", _BOUNDS, _BOUNDS, _BOUNDS),
        Option("proposers", "tasks that await their own commits: the best of these is the peak", (16, 256), (16,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("peak commits/s", "peak_per_s", thousands),
        Column("offered ÷ peak", "offered_times", decimals),
        Column("goodput ÷ peak", "goodput", percent, spread=True),
        Column("uncongested p99 ms", "calm_p99_ms", decimals),
        Column("p99 ms of what is accepted", "p99_ms", decimals),
        Column("÷ uncongested", "p99_times", decimals, spread=True),
        Column("longest retry_after_s", "longest_retry_s", seconds_text),
    ),
    engines=("raft_actors",),
    notes=(
        f"Uncongested: {_UNCONGESTED:.0%} of the peak is offered. Both times by the clock, and by `propose_nowait`.",
        "Nobody who is refused minds when to come back.",
    ),
)
