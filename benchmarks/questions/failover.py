"""The leader is killed: how long until the next commit? And does one lose its place without being killed?"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import Cluster, Worker, WorkerFailed, open_cluster
from benchmarks.engines import Engine
from benchmarks.plots import Drawing, bars
from benchmarks.questions.base import Column, Question, only_ours, product, seconds_text, thousands
from benchmarks.questions.loading import Load, load_leader
from benchmarks.results import Report, Row

_TLS = "TLS 1.3"
_SETTLE = Load(proposers=4, payload=128)
_BUSY = Load(proposers=1024, payload=128)


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 3, "storage": "disk"}
    cases: list[Case] = []
    if "kill" in settings.words("test"):
        kill: dict[str, Parameter] = {**base, "test": "kill"}
        ways = settings.words("tls")
        if "no" in ways:
            cases += product(engines, [{**kill, "connections": "plain"} if "yes" in ways else kill])
        if "yes" in ways:
            cases += product(only_ours(engines), [{**kill, "connections": _TLS}])
    if "load" in settings.words("test"):
        for seconds in settings.numbers("load_seconds"):
            busy = product(engines, [{**base, "test": f"{seconds} s of load, c={_BUSY.proposers}"}])
            cases += [attrs.evolve(case, once=True) for case in busy]
    return cases


async def _measure(settings: Settings, case: Case) -> Sample:
    async with open_cluster(
        case.engine,
        nodes=case.number("nodes"),
        storage=case.word("storage"),
        folder=settings.folder,
        options={"tls": True} if case.parameters.get("connections") == _TLS else None,
    ) as cluster:
        leader = await cluster.wait_leader()
        if case.word("test") != "kill":
            return await _stay_leader(settings, cluster, leader)
        await load_leader(attrs.evolve(settings, warmup_s=0.1, seconds=0.4), cluster, leader, _SETTLE)
        killed_ns = await cluster.kill(leader)
        committed_ns = await cluster.first_commit()
        return Sample({"failover_s": (committed_ns - killed_ns) / 1e9})


async def _stay_leader(settings: Settings, cluster: Cluster, leader: Worker) -> Sample:
    """Load a leader for long; one that loses its place has its proposers fail, which is an answer too."""
    busy = attrs.evolve(settings, warmup_s=0.1, seconds=settings.numbers("load_seconds")[0])
    term = (await leader.call("status"))["term"]
    failure: WorkerFailed | None = None
    values: dict[str, float] = {"commits_per_s": 0}
    try:
        values = (await load_leader(busy, cluster, leader, _BUSY)).values
    except WorkerFailed as error:
        failure = error
    elections = (await leader.call("status"))["term"] - term
    if failure is not None and not elections:
        raise failure
    return Sample({"elections": elections, "commits_per_s": values["commits_per_s"]})


def _way(row: Row) -> str:
    return "leader killed, over TLS" if row.parameters.get("connections") == _TLS else "leader killed"


def _draw(report: Report) -> list[Drawing]:
    rows = report.select(test="kill")
    if not rows:
        return []
    label = "seconds from the kill to the next commit"
    return [bars(report, rows, "failover", value="failover_s", y_label=label, group=_way)]


QUESTION = Question(
    name="failover",
    asks="The leader is killed: how long until the next commit?",
    options=(
        Option(
            "test",
            "kill the leader, or see whether load alone makes it lose its place",
            ("kill", "load"),
            ("kill", "load"),
            ("kill", "load"),
        ),
        Option("tls", "whether nodes talk over TLS: both by turns in one run", ("no",), ("no",), ("no", "yes")),
        Option("load_seconds", "length of that load (the first counts)", (60,), (2,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("to the next commit", "failover_s", seconds_text, spread=True),
        Column("elections", "elections", thousands),
        Column("commits/s", "commits_per_s", thousands),
    ),
    draw=_draw,
    compare=("failover_s", False),
    rounds=20,
    notes=("Each engine has its own default timeouts; each kill is of a fresh cluster's leader.",),
)
