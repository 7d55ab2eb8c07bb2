"""Where does a commit's time go, hand-over by hand-over, in leader and follower?"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import open_cluster
from benchmarks.engines import Engine
from benchmarks.plots import Drawing, hand_overs
from benchmarks.questions.base import Column, Question, decimals, only_ours, product, thousands
from benchmarks.questions.loading import Load, load_leader
from benchmarks.results import Report
from benchmarks.workers.stamps import FOLLOWER, LEADER


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 3, "storage": "disk", "payload": settings.values["payload"][0]}
    varied: list[dict[str, Parameter]] = [
        {**base, "proposers": count, "node": node}
        for count in settings.numbers("proposers")
        for node in settings.words("node")
    ]
    return product(only_ours(engines), varied)


async def _measure(settings: Settings, case: Case) -> Sample:
    load = Load(proposers=case.number("proposers"), payload=case.number("payload"))
    async with open_cluster(
        case.engine,
        nodes=case.number("nodes"),
        storage=case.word("storage"),
        folder=settings.folder,
        options={"stamps": True},
    ) as cluster:
        leader = await cluster.wait_leader()
        leads = case.word("node") == "leader"
        watched = leader if leads else cluster.followers(leader)[0]
        await watched.call("hops", leads=leads)  # which forgets what came before
        sample = await load_leader(settings, cluster, leader, load)
        found: dict[str, list[float]] = (await watched.call("hops", leads=leads))["hops"]
    medians = {name: figures[0] for name, figures in found.items()}
    return Sample({"commits_per_s": sample.values["commits_per_s"], **medians}, sample.latencies, series=found)


def _draw(report: Report) -> list[Drawing]:
    label = "µs: bars to the median, lines to the ninth decile"
    return [
        hand_overs(report, row, f"hops-{row.parameters['node']}-c{row.parameters['proposers']}", label=label)
        for row in report.rows
    ]


_NAMES = dict.fromkeys(hand_over.name for hand_over in (*LEADER, *FOLLOWER))

QUESTION = Question(
    name="hops",
    asks="Where does a commit's time go, hand-over by hand-over, in leader and follower?",
    options=(
        Option("proposers", "tasks that each await their own commit", (1, 64), (1,)),
        Option("node", "whose hand-overs", ("leader", "follower"), ("leader", "follower"), ("leader", "follower")),
        Option("payload", "bytes in a command (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        *(Column(f"{name}, µs", name, decimals) for name in _NAMES),
        Column("commits/s", "commits_per_s", thousands),
    ),
    draw=_draw,
    engines=("raft_actors",),
    notes=(
        "Medians of each hand-over; with several proposers, of each first and last one that belong together.",
        "The stamps take about ten microseconds of a commit. Without this question, there are none.",
    ),
)
