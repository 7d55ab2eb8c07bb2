"""What the question `replace` counts, and the worker's part in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from benchmarks.cluster import free_ports
from benchmarks.questions.replace import sample_of
from benchmarks.workers.ledger import Ledger, Proposers
from benchmarks.workers.raft_actors_worker import Worker
from raft_actors import NotLeader, OutcomeUnknown


@attrs.define
class InTask:
    """A worker that lives in a task of its own, as one in a process of its own does."""

    asked: trio.MemorySendChannel[tuple[dict[str, Any], list[Any], trio.Event]]

    @classmethod
    async def open(cls, nursery: trio.Nursery) -> InTask:
        sending, asked = trio.open_memory_channel[tuple[dict[str, Any], list[Any], trio.Event]](0)

        async def live() -> None:
            async with contextlib.AsyncExitStack() as stack:
                worker = Worker(stack, nursery)
                async for request, reply, done in asked:
                    reply.append(await worker.handle(request))
                    done.set()

        nursery.start_soon(live)
        return cls(sending)

    async def call(self, command: str, **more: Any) -> dict[str, Any]:
        reply, done = list[Any](), trio.Event()
        request = {"command": command, "storage": "memory", "options": {"ledger": True}, **more}
        await self.asked.send((request, reply, done))
        await done.wait()
        answered: dict[str, Any] = reply[0]
        return answered


async def test_one_node_takes_the_place_of_another_under_a_client(tmp_path: Path) -> None:
    addresses = {f"n{number}": f"127.0.0.1:{port}" for number, port in enumerate(free_ports(2), start=1)}
    folder = str(tmp_path / "nowhere")
    async with trio.open_nursery() as nursery:
        one, two, client = [await InTask.open(nursery) for _ in range(3)]
        await one.call("start", node="n1", addresses={"n1": addresses["n1"]}, folder=folder)
        await client.call("begin", addresses=addresses, proposers=4, payload=16)
        await two.call("join", node="n2", addresses=addresses, through="n1", folder=folder)
        await two.call("remove", node="n1", addresses=addresses, through="n2")
        await one.call("stop")
        told = await client.call("end")
        applied = (await two.call("ledger"))["applied"]
        nursery.cancel_scope.cancel()
    assert (told["errors"], told["unknown"]) == ({}, {})
    assert applied == told["acknowledged"]
    assert applied.keys() == {"0", "1", "2", "3"}
    assert sum(told["buckets"]) == sum(applied.values())


async def test_proposers_count_what_fails_and_go_on(autojump_clock: MockClock) -> None:
    outcomes: list[Exception | None] = [None, NotLeader(None, None, 1), None, OutcomeUnknown("somebody had it"), None]

    async def propose(command: bytes) -> None:
        await trio.sleep(0.001)
        outcome = outcomes.pop(0)
        proposers.over = not outcomes
        if outcome is not None:
            raise outcome

    proposers = Proposers(propose, payload=8)
    await proposers.run(1)
    told = proposers.result()
    assert told["acknowledged"] == {"0": 3}
    assert told["unknown"] == {"0": 1}
    assert told["errors"] == {"NotLeader": 1, "OutcomeUnknown": 1}


async def test_a_ledger_is_whole_again_after_a_snapshot() -> None:
    ledger, again = Ledger(), Ledger()
    for proposer in (0, 7, 0):
        ledger.apply(proposer.to_bytes(4, "big") + b"...")

    async def chunks() -> AsyncIterator[bytes]:  # noqa: ASYNC900 - read to its end
        for chunk in ledger.snapshot():
            yield chunk

    await again.restore(chunks())
    assert again.told() == {"applied": {"0": 2, "7": 1}}


def answer(**more: Any) -> dict[str, Any]:
    """A client's, of 30 buckets of 50 ms: 100 commits in each, and half of that in the second ten."""
    return {
        "began_ns": 10**9,
        "bucket_ns": 50_000_000,
        "buckets": [100] * 10 + [50] * 10 + [100] * 10,
        "pauses": [(10**9, 10**9 + 7_000_000), (1_500_000_000, 1_540_000_000), (2_400_000_000, 2_410_000_000)],
        "errors": {"NotLeader": 2},
        "acknowledged": {"0": 5, "1": 6},
        "unknown": {"1": 1},
        **more,
    }


MARKS = [1_000_000_000, 1_500_000_000, 2_000_000_000, 2_500_000_000]


def test_what_clients_have_noticed() -> None:
    sample = sample_of(answer(), {"0": 5, "1": 7}, MARKS)
    values = sample.values
    assert sample.series["commits_per_s"] == [2000, 1000, 2000]
    assert (values["undisturbed_per_s"], values["replacing_per_s"], values["share"]) == (2000, 1000, 0.5)
    assert (values["replacing_s"], values["gap_s"], values["undisturbed_gap_s"]) == (0.5, 0.04, 0.01)
    assert values["costs_s"] == pytest.approx(0.5 / 2 / 3)
    assert (values["errors"], values["errors_NotLeader"], values["lost"], values["repeated"]) == (2, 2, 0, 0)


@pytest.mark.parametrize(
    ("applied", "lost", "repeated"), [({"0": 4, "1": 6}, 1, 0), ({"1": 6}, 5, 0), ({"0": 5, "1": 9}, 0, 2)]
)
def test_what_is_lost_or_done_twice(applied: dict[str, int], lost: int, repeated: int) -> None:
    values = sample_of(answer(), applied, MARKS).values
    assert (values["lost"], values["repeated"]) == (lost, repeated)
