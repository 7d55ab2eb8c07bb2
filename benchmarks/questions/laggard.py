"""What does one follower that is slow, or far away, do to the leader?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import Cluster, open_cluster
from benchmarks.engines import Engine
from benchmarks.questions.base import Column, Question, decimals, mebibytes, only_ours, product, thousands
from benchmarks.questions.loading import Load, load_leader

_LAGGARD = "n3"
_WAYS: Mapping[str, Mapping[str, Any]] = {
    "as the others": {},
    "disk 100 times slower": {"hindered": _LAGGARD, "disk_times": 100},
    "200 ms away": {"hindered": _LAGGARD, "delay_s": 0.2},
}


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    sets: list[dict[str, Parameter]] = [
        {"nodes": 3, "storage": "disk", "payload": 128, "proposers": proposers, "one follower": way}
        for proposers in settings.values["proposers"]
        for way in _WAYS
    ]
    return product(only_ours(engines), sets)


async def _measure(settings: Settings, case: Case) -> Sample:
    async with open_cluster(
        case.engine,
        nodes=case.number("nodes"),
        storage=case.word("storage"),
        folder=settings.folder,
        options=_WAYS[case.word("one follower")],
    ) as cluster:
        await _have_another_lead(cluster)
        leader = await cluster.wait_leader()
        load = Load(proposers=case.number("proposers"), payload=case.number("payload"))
        return await load_leader(settings, cluster, leader, load)


async def _have_another_lead(cluster: Cluster) -> None:
    """See that the node that lags does not lead."""
    leader = await cluster.wait_leader()
    if leader.node == _LAGGARD:
        await leader.call("transfer", to=next(node for node in cluster.workers if node != _LAGGARD))


QUESTION = Question(
    name="laggard",
    asks="What does one follower that is slow, or far away, do to the leader?",
    options=(Option("proposers", "tasks that each await their own commit", (64,), (16,)),),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("commits/s", "commits_per_s", thousands, spread=True),
        Column("leader CPU µs/commit", "leader_cpu_us", decimals),
        Column("leader's memory", "leader_resident_bytes", mebibytes, spread=True),
        Column("elections", "elections", thousands),
    ),
    engines=("raft_actors",),
    rounds=5,
    notes=("Its disk takes a hundred times as long for each write; or all that it is sent arrives 200 ms later.",),
)
