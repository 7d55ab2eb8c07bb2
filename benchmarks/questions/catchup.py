"""How fast does a follower catch up that was away?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import REPLY_TIMEOUT_S, open_cluster
from benchmarks.engines import OURS, Engine
from benchmarks.plots import Drawing, bars, short
from benchmarks.questions.base import Column, Question, decimals, only_ours, product, seconds_text, thousands
from benchmarks.questions.loading import fill
from benchmarks.results import Report, Row

_SLOWEST_PER_S = 2000


_NO_POLICY: dict[str, Any] = {"snapshot_entries": None, "snapshot_bytes": None, "keep_commands": True}
#: What our engine is told so that it goes this way.
_OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "log": _NO_POLICY,
    "snapshot": {**_NO_POLICY, "trailing_entries": 1000, "max_catch_up_bytes": 0},
}


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 3, "storage": "disk", "payload": settings.values["payload"][0]}
    cases: list[Case] = []
    for entries in settings.numbers("entries"):
        for way in settings.words("way"):
            able = engines if way == "default" else only_ours(engines)
            asked = [each for each in able if each is OURS or entries in settings.numbers("peer_entries")]
            cases += product(asked, [{**base, "entries": entries, "way": way}])
    return cases


async def _measure(settings: Settings, case: Case) -> Sample:
    way, entries, payload = case.word("way"), case.number("entries"), case.number("payload")
    async with open_cluster(
        case.engine,
        nodes=case.number("nodes"),
        storage=case.word("storage"),
        folder=settings.folder,
        options=_OPTIONS[way],
    ) as cluster:
        leader = await cluster.wait_leader()
        away = cluster.followers(leader)[0]
        node = away.node
        await cluster.kill(away)
        await fill(leader, commits=entries, payload=payload)
        await cluster.wait_all_applied(leader)
        if way == "snapshot":
            await leader.call("snapshot")
        target = (await leader.call("status"))["applied"]
        began = time.perf_counter()
        back = await cluster.start(node)
        started = time.perf_counter()
        await cluster.wait_applied(back, target, REPLY_TIMEOUT_S + entries / _SLOWEST_PER_S)
        ended = time.perf_counter()
        return Sample(
            {
                "catchup_s": ended - began,
                "started_s": started - began,
                "megabytes_per_s": entries * payload / 1e6 / (ended - started),
                "entries_per_s": entries / (ended - started),
            }
        )


def _group(row: Row) -> str:
    return f"{short(float(row.parameters['entries']))} entries\nby {row.parameters['way']}"


def _draw(report: Report) -> list[Drawing]:
    label = "MB/s of commands, received, synced and applied"
    return [bars(report, report.rows, "catchup", value="megabytes_per_s", y_label=label, group=_group)]


QUESTION = Question(
    name="catchup",
    asks="How fast does a follower catch up that was away?",
    options=(
        Option("entries", "commands committed while it was away", (100_000, 1_000_000), (5000,)),
        Option("peer_entries", "of these, with which to try other engines too", (100_000,), (5000,)),
        Option(
            "way",
            "as the engine does it on its own; by log, by snapshot (these: raft_actors only)",
            tuple(_OPTIONS),
            tuple(_OPTIONS),
            tuple(_OPTIONS),
        ),
        Option("payload", "bytes in a command (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("until it has applied all", "catchup_s", seconds_text, spread=True),
        Column("of it, to the node started", "started_s", seconds_text),
        Column("MB/s, once started", "megabytes_per_s", decimals),
        Column("entries/s", "entries_per_s", thousands),
    ),
    draw=_draw,
    compare=("catchup_s", False),
    notes=(
        "By log and by snapshot, the state machine keeps every command, so that a snapshot is as large as the log.",
        "Otherwise it only counts, so whoever sends a snapshot on its own sends next to nothing.",
    ),
)
