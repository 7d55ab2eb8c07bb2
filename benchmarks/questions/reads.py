"""How many reads a second, at which level, at how many nodes, and beside how many writes?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import trio

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import REPLY_TIMEOUT_S, Cluster, Worker, WorkerFailed, open_cluster
from benchmarks.engines import Engine
from benchmarks.latencies import unpack
from benchmarks.questions.base import Column, Question, decimals, only_ours, percent, product, seconds_text, thousands

_LEVELS = ("linearizable", "lease", "bounded", "own writes", "local")
_TESTS = ("levels", "replicas", "writes", "failover")
_PAYLOAD = 128
_LEASE_S = 1.0
#: How long before the old lease ends the last read is asked: one that is asked as it ends proves nothing.
_MARGIN_S = 0.05
#: A few clients write while the leader is killed, so that the new one inherits entries.
_WRITERS_AT_THE_KILL = 8
#: Of ten that are under way, nine read.
_READERS_PER_WRITER = 9


def _case(
    test: str, *, nodes: int = 3, level: str = "linearizable", reading: int = 1, readers: int = 64, writers: int = 0
) -> dict[str, Parameter]:
    return {
        "nodes": nodes,
        "storage": "disk",
        "test": test,
        "level": level,
        "nodes that read": reading,
        "readers each": readers,
        "writers": writers,
    }


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    tests, sets = settings.words("test"), list[dict[str, Parameter]]()
    if "levels" in tests:
        levels = [(level, readers) for readers in settings.numbers("readers") for level in settings.words("level")]
        sets += [_case("levels", level=level, readers=readers) for level, readers in levels]
    if "replicas" in tests:
        for nodes in settings.numbers("nodes"):
            levels = [(level, reading) for level in ("linearizable", "local") for reading in sorted({1, nodes})]
            sets += [_case("replicas", nodes=nodes, level=level, reading=reading) for level, reading in levels]
    if "writes" in tests:
        for writers in settings.numbers("writers"):
            sets += [
                _case("writes", readers=readers, writers=writers) for readers in (0, _READERS_PER_WRITER * writers)
            ]
    if "failover" in tests:
        sets.append(_case("failover", level="lease", readers=0, writers=_WRITERS_AT_THE_KILL))
    return product(only_ours(engines), sets)


async def _measure(settings: Settings, case: Case) -> Sample:
    leases = case.word("level") == "lease"
    options: Mapping[str, Any] = {"lease_s": _LEASE_S} if leases else {}
    async with open_cluster(
        case.engine, nodes=case.number("nodes"), storage=case.word("storage"), folder=settings.folder, options=options
    ) as cluster:
        leader = await cluster.wait_leader()
        if leases:
            await trio.sleep(_LEASE_S * 1.5)  # a cluster that starts waits as one after a failover does
        if case.word("test") == "failover":
            return await _fail_over(cluster, leader)
        followers = cluster.followers(leader)[: case.number("nodes that read") - 1]
        return await _read(settings, case, leader, followers)


async def _read(settings: Settings, case: Case, leader: Worker, followers: Sequence[Worker]) -> Sample:
    """Have some nodes read at the same time."""
    timeout_s = settings.warmup_s + settings.seconds + REPLY_TIMEOUT_S
    answers: list[dict[str, Any]] = []

    async def ask(worker: Worker, writers: int) -> None:
        answer = await worker.call(
            "read",
            timeout_s,
            level=case.word("level"),
            readers=case.number("readers each"),
            writers=writers,
            payload=_PAYLOAD,
            warmup_s=settings.warmup_s,
            seconds=settings.seconds,
        )
        answers.append(answer)

    cpu = leader.cpu_seconds()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, leader, case.number("writers"))
        for worker in followers:
            nursery.start_soon(ask, worker, 0)
    cpu = leader.cpu_seconds() - cpu
    reads = sum(answer["commits"] for answer in answers)
    latencies = [tick for answer in answers for tick in unpack(answer["latencies"])]
    values: dict[str, float] = {}
    if case.number("readers each"):
        values["reads_per_s"] = reads / settings.seconds
    if case.number("writers"):
        values["writes_per_s"] = sum(answer["writes_per_s"] for answer in answers)
    if not followers and "writes_per_s" not in values:
        values["leader_cpu_us"] = cpu / max(1, answers[0]["total"]) * 1e6
    return Sample(values, latencies=latencies or None)


async def _fail_over(cluster: Cluster, leader: Worker) -> Sample:
    """Kill a leader that is written to, and see what the next one answers while the old one's lease may run."""
    followers, answers = cluster.followers(leader), list[dict[str, Any]]()

    async def write() -> None:
        load: Any = {"proposers": _WRITERS_AT_THE_KILL, "payload": _PAYLOAD, "mode": "await", "batch": 1}
        try:
            await leader.call("load", warmup_s=0.1, seconds=60.0, **load)
        except WorkerFailed:
            return  # killed

    async def read(worker: Worker, others: trio.CancelScope) -> None:
        answers.append(await worker.call("read_after_failover", lease_s=_LEASE_S, margin_s=_MARGIN_S))
        others.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.sleep(0.5)
        async with trio.open_nursery() as readers:
            for worker in followers:
                readers.start_soon(read, worker, readers.cancel_scope)
            await trio.sleep(0.1)
            await cluster.kill(leader)
    answer = answers[0]
    return Sample({"answered": answer["answered"] / max(1, answer["asked"]), "wrote_after_s": answer["wrote_after_s"]})


QUESTION = Question(
    name="reads",
    asks="How many reads a second, at which level, at how many nodes, and beside how many writes?",
    options=(
        Option("test", "what to measure", _TESTS, _TESTS, _TESTS),
        Option("level", "levels to compare at the leader", _LEVELS, ("linearizable", "lease"), _LEVELS),
        Option("readers", "tasks that each await their own read, there", (1, 64, 256), (4,)),
        Option("nodes", "nodes in the clusters of which all read", (3, 5, 7), (3,)),
        Option("writers", "tasks that write beside nine times as many that read", (16,), (4,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("reads/s", "reads_per_s", thousands, spread=True),
        Column("leader CPU µs/read", "leader_cpu_us", decimals),
        Column("writes/s", "writes_per_s", thousands, spread=True),
        Column("answered before the old lease ends", "answered", percent, spread=True),
        Column("first write after", "wrote_after_s", seconds_text),
    ),
    engines=("raft_actors",),
    notes=(
        "Each reader awaits its own read, inside the process of the node that it asks. The query reads one number.",
        f"After a failover: leases of {_LEASE_S} s; a read each millisecond at the new leader, each about another key.",
    ),
)
