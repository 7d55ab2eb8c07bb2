"""Every node of a loaded cluster is replaced by another one: what do clients notice?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import trio

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import REPLY_TIMEOUT_S, Cluster, Worker, open_cluster
from benchmarks.engines import Engine
from benchmarks.plots import Drawing, bars, series
from benchmarks.questions.base import Column, Question, percent, product, seconds_text, thousands
from benchmarks.results import Report, Row

_NODES = 3

#: How many buckets are one point of the plot.
_DRAWN = 10

#: How much time each replacement takes at least, in seconds.
_PACES_S = {"at once": 0.0, "10 s": 10.0}


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": _NODES, "storage": "disk", "payload": 128}
    sets = [
        {**base, "proposers": count, "pace": pace}
        for pace in settings.words("pace")
        for count in settings.numbers("proposers")
    ]
    return product(engines, sets)


async def _measure(settings: Settings, case: Case) -> Sample:
    async with open_cluster(
        case.engine,
        nodes=_NODES,
        storage=case.word("storage"),
        folder=settings.folder,
        options={"ledger": True},
        spare=_NODES,
    ) as cluster:
        await cluster.wait_leader()
        # Processes that run already, as on machines of their own: their start is not what is measured.
        newcomers = [await _opened(cluster, node) for node in cluster.spare]
        client = await _opened(cluster, "client")
        await client.call(
            "begin",
            addresses=cluster.addresses,
            clients={**cluster.clients, **{node: pair[1] for node, pair in cluster.spare.items()}},
            proposers=case.number("proposers"),
            payload=case.number("payload"),
        )
        await trio.sleep(settings.warmup_s)
        marks = [time.time_ns()]
        await trio.sleep(settings.seconds)
        marks.append(time.time_ns())
        await _replace_all(cluster, newcomers, _PACES_S[case.word("pace")])
        marks.append(time.time_ns())
        await trio.sleep(settings.seconds)
        marks.append(time.time_ns())
        answer = await client.call("end", timeout_s=2 * REPLY_TIMEOUT_S)
        ledger = await newcomers[0].call("ledger")
        return sample_of(answer, ledger["applied"], marks)


async def _opened(cluster: Cluster, name: str) -> Worker:
    """A process that is ready, and none of the cluster's nodes yet."""
    worker = await cluster.open_worker(name)
    await worker.call("ready")
    return worker


async def _replace_all(cluster: Cluster, newcomers: Sequence[Worker], pace_s: float) -> None:
    """One after the other: a new node joins, and once it votes an old one goes; then the pace is waited for."""
    for old, new in zip(list(cluster.addresses), newcomers, strict=True):
        next_at = trio.current_time() + pace_s
        await cluster.join(new, through=old)
        await cluster.remove(cluster.workers[old], through=new)
        await trio.sleep_until(max(next_at, trio.current_time()))


def sample_of(answer: dict[str, Any], applied: dict[str, int], marks: Sequence[int]) -> Sample:
    """What came of it.

    Args:
        answer: the client's; see `workers.ledger.Proposers.result`.
        applied: proposer → how many of its commands the cluster has applied in the end.
        marks: when it began to count, the first node to join, the last one to be gone, and when it ended, in ns.
    """
    before, during, after = (_rate(answer, *span) for span in pairwise(marks))
    undisturbed = (before + after) / 2
    acknowledged, unknown = answer["acknowledged"], answer["unknown"]
    lost = sum(max(0, count - applied.get(proposer, 0)) for proposer, count in acknowledged.items())
    repeated = sum(
        max(0, count - acknowledged.get(proposer, 0) - unknown.get(proposer, 0)) for proposer, count in applied.items()
    )
    errors = answer["errors"]
    began, width_s = answer["began_ns"], answer["bucket_ns"] / 1e9
    return Sample(
        values={
            "undisturbed_per_s": undisturbed,
            "replacing_per_s": during,
            "share": during / max(1.0, undisturbed),
            "replacing_s": (replacing_s := (marks[2] - marks[1]) / 1e9),
            "costs_s": (undisturbed - during) * replacing_s / max(1.0, undisturbed) / _NODES,
            "gap_s": _longest(answer["pauses"], marks[1], marks[2]),
            "undisturbed_gap_s": max(_longest(answer["pauses"], *span) for span in (marks[:2], marks[2:])),
            "errors": sum(errors.values()),
            **{f"errors_{kind}": count for kind, count in sorted(errors.items())},
            "lost": lost,
            "repeated": repeated,
        },
        series={
            "at_s": [first * width_s for first in range(0, len(answer["buckets"]), _DRAWN)],
            "commits_per_s": [
                sum(answer["buckets"][first : first + _DRAWN]) / _DRAWN / width_s
                for first in range(0, len(answer["buckets"]), _DRAWN)
            ],
            "replacing_at_s": [(mark - began) / 1e9 for mark in marks[1:3]],
        },
    )


def _rate(answer: dict[str, Any], begins_ns: int, ends_ns: int) -> float:
    """Commits a second, by the whole buckets within a time."""
    width = answer["bucket_ns"]
    first = -(-(begins_ns - answer["began_ns"]) // width)
    last = (ends_ns - answer["began_ns"]) // width
    return float(sum(answer["buckets"][first:last]) / max(1, last - first) / (width / 1e9))


def _longest(pauses: Sequence[tuple[int, int]], begins_ns: int, ends_ns: int) -> float:
    """The longest time without an acknowledgement that ended within these, in seconds."""
    return max((ends - begins for begins, ends in pauses if begins_ns <= ends <= ends_ns), default=0) / 1e9


def _proposers(row: Row) -> str:
    return f"c={row.parameters['proposers']}, {row.parameters['pace']}"


def _draw(report: Report) -> list[Drawing]:
    rows = report.rows
    drawings = [series(report, rows, "replace", x="at_s", y="commits_per_s", labels=("seconds", "commits/s"))]
    label = "longest time without a commit, s"
    return [
        *drawings,
        bars(report, rows, "replace-gap", value="gap_s", y_label=label, group=_proposers),
    ]


THROUGHPUT = (
    Column("undisturbed", "undisturbed_per_s", thousands),
    Column("meanwhile", "replacing_per_s", thousands),
    Column("of undisturbed", "share", percent, spread=True),
    Column("took", "replacing_s", seconds_text),
)
"""Columns of what came of it (`sample_of`): how much was done."""

TROUBLE = (
    Column("longest gap", "gap_s", seconds_text, spread=True),
    Column("undisturbed", "undisturbed_gap_s", seconds_text),
    Column("errors", "errors", thousands),
    Column("lost", "lost", thousands),
    Column("twice", "repeated", thousands),
)
"""And what clients noticed."""

QUESTION = Question(
    name="replace",
    asks="All nodes of a loaded cluster are replaced, one after another: what do clients notice?",
    options=(
        Option("proposers", "tasks of a client that each await their own commit", (256,), (16,)),
        Option("pace", "how much time each replacement takes at least", tuple(_PACES_S), ("at once",), tuple(_PACES_S)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        *THROUGHPUT,
        Column("one costs", "costs_s", seconds_text),
        *TROUBLE,
    ),
    draw=_draw,
    compare=("share", True),
    engines=("raft_actors", "etcd"),
    seconds=5.0,
    notes=(
        "Proposers are tasks of one client, in a process of its own; what fails is counted, and tried anew.",
        "Undisturbed is the mean of as long before the first node joins as after the last one has gone.",
        "One costs: the undisturbed throughput of so long is what one replacement takes, mostly to catch up.",
        "Three nodes, their three successors and the client share the machine.",
    ),
)
