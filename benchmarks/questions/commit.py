"""How many durable commits a second, and how long does each take?"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.engines import Engine
from benchmarks.plots import Drawing, curve, fixed_parameters, lines
from benchmarks.questions.base import Column, Question, decimals, product, thousands
from benchmarks.questions.loading import Load, measure_load
from benchmarks.results import Report

#: Where one thing is varied, the others stand here.
BASE: dict[str, Parameter] = {"nodes": 3, "storage": "disk", "payload": 128, "proposers": 256}
_VARIES = ("proposers", "payload", "nodes", "storage")


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    sets: list[dict[str, Parameter]] = []
    for name in settings.words("vary"):
        # What is not varied has its base value, or the one value that it was given.
        given = {each: values[0] for each, values in settings.values.items() if each in BASE and len(values) == 1}
        sets += [{**BASE, **given, name: value} for value in settings.values[name]]
    cases = product(engines, sets)
    return [case for case in cases if case.word("storage") in case.engine.storages]


async def _measure(settings: Settings, case: Case) -> Sample:
    load = Load(proposers=case.number("proposers"), payload=case.number("payload"))
    return await measure_load(settings, case, load)


# What the plots ask, each for itself.
_COMMITS = "How many durable commits a second?"
_MEGABYTES = "How many megabytes of commands a second, committed durably?"
_LATENCY = "How long does a durable commit take?"


def _draw(report: Report) -> list[Drawing]:
    drawings: list[Drawing] = []
    rows = report.rows
    commits, latency = (attrs.evolve(report, asks=asks) for asks in (_COMMITS, _LATENCY))
    for name, scale, value, unit, of in (
        ("proposers", "log", "commits_per_s", "commits/s", commits),
        ("payload", "log", "megabytes_per_s", "MB/s of payload", attrs.evolve(report, asks=_MEGABYTES)),
        ("nodes", "linear", "commits_per_s", "commits/s", commits),
    ):
        others = _fixed(report, name)
        chosen = [row for row in rows if all(row.parameters[each] == base for each, base in others.items())]
        if len({row.parameters[name] for row in chosen}) < 2:
            continue
        drawings.append(lines(of, chosen, f"commit-{name}", x=name, y=value, y_label=unit, x_scale=scale))
        if name == "proposers":
            drawings.append(lines(latency, chosen, "commit-latency", x=name, y="p50", y_label="p50 ms", x_scale=scale))
            drawings.append(lines(latency, chosen, "commit-p99", x=name, y="p99", y_label="p99 ms", x_scale=scale))
            drawings.append(curve(report, chosen, "commit-curve", point="proposers"))
    return drawings


def _fixed(report: Report, varied: str) -> dict[str, Parameter]:
    """The base, or where a run had only one other value, that one."""
    single = fixed_parameters(report.rows)
    return {name: single.get(name, base) for name, base in BASE.items() if name != varied}


QUESTION = Question(
    name="commit",
    asks="How many durable commits a second, and how long does each take?",
    options=(
        Option("vary", "what to vary, the rest staying at its base", _VARIES, ("proposers", "storage"), _VARIES),
        Option("proposers", "tasks that each await their own commit", (1, 4, 16, 64, 256, 1024, 4096), (1, 64)),
        Option("payload", "bytes in a command", (16, 128, 1024, 16_384, 131_072), (128,)),
        Option("nodes", "nodes in the cluster", (1, 3, 5, 7), (3,)),
        Option("storage", "where the log is", ("disk", "memory"), ("disk", "memory"), ("disk", "memory")),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("commits/s", "commits_per_s", thousands, spread=True),
        Column("MB/s", "megabytes_per_s", decimals),
        Column("leader CPU µs/commit", "leader_cpu_us", decimals),
        Column("elections", "elections", thousands),
    ),
    draw=_draw,
    compare=("commits_per_s", True),
    notes=(
        "Each proposer awaits its own commit inside the leader's process (etcd: in a client process beside it).",
        "Every replica applies every command.",
    ),
)
