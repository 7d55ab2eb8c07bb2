"""What does a cluster cost that has nothing to do?"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from benchmarks.cases import Case, Sample, Settings
from benchmarks.cluster import open_cluster
from benchmarks.engines import Engine
from benchmarks.plots import Drawing, bars
from benchmarks.questions.base import Column, Question, mebibytes, percent, product
from benchmarks.questions.loading import fill
from benchmarks.results import Report

_SETTLE_S = 2.0
_COMMITS = 100


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    del settings
    return product(engines, [{"nodes": 3, "storage": "disk"}])


async def _measure(settings: Settings, case: Case) -> Sample:
    async with open_cluster(
        case.engine, nodes=case.number("nodes"), storage=case.word("storage"), folder=settings.folder
    ) as cluster:
        leader = await cluster.wait_leader()
        await fill(leader, commits=_COMMITS, payload=128)
        await trio.sleep(min(_SETTLE_S, settings.seconds))
        workers = list(cluster.workers.values())
        before = [worker.cpu_seconds() for worker in workers]
        began = trio.current_time()
        await trio.sleep(settings.seconds)
        took = trio.current_time() - began
        used = [worker.cpu_seconds() - start for worker, start in zip(workers, before, strict=True)]
        return Sample(
            {
                "cores": sum(used) / took,
                "leader_cores": used[workers.index(leader)] / took,
                "resident_bytes": sum(worker.resident_bytes() for worker in workers),
            }
        )


def _draw(report: Report) -> list[Drawing]:
    label = "cores used by three nodes"
    return [bars(report, report.rows, "idle", value="cores", y_label=label, group=lambda _: "idle cluster")]


QUESTION = Question(
    name="idle",
    asks="What does a cluster cost that has nothing to do?",
    options=(),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("CPU of all nodes (of a core)", "cores", percent, spread=True),
        Column("of it, the leader", "leader_cores", percent),
        Column("memory of all nodes", "resident_bytes", mebibytes),
    ),
    draw=_draw,
    compare=("cores", False),
    seconds=20.0,
    notes=("etcd: its servers only, without the clients.",),
)
