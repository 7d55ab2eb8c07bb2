"""A cluster of one grows to three: how long does that take, and what takes it?"""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio

from benchmarks.cases import Case, Option, Parameter, Sample, Settings
from benchmarks.cluster import Worker, open_cluster
from benchmarks.engines import Engine
from benchmarks.questions.base import Column, Question, product, seconds_text
from benchmarks.questions.loading import fill

_NEWCOMERS = 2


def _plan(settings: Settings, engines: Sequence[Engine]) -> list[Case]:
    base: dict[str, Parameter] = {"nodes": 1, "storage": "disk", "payload": settings.values["payload"][0]}
    return product(engines, [{**base, "entries": entries} for entries in settings.numbers("entries")])


async def _measure(settings: Settings, case: Case) -> Sample:
    async with open_cluster(
        case.engine, nodes=1, storage=case.word("storage"), folder=settings.folder, spare=_NEWCOMERS
    ) as cluster:
        leader = await cluster.wait_leader()
        await fill(leader, commits=case.number("entries"), payload=case.number("payload"))
        await leader.call("watch")
        marks = [time.time_ns()]
        newcomers = [await cluster.open_worker(node) for node in cluster.spare]
        async with trio.open_nursery() as nursery:
            for worker in newcomers:
                nursery.start_soon(worker.call, "ready")
        marks.append(time.time_ns())

        async def join(worker: Worker) -> None:
            await cluster.join(worker, through=leader.node)

        async with trio.open_nursery() as nursery:
            for worker in newcomers:
                nursery.start_soon(join, worker)
        marks.append(time.time_ns())
        seen = await leader.call("watched")
        return sample_of([(at, phase) for at, phase in seen["changes"]], marks)


def sample_of(changes: Sequence[tuple[int, str]], marks: Sequence[int]) -> Sample:
    """How long it took, and what did.

    Args:
        changes: when the members changed, in ns, and what follows: `workers.changes.Changes.result`.
        marks: when the newcomers' processes were started, when they ran, and when both newcomers voted, in ns.
    """
    started, ran, ended = marks
    spent = {"asking": 0, "learning": 0, "deciding": 0}
    phase, since = "asking", ran
    for at, following in [*((at, next_phase) for at, next_phase in changes if at > ran), (ended, "")]:
        spent[phase] += at - since
        phase, since = following, at
    return Sample(
        {
            "grown_s": (ended - ran) / 1e9,
            **{f"{phase}_s": took / 1e9 for phase, took in spent.items()},
            "starting_s": (ran - started) / 1e9,
        }
    )


QUESTION = Question(
    name="joining",
    asks="A cluster of one grows to three: how long does that take?",
    options=(
        Option("entries", "commands in the log by then", (1000, 100_000), (1000,)),
        Option("payload", "bytes in a command (the first counts)", (128,), (128,)),
    ),
    plan=_plan,
    measure=_measure,
    columns=(
        Column("until both vote", "grown_s", seconds_text, spread=True),
        Column("of it, to ask", "asking_s", seconds_text),
        Column("to learn the log", "learning_s", seconds_text),
        Column("to decide", "deciding_s", seconds_text),
        Column("before: two processes", "starting_s", seconds_text),
    ),
    compare=("grown_s", False),
    engines=("raft_actors",),
    notes=(
        "Both ask at once, each knowing the first node alone; one change is over before the other begins.",
        "To ask is from opening both nodes in running processes until the first is a learner.",
        "To decide is to make learners voters through a joint configuration, and to hear of it where they run.",
        "Starting the two processes of Python, side by side on this machine, comes before that.",
    ),
)
