"""What does it cost that nodes talk over TLS?"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.engines import Engine
from benchmarks.plots import Drawing, lines
from benchmarks.questions.base import COST_COLUMNS, Question, only_ours, product
from benchmarks.questions.loading import Load, measure_load
from benchmarks.results import Report

_WAYS = ("plain", "TLS 1.3")


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 3, "storage": "disk"}
    sets: list[dict[str, Parameter]] = [
        {**base, "payload": payload, "proposers": proposers, "connections": way}
        for payload in settings.values["payload"]
        for proposers in settings.values["proposers"]
        for way in _WAYS
    ]
    return product(only_ours(engines), sets)


async def _measure(settings: Settings, case: Case) -> Sample:
    load = Load(proposers=case.number("proposers"), payload=case.number("payload"))
    return await measure_load(settings, case, load, {"tls": case.word("connections") != _WAYS[0]})


def _draw(report: Report) -> list[Drawing]:
    label = "leader CPU µs/commit"
    chosen = [row for row in report.rows if row.parameters["connections"] == _WAYS[1]]
    if len({row.parameters["proposers"] for row in chosen}) < 2:
        return []
    return [lines(report, chosen, "tls", x="proposers", y="leader_cpu_us", y_label=label, x_scale="log")]


QUESTION = Question(
    name="tls",
    asks="What does it cost that nodes talk over TLS?",
    options=(
        Option("proposers", "tasks that each await their own commit", (1, 64, 1024), (64,)),
        Option("payload", "bytes in a command", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=COST_COLUMNS,
    draw=_draw,
    engines=("raft_actors",),
    rounds=5,
    notes=("Certificates on both sides, P-256; plain and TLS by turns in one run.",),
)
