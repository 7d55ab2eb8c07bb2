"""What does it cost that each command counts exactly once?"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.engines import Engine
from benchmarks.questions.base import COST_COLUMNS, Question, only_ours, product
from benchmarks.questions.loading import Load, measure_load

_WAYS = ("propose", "session.propose")


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 3, "storage": "disk"}
    sets: list[dict[str, Parameter]] = [
        {**base, "payload": payload, "proposers": proposers, "by": way}
        for payload in settings.values["payload"]
        for proposers in settings.values["proposers"]
        for way in _WAYS
    ]
    return product(only_ours(engines), sets)


async def _measure(settings: Settings, case: Case) -> Sample:
    mode = "await" if case.word("by") == _WAYS[0] else "session"
    load = Load(proposers=case.number("proposers"), payload=case.number("payload"), mode=mode)
    return await measure_load(settings, case, load)


QUESTION = Question(
    name="sessions",
    asks="What does it cost that each command counts exactly once?",
    options=(
        Option("proposers", "tasks that each await their own commit", (64, 256, 1024), (64,)),
        Option("payload", "bytes in a command", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=COST_COLUMNS,
    engines=("raft_actors",),
    rounds=5,
    notes=("Up to 256 proposers share a session; with and without by turns in one run.",),
)
