"""How many reads a second, at which level, at how many nodes, and beside how many writes?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import trio

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import REPLY_TIMEOUT_S, Cluster, Worker, WorkerFailed, open_cluster
from benchmarks.engines import Engine
from benchmarks.latencies import summarize, unpack
from benchmarks.questions.base import Column, Question, decimals, only_ours, percent, product, seconds_text, thousands

_LEVELS = ("linearizable", "lease", "bounded", "own writes", "local")
_BESIDE = ("writes", "paced writes")
_TESTS = ("levels", "replicas", *_BESIDE, "failover")
_PAYLOAD = 128
_LEASE_S = 1.0
#: How long before the old lease ends the last read is asked: one that is asked as it ends proves nothing.
_MARGIN_S = 0.05
#: A few clients write while the leader is killed, so that the new one inherits entries.
_WRITERS_AT_THE_KILL = 8
#: For each write that is done, nine reads come: of ten operations nine read, whatever either of them takes.
_READS_PER_WRITE = 9
#: Paced writers write at this share of what they can do alone: then there is time for nine times as many reads.
_PACE = 0.15


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
    for test in _BESIDE:
        if test in tests:
            sets += [_case(test, readers=0, writers=writers) for writers in settings.numbers("writers")]
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
        if case.word("test") in _BESIDE:
            return await _write_beside(settings, case, leader)
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
    if not followers:
        values["leader_cpu_us"] = cpu / max(1, answers[0]["total"]) * 1e6
    return Sample(values, latencies=latencies or None)


async def _write_beside(settings: Settings, case: Case, leader: Worker) -> Sample:
    """Have a number of writers write alone, and then as many beside nine reads for each of their writes.

    In closed loops, or paced: each writes at its own times, and a write is late from when it should have begun.
    """
    writers = case.number("writers")

    async def run(reads_per_write: int, writes_per_s: float) -> tuple[dict[str, Any], float]:
        cpu = leader.cpu_seconds()
        answer = await leader.call(
            "read",
            settings.warmup_s + settings.seconds + REPLY_TIMEOUT_S,
            level=case.word("level"),
            readers=reads_per_write * writers,
            writers=writers,
            reads_per_write=reads_per_write,
            writes_per_s=writes_per_s,
            payload=_PAYLOAD,
            warmup_s=settings.warmup_s,
            seconds=settings.seconds,
        )
        return answer, leader.cpu_seconds() - cpu

    pace = 0.0
    alone, cpu = await run(0, pace)
    if case.word("test") == "paced writes":
        pace = alone["writes_per_s"] * _PACE
        alone, cpu = await run(0, pace)
    beside, cpu_beside = await run(_READS_PER_WRITE, pace)
    run_s = settings.warmup_s + settings.seconds
    summaries = [summarize([unpack(answer["write_latencies"])]) for answer in (alone, beside)]
    p99_ms = [float("nan") if summary is None else summary.percentiles["p99"] for summary in summaries]
    return Sample(
        {
            "reads_per_s": beside["commits"] / settings.seconds,
            "writes_per_s": beside["writes_per_s"],
            "writes_share": beside["writes_per_s"] / max(1.0, alone["writes_per_s"]),
            "write_p99_ms": p99_ms[1],
            "write_p99_alone_ms": p99_ms[0],
            "leader_busy": cpu_beside / run_s,
            "leader_busy_alone": cpu / run_s,
        },
        latencies=unpack(beside["latencies"]),
    )


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
        Option("writers", "tasks that write, each write beside nine reads", (64,), (4,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("reads/s", "reads_per_s", thousands, spread=True),
        Column("leader CPU µs/read", "leader_cpu_us", decimals),
        Column("writes/s", "writes_per_s", thousands, spread=True),
        Column("÷ alone", "writes_share", percent, spread=True),
        Column("write p99 ms", "write_p99_ms", decimals),
        Column("alone", "write_p99_alone_ms", decimals),
        Column("a core of the leader's", "leader_busy", percent),
        Column("writes alone", "leader_busy_alone", percent),
        Column("answered before the old lease ends", "answered", percent, spread=True),
        Column("first write after", "wrote_after_s", seconds_text),
    ),
    engines=("raft_actors",),
    notes=(
        "Each reader awaits its own read, inside the process of the node that it asks. The query reads one number.",
        f"Writes: nine reads come for each that is done. Paced ones come at {_PACE:.0%} of the rate of closed loops.",
        f"After a failover: leases of {_LEASE_S} s; a read each millisecond at the new leader, each about another key.",
    ),
)
