"""What does a commit cost in CPU time, in the leader and in a follower, and where does it go?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import attrs
import trio

from benchmarks import profiles
from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import Cluster, Worker, open_cluster
from benchmarks.engines import Engine
from benchmarks.plots import Drawing, bars, shares
from benchmarks.questions.base import Column, Question, decimals, only_ours, percent, product, thousands
from benchmarks.questions.loading import Load, load_leader, measure_load
from benchmarks.results import Report, Row

_KEPT = ("commits_per_s", "leader_cpu_us", "follower_cpu_us", "leader_cpu_share")
_PACKAGES = ("raft_actors", "transports", "persistence", "trio", "outcome", "benchmarks", "queue.py", "threading.py")


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 3, "storage": "disk", "payload": settings.values["payload"][0]}
    counts = settings.numbers("proposers")
    cases = product(engines, [{**base, "proposers": count, "profile": "none"} for count in counts])
    watched: list[dict[str, Parameter]] = [
        {**base, "proposers": count, "profile": who}
        for count in counts
        for who in settings.words("profile")
        if who != "none"
    ]
    return cases + [attrs.evolve(case, once=True) for case in product(only_ours(engines), watched)]


async def _measure(settings: Settings, case: Case) -> Sample:
    load = Load(proposers=case.number("proposers"), payload=case.number("payload"))
    if case.word("profile") == "none":
        sample = await measure_load(settings, case, load)
        return Sample({name: sample.values[name] for name in _KEPT})
    async with open_cluster(
        case.engine, nodes=case.number("nodes"), storage=case.word("storage"), folder=settings.folder
    ) as cluster:
        leader = await cluster.wait_leader()
        watched = leader if case.word("profile") == "leader" else cluster.followers(leader)[0]
        stacks, sample = await _watch(settings, cluster, leader, watched, load, "raw")
        graph, _ = await _watch(settings, cluster, leader, watched, load, "flamegraph")
    name = f"flame-{case.word('profile')}-c{load.proposers}"
    packages = "".join(
        f"{share:7.1%}  {package}\n" for package, share in profiles.by_package(stacks, _PACKAGES).items()
    )
    functions = profiles.own_time(stacks)
    listed = "".join(f"{share:7.1%}  {function}\n" for function, share in functions.items() if share >= 0.001)
    return Sample(
        {"commits_per_s": sample.values["commits_per_s"]},
        series={function: [share] for function, share in functions.items()},
        texts={f"{name}.svg": graph, f"{name}.txt": f"By package:\n{packages}\nBy function, own time:\n{listed}"},
    )


async def _watch(
    settings: Settings, cluster: Cluster, leader: Worker, watched: Worker, load: Load, kind: str
) -> tuple[str, Sample]:
    """Profile one node while the leader is loaded."""
    seconds = max(1, round(settings.seconds))
    samples: list[Sample] = []
    longer = attrs.evolve(settings, seconds=seconds + 1.0)

    async def run_load() -> None:
        samples.append(await load_leader(longer, cluster, leader, load))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_load)
        await trio.sleep(settings.warmup_s)
        profile = await profiles.record(watched.pid, seconds=seconds, kind=kind)
    return profile, samples[0]


def _group(who: str, row: Row) -> str:
    return f"{who}\nc={row.parameters['proposers']}"


def _draw(report: Report) -> list[Drawing]:
    drawings: list[Drawing] = []
    plain = report.select(profile="none")
    for who in ("leader", "follower"):
        if plain:
            label = f"CPU µs per commit in the {who}"
            value = f"{who}_cpu_us"
            drawings.append(bars(report, plain, f"cpu-{who}", value=value, y_label=label, group=partial(_group, who)))
        for row in report.select(profile=who):
            name = f"cpu-{who}-functions-c{row.parameters['proposers']}"
            drawings.append(shares(report, row, name, label=f"share of the {who}'s samples, own time"))
    return drawings


QUESTION = Question(
    name="cpu",
    asks="What does a commit cost in CPU time, in the leader and in a follower, and where does it go?",
    options=(
        Option("proposers", "tasks that each await their own commit", (64, 256, 1024), (64,)),
        Option(
            "profile",
            "whose flame graph to draw (raft_actors only)",
            ("leader", "follower"),
            ("leader",),
            ("leader", "follower", "none"),
        ),
        Option("payload", "bytes in a command (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("leader CPU µs/commit", "leader_cpu_us", decimals, spread=True),
        Column("follower CPU µs/commit", "follower_cpu_us", decimals, spread=True),
        Column("leader CPU (of a core)", "leader_cpu_share", percent),
        Column("commits/s", "commits_per_s", thousands),
    ),
    draw=_draw,
    compare=("leader_cpu_us", False),
    seconds=5.0,
    notes=(
        "The leader's CPU time includes the proposers' (etcd: the server only, without its client).",
        "A profile slows what it watches: read the shares, not the throughput.",
    ),
)
