"""How many durable commits a second when a proposer does not wait for each?"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.engines import Engine
from benchmarks.plots import Drawing, bars
from benchmarks.questions.base import Column, Question, decimals, product, thousands
from benchmarks.questions.loading import Load, measure_load
from benchmarks.results import Report, Row

#: More than this many proposals in flight, raft_actors refuses by default.
_MAX_IN_FLIGHT = 16_384


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 3, "storage": "disk", "payload": settings.values["payload"][0]}
    sets: list[dict[str, Parameter]] = [
        {**base, "mode": mode, "proposers": proposers, "batch": batch}
        for mode in settings.words("mode")
        for proposers in settings.numbers("proposers")
        for batch in settings.numbers("batch")
        if mode == "many" or proposers * batch <= _MAX_IN_FLIGHT
    ]
    return [case for case in product(engines, sets) if case.word("mode") in case.engine.modes]


async def _measure(settings: Settings, case: Case) -> Sample:
    load = Load(
        proposers=case.number("proposers"),
        payload=case.number("payload"),
        mode=case.word("mode"),
        batch=case.number("batch"),
    )
    return await measure_load(settings, case, load)


def _draw(report: Report) -> list[Drawing]:
    def group(row: Row) -> str:
        return f"{row.parameters['mode']}\n{row.parameters['proposers']} × {row.parameters['batch']}"

    label = "how proposed; proposers × commands per await (many) or in flight (pipeline)"
    return [
        bars(report, report.rows, "batch", value="commits_per_s", y_label="commits/s", group=group, group_label=label)
    ]


QUESTION = Question(
    name="batch",
    asks="How many durable commits a second when a proposer does not wait for each?",
    options=(
        Option("mode", "how to propose", ("many", "pipeline"), ("many", "pipeline"), ("many", "pipeline")),
        Option("proposers", "tasks that propose", (4, 64), (4,)),
        Option("batch", "commands per await (many), or in flight per proposer (pipeline)", (16, 256, 1024), (64,)),
        Option("payload", "bytes in a command (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("commits/s", "commits_per_s", thousands, spread=True),
        Column("MB/s", "megabytes_per_s", decimals),
        Column("leader CPU µs/commit", "leader_cpu_us", decimals),
    ),
    draw=_draw,
    compare=("commits_per_s", True),
    notes=(
        "many: propose_many; in etcd, a transaction of as many puts. Its latency is that of the whole batch.",
        "pipeline: each proposer has so many commands in flight and awaits the oldest.",
        "Each command is an entry of its own, applied on every replica (but etcd's transaction is one entry).",
    ),
)
