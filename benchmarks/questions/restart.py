"""Every node has crashed: how long from starting them again to the first commit?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import open_cluster
from benchmarks.engines import OURS, Engine
from benchmarks.plots import Drawing, bars, short
from benchmarks.questions.base import Column, Question, mebibytes, only_ours, product, seconds_text
from benchmarks.questions.loading import fill
from benchmarks.results import Report, Row

#: What a snapshot setting means to our engine. "default" is what each engine does on its own.
_SNAPSHOTS: dict[str, dict[str, Any]] = {
    "default": {},
    "none": {"snapshot_entries": None, "snapshot_bytes": None},
    "taken": {"snapshot_entries": None, "snapshot_bytes": None},
}


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 3, "storage": "disk", "payload": settings.values["payload"][0]}
    cases: list[Case] = []
    for entries in settings.numbers("entries"):
        for snapshot in settings.words("snapshot"):
            able = engines if snapshot == "default" else only_ours(engines)
            asked = [each for each in able if each is OURS or entries in settings.numbers("peer_entries")]
            cases += product(asked, [{**base, "entries": entries, "snapshot": snapshot}])
    return cases


async def _measure(settings: Settings, case: Case) -> Sample:
    snapshot = case.word("snapshot")
    async with open_cluster(
        case.engine,
        nodes=case.number("nodes"),
        storage=case.word("storage"),
        folder=settings.folder,
        options=_SNAPSHOTS[snapshot],
    ) as cluster:
        leader = await cluster.wait_leader()
        await fill(leader, commits=case.number("entries"), payload=case.number("payload"))
        await cluster.wait_all_applied(leader)
        if snapshot == "taken":
            for worker in cluster.workers.values():
                await worker.call("snapshot")
        stored = (await leader.call("status"))["stored_bytes"]
        await cluster.kill_all()
        began_ns = time.time_ns()
        await cluster.start_all()
        started_ns = time.time_ns()
        committed_ns = await cluster.first_commit()
        return Sample(
            {
                "first_commit_s": (committed_ns - began_ns) / 1e9,
                "started_s": (started_ns - began_ns) / 1e9,
                "stored_bytes": stored,
            }
        )


def _draw(report: Report) -> list[Drawing]:
    def group(row: Row) -> str:
        return f"{short(float(row.parameters['entries']))} entries\nsnapshot: {row.parameters['snapshot']}"

    label = "seconds to the first commit"
    return [bars(report, report.rows, "restart", value="first_commit_s", y_label=label, group=group)]


QUESTION = Question(
    name="restart",
    asks="Every node has crashed: how long from starting them again to the first commit?",
    options=(
        Option("entries", "commands committed before", (10_000, 100_000, 1_000_000), (2000,)),
        Option("peer_entries", "of these, with which to try other engines too", (10_000, 100_000), (2000,)),
        Option(
            "snapshot",
            "as the engine does it on its own; none; taken just before (both: raft_actors only)",
            ("default", "none", "taken"),
            ("default", "taken"),
            tuple(_SNAPSHOTS),
        ),
        Option("payload", "bytes in a command (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("to the first commit", "first_commit_s", seconds_text, spread=True),
        Column("of it, to nodes started", "started_s", seconds_text),
        Column("on disk", "stored_bytes", mebibytes),
    ),
    draw=_draw,
    compare=("first_commit_s", False),
    notes=("All three are killed (kill -9) and started at once; the time of starting processes is in it.",),
)
