"""Leadership is handed over again and again under load: what do proposers notice?"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import attrs

from benchmarks.cases import Case, Option, Sample, Settings
from benchmarks.cluster import REPLY_TIMEOUT_S, Cluster, Worker, open_cluster
from benchmarks.engines import Engine
from benchmarks.latencies import unpack
from benchmarks.questions.base import Column, Question, decimals, product, thousands
from benchmarks.questions.loading import Load

#: How long a node leads, and what a transfer may take beside.
_EVERY_S, _TAKES_S = 0.025, 0.025

#: Who was told of a transfer's end may still have to hand on what was held for it.
_AFTER_S = 0.01

Span = tuple[float, float]


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    return [
        attrs.evolve(case, once=True)
        for transfers in settings.numbers("transfers")
        for proposers in settings.numbers("proposers")
        for case in product(
            engines, [{"nodes": 3, "storage": "disk", "transfers": transfers, "proposers": proposers, "payload": 128}]
        )
    ]


async def _measure(settings: Settings, case: Case) -> Sample:
    async with open_cluster(
        case.engine, nodes=case.number("nodes"), storage=case.word("storage"), folder=settings.folder
    ) as cluster:
        leader = await cluster.wait_leader()
        before = await leader.call("status")
        transfers = case.number("transfers")
        await _begin_moving(cluster, leader, transfers, settings.warmup_s)
        seconds = transfers * (_EVERY_S + _TAKES_S) + settings.seconds
        answer = await leader.call(
            "load",
            timeout_s=settings.warmup_s + seconds + REPLY_TIMEOUT_S,
            warmup_s=settings.warmup_s,
            seconds=seconds,
            stalls=True,
            **attrs.asdict(Load(proposers=case.number("proposers"), payload=case.number("payload"))),
        )
        moved = [await worker.call("moved") for worker in cluster.workers.values()]
        await cluster.wait_all_applied(await cluster.wait_leader())
        applied = {(await worker.call("status"))["commands"] for worker in cluster.workers.values()}
        return _sample(answer, moved, {each - before["commands"] for each in applied}, case.number("payload"))


async def _begin_moving(cluster: Cluster, leader: Worker, transfers: int, after_s: float) -> None:
    """Each node hands over to the next, beginning with the leader."""
    workers = list(cluster.workers.values())
    first = workers.index(leader)
    ring = workers[first:] + workers[:first]
    for place, worker in enumerate(ring):
        await worker.call(
            "move",
            to=ring[(place + 1) % len(ring)].node,
            times=(transfers - place + len(ring) - 1) // len(ring),
            every_s=_EVERY_S,
            after_s=after_s,
        )


def _sample(answer: dict[str, Any], moved: Sequence[dict[str, Any]], applied: set[int], payload: int) -> Sample:
    transfers = sorted((begin, end) for each in moved for begin, end in each["transfers"])
    stalls = sorted(longest_each(transfers, answer["stalls"]))
    per_s = answer["commits"] / answer["seconds"]
    wrong = max((abs(each - answer["total"]) for each in applied), default=0)
    failures = [f"proposal: {text}" for text in answer["failures"]]
    failures += [f"transfer: {text}" for each in moved for text in each["failures"]]
    return Sample(
        values={
            "transfers": len(transfers),
            "failed_transfers": sum(len(each["failures"]) for each in moved),
            "failed_proposals": len(answer["failures"]),
            "lost_or_doubled": wrong,
            "stall_p50_ms": _percentile_ms(stalls, 50),
            "stall_p99_ms": _percentile_ms(stalls, 99),
            "stall_max_ms": _percentile_ms(stalls, 100),
            "transfer_p50_ms": _percentile_ms(sorted(end - begin for begin, end in transfers), 50),
            "commits_per_s": per_s,
            "megabytes_per_s": per_s * payload / 1e6,
        },
        latencies=unpack(answer["latencies"]),
        texts={"failures.txt": "\n".join(failures) + "\n"} if failures else {},
    )


def longest_each(transfers: Sequence[Span], stalls: Sequence[Span]) -> list[float]:
    """For each transfer, the longest time without an answer to anybody that was a part of it, or touched it."""
    begins = [begin for begin, _ in stalls]  # one ends before the next begins
    longest: list[float] = []
    for begin, end in transfers:
        last = bisect_right(begins, end + _AFTER_S)
        touching = (stalls[at] for at in range(last - 1, -1, -1))
        spans: list[float] = []
        for stall_begin, stall_end in touching:
            if stall_end < begin:
                break
            spans.append(stall_end - stall_begin)
        longest.append(max(spans, default=0.0))
    return longest


def _percentile_ms(ordered: Sequence[float], percent: float) -> float:
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(percent * len(ordered) / 100) - 1)] * 1e3


QUESTION = Question(
    name="transfer",
    asks="Leadership is handed over again and again under load: what do proposers notice?",
    options=(
        Option("transfers", "how often leadership is handed over", (1000,), (6,)),
        Option("proposers", "who propose meanwhile, in the process of the first leader", (64,), (16,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("transfers done", "transfers", thousands),
        Column("failed", "failed_transfers", thousands),
        Column("failed proposals", "failed_proposals", thousands),
        Column("lost or doubled", "lost_or_doubled", thousands),
        Column("stall p50 ms", "stall_p50_ms", decimals),
        Column("stall p99 ms", "stall_p99_ms", decimals),
        Column("longest ms", "stall_max_ms", decimals),
        Column("transfer p50 ms", "transfer_p50_ms", decimals),
        Column("commits/s", "commits_per_s", thousands),
    ),
    engines=("raft_actors",),
    rounds=1,
    seconds=2.0,
    notes=(
        "A stall is the longest time of a transfer, and of 10 ms after it, in which no proposer was answered.",
        "Each node hands over to the next 25 ms after it has come to lead; proposers stay where they are.",
    ),
)
