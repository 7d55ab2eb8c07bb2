"""Every node of a loaded cluster is stopped and started again, one after another: what do clients notice?"""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import REPLY_TIMEOUT_S, Cluster, open_cluster
from benchmarks.engines import Engine
from benchmarks.questions.base import Question, product
from benchmarks.questions.replace import THROUGHPUT, TROUBLE, sample_of

_NODES = 3


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": _NODES, "storage": "disk", "payload": 128}
    return product(engines, [{**base, "proposers": count} for count in settings.numbers("proposers")])


async def _measure(settings: Settings, case: Case) -> Sample:
    async with open_cluster(
        case.engine, nodes=_NODES, storage=case.word("storage"), folder=settings.folder, options={"ledger": True}
    ) as cluster:
        await cluster.wait_leader()
        client = await cluster.open_worker("client")
        await client.call(
            "begin", addresses=cluster.addresses, proposers=case.number("proposers"), payload=case.number("payload")
        )
        await trio.sleep(settings.warmup_s)
        marks = [time.time_ns()]
        await trio.sleep(settings.seconds)
        marks.append(time.time_ns())
        for node in cluster.addresses:
            await _restart(cluster, node)
        marks.append(time.time_ns())
        await trio.sleep(settings.seconds)
        marks.append(time.time_ns())
        answer = await client.call("end", timeout_s=2 * REPLY_TIMEOUT_S)
        ledger = await cluster.workers[next(iter(cluster.addresses))].call("ledger")
        return sample_of(answer, ledger["applied"], marks)


async def _restart(cluster: Cluster, node: str) -> None:
    """Stop it as its owner would, and start it again; wait until it has what another one had applied by then."""
    await cluster.stop(cluster.workers[node])
    worker = await cluster.start(node)
    other = next(cluster.workers[each] for each in cluster.addresses if each != node)
    await cluster.wait_applied(worker, (await other.call("status"))["applied"])


QUESTION = Question(
    name="rolling",
    asks="All nodes of a loaded cluster are restarted, one after another: what do clients notice?",
    options=(Option("proposers", "tasks of a client that each await their own commit", (256,), (16,)),),
    plan=_plan,
    measure=_measure,
    columns=(*THROUGHPUT, *TROUBLE),
    compare=("share", True),
    engines=("raft_actors",),
    seconds=3.0,
    notes=(
        "Each node is stopped in an orderly way, and started again in a new process; then comes the next one.",
        "Proposers are tasks of one client, in a process of its own; what fails is counted, and tried anew.",
        "Three nodes, the processes that start and the client share the machine.",
    ),
)
